//go:build unix

package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// inData is a file in the plugin's directory, by which a test controls it.
func inData(dir, name string) string { return filepath.Join(dir, "data", "p", name) }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func count(path string) int {
	text, _ := os.ReadFile(path)
	return len(text)
}

func alive(pid int) bool { return !errors.Is(testhost.Signal(pid, 0), syscall.ESRCH) }

// restarted begins a restart; its outcome comes by the channel.
func restarted(h *pluginhost.Host) <-chan error {
	out := make(chan error, 1) // 1: a test need not read it
	go func() { out <- h.Restart(context.Background(), "p") }()
	return out
}

func outcome(t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(patience):
		t.Fatal("the restart has no outcome")
		return nil
	}
}

func TestRestartLetsAnotherProcessTakeThePlaceWithoutAGap(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin("holds"))
	first := pid(t, h)
	before := h.Plugins()[0]
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	s := h.Plugins()[0]
	if s.PID == first || s.State != pluginhost.Running || s.Restarts != 1 || !s.Since.Equal(before.Since) {
		t.Errorf("before: %+v\nafter:  %+v, want it running all the time", before, s)
	}
	if second := pid(t, h); second != s.PID {
		t.Errorf("pid %d answers, state says %d", second, s.PID)
	}
	// 2: the former process was asked, too
	for id, want := range map[string]int{"lives": 1, "ends": 2, "goes": 2, "ended": 0} {
		if n := count(inData(dir, "recovered-"+id)); n != want {
			t.Errorf("%s was taken up %d times, want %d", id, n, want)
		}
	}
	poll(t, "the end of the former process", func() bool { return !alive(first) })
	if err := h.Restart(t.Context(), "unknown"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
}

// running has the plugin run a command that ends when the file "go" exists, and waits until it runs. Its outcome comes
// by the channel.
func running(t *testing.T, h *pluginhost.Host, dir string, timeout time.Duration) <-chan error {
	t.Helper()
	ran := make(chan error, 1)
	go func() {
		_, err := h.Launcher("p").Exec(context.Background(), launcher.ExecRequest{
			Timeout: timeout, Process: plugin.ProcessSpec{Argv: []string{"x"}},
		}, func(plugin.Line) error { return nil })
		ran <- err
	}()
	poll(t, "the command to run", func() bool { return count(inData(dir, "exec")) == 1 })
	return ran
}

// What is launched while the new process is recovering is recovered before the former one ends.
func TestLaunchBesideARestartIsTakenUpAtItsEnd(t *testing.T) {
	timing := quick()
	h, dir := newHost(t, timing, testPlugin("holds"))
	pid(t, h)
	ran := running(t, h, dir, patience)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	put(t, inData(dir, "late-launch"), "")
	put(t, inData(dir, "go"), "")
	if err := outcome(t, ran); err != nil {
		t.Error(err)
	}
	poll(t, "the late launch to be taken up", func() bool { return count(inData(dir, "recovered-late")) == 1 })
}

// TestRestartThatFailsLeavesTheFormerProcessUntouched: whatever the new process does wrong, callers are not affected.
func TestRestartThatFailsLeavesTheFormerProcessUntouched(t *testing.T) {
	for _, row := range []struct {
		mode string
		want string
		code error
	}{
		{"exits", "I cannot go on", fault.ErrUnavailable},
		{"garbage", "it is not a gatehost plugin", fault.ErrFailedPrecondition},
		{"silent", "it said nothing for start_timeout", fault.ErrUnavailable},
		{"stops", "it said nothing for start_timeout", fault.ErrUnavailable},
		{"future", "this host (gatehost test) speaks 1", fault.ErrFailedPrecondition},
		{"dies-in-configure", "no configuration for me", fault.ErrUnavailable},
		{"hangs-in-configure", "it did not answer within start_timeout", fault.ErrUnavailable},
		{"fails-in-configure", "the database is away", fault.ErrUnavailable},
		{"plain", "it does not serve as launcher any more", fault.ErrFailedPrecondition},
		{
			"versions doctor=1-1 launcher=2-3",
			"which the present process does: versioned 9.0.0 speaks the launcher service in versions 2 to 3",
			fault.ErrFailedPrecondition,
		},
		{"forgets", "launch lives of gateway main: there is no launch lives", fault.ErrUnavailable},
		{"other-pid", "it says running, pid 4712; the present process says running, pid 4711", fault.ErrUnavailable},
		{"says-ended", "it says ended, pid 4711; the present process says running", fault.ErrUnavailable},
		{"dies-in-recover", "no launch for me", fault.ErrUnavailable},
	} {
		t.Run(row.mode, func(t *testing.T) {
			t.Parallel()
			timing := quick()
			timing.CloseGrace = 100 * time.Millisecond
			spec := testPlugin("holds")
			spec.StartTimeout = 2 * time.Second
			h, dir := newHost(t, timing, spec)
			former := pid(t, h)
			put(t, inData(dir, "mode"), row.mode)
			err := h.Restart(t.Context(), "p")
			if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.want) || fault.HintOf(err) == "" ||
				!strings.Contains(err.Error(), fmt.Sprintf("its process %d goes on", former)) {
				t.Errorf("error = %v\ncode %s, hint %q\nwant %q, %v and a hint", err, fault.CodeOf(err),
					fault.HintOf(err), row.want, row.code)
			}
			if s := h.Plugins()[0]; s.State != pluginhost.Running || s.PID != former || s.Restarts != 0 ||
				s.Err != nil {
				t.Errorf("state = %+v", s)
			}
			if pid(t, h) != former {
				t.Error("another process answers")
			}
			if pids := h.Pids(); len(pids) != 1 || pids[0] != former {
				t.Errorf("processes = %v, want %d alone", pids, former)
			}
			_ = os.Remove(inData(dir, "mode"))
			if err := h.Restart(t.Context(), "p"); err != nil {
				t.Errorf("the next restart: %v", err)
			}
		})
	}
}

