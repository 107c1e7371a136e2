//go:build unix

package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// A plugin that dies at each start is tried until the circuit opens, and then seldom; its neighbour is not affected.
func TestPluginThatCrashesAgainAndAgainIsLeftAloneAndHarmsNoOther(t *testing.T) {
	bad, good := testPlugin("exits"), testPlugin()
	good.Name = "good"
	h, dir := newHost(t, quick(), bad, good)
	s := awaitState(t, h, pluginhost.Failed)
	if n := count(inData(dir, "starts")); n != 5 {
		t.Errorf("it was started %d times, want 5", n)
	}
	if s.Err == nil || !strings.Contains(s.Err.Error(), "I cannot go on") {
		t.Errorf("state = %+v", s)
	}
	d, err := h.Doctor("good").Diagnose(t.Context(), doctor.DiagnoseRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if g := h.Plugins()[1]; g.State != pluginhost.Running || g.Restarts != 0 ||
		strconv.Itoa(g.PID) != d.Findings[0].Text {
		t.Errorf("its neighbour: %+v", g)
	}
}

// TestLauncherThatFailedIsTriedMoreOftenThanAnyOther: a gateway waits for it.
func TestLauncherThatFailedIsTriedMoreOftenThanAnyOther(t *testing.T) {
	bad, other := testPlugin("exits"), testPlugin("exits")
	bad.Uses, other.Name, other.Uses = []plugin.Kind{plugin.KindLauncher}, "other", []plugin.Kind{plugin.KindDoctor}
	timing := quick()
	timing.LauncherRetry = 50 * time.Millisecond
	h, dir := newHost(t, timing, bad, other)
	poll(t, "more starts of the launcher", func() bool { return count(inData(dir, "starts")) >= 8 })
	poll(t, "the other plugin to fail", func() bool { return h.Plugins()[1].State == pluginhost.Failed })
	if s := h.Plugins()[0]; s.State != pluginhost.Failed {
		t.Errorf("the launcher is %s between its starts, want failed", s.State)
	}
	if n := count(filepath.Join(dir, "data", "other", "starts")); n != 5 {
		t.Errorf("the other plugin was started %d times, want 5", n)
	}
}

func TestPluginThatDiesInEachCallOpensItsCircuit(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin())
	pid(t, h)
	for range 10 {
		_, err := ask(t, h, "die")
		if errors.Is(err, fault.ErrPluginDown) {
			break
		}
		if !errors.Is(err, fault.ErrPluginGone) {
			t.Fatalf("error = %v", err)
		}
	}
	s := awaitState(t, h, pluginhost.Failed)
	if n := count(inData(dir, "starts")); n != 5 || s.Restarts != 4 ||
		!strings.Contains(s.Err.Error(), "exit status 9") {
		t.Errorf("%d starts, state = %+v, want 5", n, s)
	}
}

var (
	floodLine = regexp.MustCompile(`line="flood \d+"`)
	wasCut    = regexp.MustCompile(`lines were dropped: dropped=(\d+)`)
)

// TestFloodedLogIsCutAndCounted: lines that the host does not show are counted, and the count is logged seldom.
func TestFloodedLogIsCutAndCounted(t *testing.T) {
	var out lockedBuffer
	dir := t.TempDir()
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Warn}), PluginDir: pluginDir,
		DataDir:    filepath.Join(dir, "data"),
		RuntimeDir: shortDir(t), Timing: quick(),
	})
	if err := h.Add(testPlugin("floods-before")); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	pid(t, h)
	poll(t, "the count of dropped lines", func() bool {
		text := out.String()
		shown, cut, reports := len(floodLine.FindAllString(text, -1)), 0, 0
		for _, m := range wasCut.FindAllStringSubmatch(text, -1) {
			n, _ := strconv.Atoi(m[1])
			cut += n
			reports++
		}
		if shown+cut < 30_000 {
			return false
		}
		if shown+cut > 30_010 || shown > 20_000 || reports > 30 { // some may be go-plugin's own
			t.Errorf("%d lines were shown, %d dropped, %d reports", shown, cut, reports)
		}
		return true
	})
}