func TestCallUnderWayEndsWhereItBeganWhileANewProcessServes(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin("holds"))
	former := pid(t, h)
	type answer struct {
		text string
		err  error
	}
	ran := make(chan answer, 1)
	go func() {
		var a answer
		_, a.err = h.Launcher("p").Exec(context.Background(), launcher.ExecRequest{
			Timeout: patience, Process: plugin.ProcessSpec{Argv: []string{"x"}},
		}, func(l plugin.Line) error {
			a.text = l.Text
			return nil
		})
		ran <- a
	}()
	poll(t, "the command to run", func() bool { return count(inData(dir, "exec")) == 1 })
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if pid(t, h) == former {
		t.Error("the former process answers")
	}
	if pids := h.Pids(); len(pids) != 2 || !slices.Contains(pids, former) {
		t.Errorf("processes = %v, want %d among two: it may ask the host for something", pids, former)
	}
	if dirs, _ := filepath.Glob(filepath.Join(dir, "rt", "*", "*")); len(dirs) != 2 {
		t.Errorf("socket directories = %v, want one for each process", dirs)
	}
	put(t, inData(dir, "go"), "")
	select {
	case a := <-ran:
		if a.err != nil || a.text != strconv.Itoa(former) {
			t.Errorf("answer = %+v, want it of %d", a, former)
		}
	case <-time.After(patience):
		t.Fatal("the command did not end")
	}
	poll(t, "the end of the former process", func() bool { return !alive(former) })
	poll(t, "the end of its socket directory", func() bool {
		dirs, _ := filepath.Glob(filepath.Join(dir, "rt", "*", "*"))
		return len(dirs) == 1
	})
}

// A process that was replaced and hangs blocks no caller: its callers hear that it ended.
func TestFormerProcessThatHangsIsKilled(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin("holds"))
	former := pid(t, h)
	ran := running(t, h, dir, time.Hour)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	stopProcess(t, former)
	if err := outcome(t, ran); !errors.Is(err, fault.ErrPluginGone) {
		t.Errorf("error = %v", err)
	}
	if s := h.Plugins()[0]; s.State != pluginhost.Running || s.Restarts != 1 {
		t.Errorf("state = %+v", s)
	}
}

func TestSlowCallThatCanBeAskedAgainIsAskedOfTheNewProcess(t *testing.T) {
	timing := quick()
	timing.Drain = 100 * time.Millisecond
	h, dir := newHost(t, timing, testPlugin())
	former := pid(t, h)
	type answer struct {
		d   doctor.Diagnosis
		err error
	}
	got := make(chan answer, 1)
	go func() {
		d, err := h.Doctor("p").Diagnose(context.Background(),
			doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "slow"}})
		got <- answer{d, err}
	}()
	poll(t, "the call to be made", func() bool { return count(inData(dir, "slow")) == 1 })
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-got:
		if a.err != nil || a.d.Findings[0].Text == strconv.Itoa(former) {
			t.Errorf("answer = %+v", a)
		}
	case <-time.After(patience):
		t.Fatal("the call hangs")
	}
	poll(t, "the end of the former process", func() bool { return !alive(former) })
}

func TestOutputAcrossRestartsHasNoLineTwiceAndNoneMissing(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("holds"))
	pid(t, h)
	var mu sync.Mutex
	var got []uint64
	read := make(chan error, 1)
	go func() {
		read <- h.Launcher("p").Output(context.Background(), launcher.OutputRequest{LaunchID: "lives", Follow: true},
			func(item launcher.OutputItem) error {
				if b, ok := item.(*launcher.LineBatch); ok {
					mu.Lock()
					defer mu.Unlock()
					for _, l := range b.Lines {
						got = append(got, l.Cursor)
					}
				}
				return nil
			})
	}()
	seen := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}
	during := 0
	for seen() < 1500 && during < 5 {
		at := seen()
		poll(t, "lines", func() bool { return seen() > at })
		if err := h.Restart(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		if seen() < 1500 {
			during++
		}
	}
	if err := outcome(t, read); err != nil {
		t.Fatal(err)
	}
	if during == 0 {
		t.Error("no restart fell into the output")
	}
	for i, c := range got {
		if c != uint64(i+1) {
			t.Fatalf("line %d has cursor %d", i+1, c)
		}
	}
	if len(got) != 1500 {
		t.Errorf("%d lines", len(got))
	}
}

func TestClassifierStreamMovesToTheNewProcess(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("classifies"))
	former := pid(t, h)
	ask := func(s classifier.Stream) (string, error) {
		v, err := s.Classify(t.Context(), []classifier.NumberedLine{{Seq: 1, Line: plugin.Line{Cursor: 1, Text: "x"}}})
		if err != nil {
			return "", err
		}
		return v[0].Text, nil
	}
	s, err := h.Classifier("p").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if text, err := ask(s); err != nil || text != strconv.Itoa(former) {
		t.Fatalf("verdict of %s, %v", text, err)
	}
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	poll(t, "the stream to break", func() bool { _, err := ask(s); return err != nil })
	again, err := h.Classifier("p").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if text, err := ask(again); err != nil || text != strconv.Itoa(h.Plugins()[0].PID) {
		t.Errorf("verdict of %s, %v", text, err)
	}
	poll(t, "the end of the former process", func() bool { return !alive(former) })
}

// waiting begins a restart whose new process waits in Configure.
func waiting(t *testing.T, h *pluginhost.Host, dir string) <-chan error {
	t.Helper()
	put(t, inData(dir, "mode"), "waits-in-configure")
	out := restarted(h)
	poll(t, "the new process to be configured", func() bool { return count(inData(dir, "waiting")) > 0 })
	return out
}

func TestFormerProcessThatDiesDuringARestartIsSucceededByTheNewOne(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin())
	former := pid(t, h)
	out := waiting(t, h, dir)
	_ = testhost.Signal(former, syscall.SIGKILL)
	asked := make(chan error, 1)
	go func() {
		_, err := ask(t, h, "")
		asked <- err
	}()
	awaitState(t, h, pluginhost.Starting)
	put(t, inData(dir, "go"), "")
	if err := outcome(t, out); err != nil {
		t.Error(err)
	}
	if err := outcome(t, asked); err != nil {
		t.Errorf("a call meanwhile: %v", err)
	}
	if n := count(inData(dir, "starts")); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
	if s := h.Plugins()[0]; s.State != pluginhost.Running || s.Restarts != 1 {
		t.Errorf("state = %+v", s)
	}
}

func TestBothProcessesThatDieDuringARestartAreTold(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin())
	former := pid(t, h)
	out := waiting(t, h, dir)
	var next int
	for _, p := range h.Pids() {
		if p != former {
			next = p
		}
	}
	_ = os.Remove(inData(dir, "mode"))
	_, _ = testhost.Signal(former, syscall.SIGKILL), testhost.Signal(next, syscall.SIGKILL)
	if err := outcome(t, out); !errors.Is(err, fault.ErrUnavailable) ||
		!strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("error = %v", err)
	}
	pid(t, h) // it is started again all the same
}

func TestNewProcessThatDiesRightAfterTheSwitchIsReplacedAsAny(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	former := pid(t, h)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	second := h.Plugins()[0].PID
	_ = testhost.Signal(second, syscall.SIGKILL)
	if third := pid(t, h); third == former || third == second {
		t.Errorf("pid %d answers after %d and %d", third, former, second)
	}
}