// shortDir is a directory for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestLineOfAnyLengthTakesLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h, _ := newHost(t, quick(), testPlugin("long-line"))
	pid(t, h)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 { // the line has 64 MiB
		t.Errorf("%d MiB were allocated", used>>20)
	}
}

func TestControlCharactersOfAPluginDoNotReachTheTerminal(t *testing.T) {
	var out lockedBuffer
	l := pluginhost.NewLogs(hclog.New(&hclog.LoggerOptions{Output: &out}), nil)
	l("plain \x1b]0;title\x07 words")
	l(`{"@level":"warn","@message":"a \u001b[2J message","k\u001b":"v\u001b[1A"}`)
	if text := out.String(); strings.ContainsAny(text, "\x1b\x07") || !strings.Contains(text, "message") ||
		!strings.Contains(text, "words") {
		t.Errorf("log = %q", text)
	}
}

// TestSecretsInThePluginsLogAreHidden: known values, names of fields, shapes, keys over several lines, lines that pass
// for the host's own.
func TestSecretsInThePluginsLogAreHidden(t *testing.T) {
	var known redact.Known
	known.Learn([]string{"tok-0123456789abcdef"})
	var out lockedBuffer
	l := pluginhost.NewLogs(hclog.New(&hclog.LoggerOptions{Output: &out}), &known)
	for _, line := range []string{
		`{"@level":"info","@message":"looked at tok-0123456789abcdef","apiKey":"short-1","n":12345678901234567890}`,
		`{"@level":"info","@message":"a\n2026-11-30T00:00:00Z [ERROR] gatehost: forged","line":"\"apiKey\": \"short-22\""}`,
		`{"@level":"info","@message":"base64 dG9rLTAxMjM0NTY3ODlhYmNkZWY="} tail`,
		"sk-proj-ABCDEFGHIJKLMNOPQRST", "-----BEGIN PRIVATE KEY-----", "MIGHAgEAMBMGByqGSM49", "-----END PRIVATE KEY-----",
		"the last one",
	} {
		l(line)
	}
	text := out.String()
	for _, bad := range []string{"tok-", "short-", "dG9rLTAx", "ABCDEF", "MIGH", "\n2026-11-30T00:00:00Z"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the log", bad)
		}
	}
	for _, good := range []string{"looked at [redacted]", "n=12345678901234567890", "tail", "the last one"} {
		if !strings.Contains(text, good) {
			t.Errorf("%q is not in the log", good)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestNonsenseIsAnErrorOfTheCallAndCostsNothingElse: fields out of range, other launches, too much of everything.
func TestNonsenseIsAnErrorOfTheCallAndCostsNothingElse(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("lies"))
	p := pid(t, h)
	l := h.Launcher("p")
	nothing := func(launcher.OutputItem) error { return nil }
	for name, do := range map[string]func() error{
		"another launch":     func() error { _, err := l.Recover(t.Context(), "this"); return err },
		"a negative pid":     func() error { _, err := l.Inspect(t.Context(), "negative-pid"); return err },
		"running nowhere":    func() error { _, err := l.Inspect(t.Context(), "no-pid"); return err },
		"an odd phase":       func() error { _, err := l.Inspect(t.Context(), "odd-phase"); return err },
		"no exit":            func() error { _, err := l.Inspect(t.Context(), "no-exit"); return err },
		"a path for an id":   func() error { _, err := l.List(t.Context(), ""); return err },
		"too many instances": func() error { _, err := l.List(t.Context(), "many"); return err },
		"a line twice": func() error {
			return l.Output(t.Context(), launcher.OutputRequest{LaunchID: "goes-back", Follow: true}, nothing)
		},
		"no end": func() error {
			return l.Output(t.Context(), launcher.OutputRequest{LaunchID: "no-end", Follow: true}, nothing)
		},
		"a gap backwards": func() error {
			return l.Output(t.Context(), launcher.OutputRequest{LaunchID: "x", Follow: true}, nothing)
		},
		"a code that is none": func() error { _, err := ask(t, h, "bad-code"); return err },
		"too many findings":   func() error { _, err := ask(t, h, "too-many"); return err },
	} {
		err := do()
		if !errors.Is(err, fault.ErrInternal) || !strings.Contains(err.Error(), "plugin violated the contract: ") ||
			fault.HintOf(err) == "" {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	d, err := ask(t, h, "control-characters")
	if err != nil || len(d.Findings) != 1 || strings.Contains(d.Findings[0].Text, "\xff") ||
		d.Findings[0].Severity > plugin.SeverityError {
		t.Errorf("finding = %+v, %v", d, err)
	}
	if got, err := l.Inspect(t.Context(), "fine"); err != nil || got.Processes < 0 {
		t.Errorf("inspection = %+v, %v", got, err)
	}
	if pid(t, h) != p {
		t.Error("nonsense cost the plugin its life")
	}
}

func TestMessageThatIsTooLargeIsRefusedByTheHost(t *testing.T) {
	timing := quick()
	timing.CloseGrace = 100 * time.Millisecond // it does not know the death pipe
	h, _ := newHost(t, timing, testPlugin("unbounded"))
	p := pid(t, h)
	if _, err := ask(t, h, "huge"); !errors.Is(err, fault.ErrExhausted) {
		t.Errorf("error = %v, want exhausted", err)
	}
	if pid(t, h) != p {
		t.Error("it cost the plugin its life")
	}
}

func TestVerdictAboutALineThatWasNotAskedIsNonsense(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("misjudges"))
	s, err := h.Classifier("p").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	v, err := s.Classify(t.Context(), []classifier.NumberedLine{
		numbered(1, "a"), numbered(2, "nonsense"),
		numbered(3, "b"),
	})
	if !errors.Is(err, fault.ErrInternal) || len(v) != 1 || v[0].Seq != 1 || v[0].Level != classifier.LevelWarn {
		t.Errorf("verdicts = %+v, %v; want the one before", v, err)
	}
}

func numbered(seq uint64, text string) classifier.NumberedLine {
	return classifier.NumberedLine{Seq: seq, Line: plugin.Line{Cursor: seq, Stream: plugin.Stderr, Text: text}}
}

func TestLateAnswerIsNotTakenForThatOfAnotherCall(t *testing.T) {
	spec := testPlugin()
	spec.CallTimeout = 300 * time.Millisecond
	h, _ := newHost(t, quick(), spec)
	p := pid(t, h)
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() {
			if _, err := ask(t, h, "late"); !errors.Is(err, fault.ErrDeadlineExceeded) {
				t.Errorf("error = %v", err)
			}
		})
	}
	calls.Wait()
	for until := time.Now().Add(1200 * time.Millisecond); time.Now().Before(until); { // while they arrive
		if got := pid(t, h); got != p { // pid fails on a text that is no number
			t.Fatalf("pid = %d", got)
		}
	}
}