func TestSecondRestartJoinsTheOneUnderWay(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin())
	pid(t, h)
	first := waiting(t, h, dir)
	var all []<-chan error
	for range 5 {
		all = append(all, restarted(h))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Restart(gone, "p"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	put(t, inData(dir, "go"), "")
	for _, c := range append(all, first) {
		if err := outcome(t, c); err != nil {
			t.Error(err)
		}
	}
	if n := count(inData(dir, "starts")); n != 2 || h.Plugins()[0].Restarts != 1 {
		t.Errorf("%d processes were started, want 2; state %+v", n, h.Plugins()[0])
	}
}

func TestCloseEndsARestartUnderWay(t *testing.T) {
	timing := quick()
	timing.CloseGrace = 100 * time.Millisecond
	h, dir := newHost(t, timing, testPlugin())
	former := pid(t, h)
	out := waiting(t, h, dir)
	pids := h.Pids()
	if len(pids) != 2 {
		t.Errorf("processes = %v", pids)
	}
	h.Close()
	if err := outcome(t, out); !errors.Is(err, fault.ErrUnavailable) || fault.HintOf(err) == "" {
		t.Errorf("error = %v", err)
	}
	for _, p := range append(pids, former) {
		if alive(p) {
			t.Errorf("process %d lives", p)
		}
	}
	if err := h.Restart(t.Context(), "p"); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a restart after the end: %v", err)
	}
}

func TestCloseDoesNotWaitForCallsOfAFormerProcess(t *testing.T) {
	timing := quick()
	timing.CloseGrace = 100 * time.Millisecond
	h, dir := newHost(t, timing, testPlugin("holds"))
	former := pid(t, h)
	ran := running(t, h, dir, time.Hour)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if alive(former) {
		t.Error("the former process lives")
	}
	if err := outcome(t, ran); !errors.Is(err, fault.ErrPluginGone) {
		t.Errorf("error = %v", err)
	}
}

func TestRestartOfAPluginThatIsDownStartsItNowAndTellsHowItWent(t *testing.T) {
	timing := quick()
	timing.BackoffBase, timing.BackoffMax, timing.CircuitAfter = time.Hour, time.Hour, 2
	h, dir := newHost(t, timing, testPlugin("exits"))
	for _, want := range []string{pluginhost.BackingOff, pluginhost.Failed, pluginhost.Failed} {
		awaitState(t, h, want)
		err := h.Restart(t.Context(), "p")
		if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "I cannot go on") ||
			strings.Contains(err.Error(), "goes on") {
			t.Errorf("restart while %s: %v", want, err)
		}
		if s := h.Plugins()[0]; s.State != pluginhost.Failed || s.Err == nil {
			t.Errorf("state when the outcome is told = %+v", s)
		}
	}
	put(t, inData(dir, "mode"), "plain")
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if s := h.Plugins()[0]; s.State != pluginhost.Running || s.Err != nil || s.PID != pid(t, h) {
		t.Errorf("state = %+v", s)
	}
}

// TestManyRestartsLeaveNothing counts descriptors, goroutines, processes and directories.
func TestManyRestartsLeaveNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are counted in /proc")
	}
	h, dir := newHost(t, quick(), testPlugin("holds"))
	pid(t, h)
	descriptors := func() int {
		all, _ := os.ReadDir("/proc/self/fd")
		return len(all)
	}
	restart := func(n int) {
		for range n {
			if err := h.Restart(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		}
		poll(t, "one process to be left", func() bool { return len(h.Pids()) == 1 })
		poll(t, "one socket directory to be left", func() bool {
			dirs, _ := filepath.Glob(filepath.Join(dir, "rt", "*", "*"))
			return len(dirs) == 1
		})
	}
	restart(2) // what is made once
	before := descriptors()
	restart(50)
	poll(t, "the descriptors of one process to be left", func() bool { return descriptors() <= before })
	last := pid(t, h)
	if s := h.Plugins()[0]; s.Restarts != 52 || s.State != pluginhost.Running || s.PID != last {
		t.Errorf("state = %+v", s)
	}
	for range 4 { // a fifth in a row would open the circuit
		_ = testhost.Signal(pid(t, h), syscall.SIGKILL)
		poll(t, "the replacement", func() bool { s := h.Plugins()[0]; return s.PID != 0 && s.PID != last })
		last = pid(t, h)
	}
	poll(t, "the descriptors of one process to be left", func() bool { return descriptors() <= before })
	goleakBefore := goleak.IgnoreCurrent()
	restart(5)
	h.Close()
	goleak.VerifyNone(t, goleakBefore)
}

// TestRestartsThatAreAskedForAreNoFailures: after many of them a plugin that dies is started again at once.
func TestRestartsThatAreAskedForAreNoFailures(t *testing.T) {
	timing := quick()
	timing.CircuitAfter = 2
	h, _ := newHost(t, timing, testPlugin())
	for range 3 {
		if err := h.Restart(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
	first := pid(t, h)
	if err := testhost.Signal(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if second := pid(t, h); second == first {
		t.Error("the same process answers")
	}
}