func TestLateVerdictIsNotTakenForThatOfAnotherLine(t *testing.T) {
	spec := testPlugin("misjudges")
	spec.CallTimeout = 300 * time.Millisecond
	h, _ := newHost(t, quick(), spec)
	pid(t, h)
	open := func() classifier.Stream {
		s, err := h.Classifier("p").Open(t.Context(), plugin.GatewayFacts{Name: "main"}, "launch")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	s := open()
	if _, err := s.Classify(t.Context(), []classifier.NumberedLine{numbered(1, "slow")}); err == nil {
		t.Fatal("a late verdict was taken")
	}
	if v, err := s.Classify(t.Context(), []classifier.NumberedLine{numbered(2, "next")}); err == nil {
		t.Errorf("a stream that was cut answers: %+v", v)
	}
	s = open()
	until := time.Now().Add(1200 * time.Millisecond)
	for seq := uint64(1); time.Now().Before(until); seq++ {
		v, err := s.Classify(t.Context(), []classifier.NumberedLine{numbered(seq, "quick")})
		if err != nil || len(v) != 1 || v[0].Text != "quick" || v[0].Seq != seq {
			t.Fatalf("verdict = %+v, %v", v, err)
		}
	}
}

const mib = 1 << 20

func TestPluginThatUsesTooMuchMemoryIsReplacedWithoutAGap(t *testing.T) {
	spec := testPlugin()
	spec.MemoryMax = 120 * mib
	h, _ := newHost(t, quick(), spec)
	first := pid(t, h)
	since := h.Plugins()[0].Since
	if _, err := ask(t, h, "grow"); err != nil {
		t.Fatal(err)
	}
	poll(t, "another process", func() bool {
		s := h.Plugins()[0]
		if s.State != pluginhost.Running || !s.Since.Equal(since) {
			t.Fatalf("state = %+v", s)
		}
		return s.PID != first
	})
	if s := h.Plugins()[0]; s.Restarts != 1 || s.Err != nil {
		t.Errorf("state = %+v", s)
	}
	pid(t, h)
	poll(t, "the end of the former process", func() bool { return !alive(first) })
}

func TestPluginThatUsesFarTooMuchMemoryIsKilled(t *testing.T) {
	spec := testPlugin()
	spec.MemoryMax = 120 * mib
	timing := quick()
	// long enough to be seen on a busy machine
	timing.BackoffBase, timing.BackoffMax = 2*time.Second, 2*time.Second
	h, _ := newHost(t, timing, spec)
	first := pid(t, h)
	_, _ = ask(t, h, "grow-much")
	s := awaitState(t, h, pluginhost.BackingOff)
	if !strings.Contains(s.Err.Error(), "more than twice memory_max (120 MiB)") ||
		!strings.Contains(fault.HintOf(s.Err), "plugins.p.memory_max") {
		t.Errorf("error = %v, hint %q", s.Err, fault.HintOf(s.Err))
	}
	if pid(t, h) == first || alive(first) {
		t.Error("it lives")
	}
}

// A plugin that cannot be replaced is kept: it still works, and a call matters more than its memory.
func TestPluginThatUsesTooMuchMemoryAndCannotBeReplacedGoesOn(t *testing.T) {
	spec := testPlugin()
	spec.MemoryMax = 120 * mib
	h, dir := newHost(t, quick(), spec)
	first := pid(t, h)
	put(t, inData(dir, "mode"), "dies-in-configure")
	if _, err := ask(t, h, "grow"); err != nil {
		t.Fatal(err)
	}
	poll(t, "three tries", func() bool { return count(inData(dir, "starts")) >= 4 })
	if s := h.Plugins()[0]; s.State != pluginhost.Running || s.PID != first || s.Restarts != 0 {
		t.Errorf("state = %+v", s)
	}
}

// TestOwnTimeOfACallIsNotCutByCallTimeout: a grace, a timeout and a repair get the time of their request.
func TestOwnTimeOfACallIsNotCutByCallTimeout(t *testing.T) {
	spec := testPlugin("holds")
	spec.CallTimeout = 200 * time.Millisecond
	h, dir := newHost(t, quick(), spec)
	pid(t, h)
	// 900 ms
	if got, err := h.Launcher("p").Stop(t.Context(), "lives", 300*time.Millisecond); err != nil || !got.Killed {
		t.Errorf("stop = %+v, %v", got, err)
	}
	// 600 ms
	if got, err := h.Doctor("p").Repair(t.Context(), doctor.RepairRequest{
		Finding: doctor.Finding{Code: "x"},
		StepID:  "x",
	}, nil); err != nil || !got.Changed {
		t.Errorf("repair = %+v, %v", got, err)
	}
	time.AfterFunc(time.Second, func() { _ = os.WriteFile(inData(dir, "go"), nil, 0o600) })
	if _, err := h.Launcher("p").Exec(t.Context(), launcher.ExecRequest{
		Timeout: 500 * time.Millisecond, Process: plugin.ProcessSpec{Argv: []string{"x"}},
	}, func(plugin.Line) error { return nil }); err != nil { // it ends its tree after its timeout
		t.Errorf("exec: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := h.Doctor("p").Diagnose(ctx,
		doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "hang"}}); !errors.Is(err,
		fault.ErrDeadlineExceeded) ||
		ctx.Err() != nil {
		t.Errorf("diagnose: %v", err)
	}
}
