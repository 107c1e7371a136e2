//go:build unix

package shim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

func TestAWholeLife(t *testing.T) {
	p := newPlace(t)
	o := p.options("life",
		sh(`trap 'echo bye; exit 7' TERM; echo out; echo err >&2; echo "id=$GATEHOST_LAUNCH_ID x=$X cwd=$(pwd)"; while :; `+
			`do sleep 0.05; done`)...)
	o.Spec.Env = append(o.Spec.Env, shim.EnvVar{Name: "X", Value: "a b"})
	o.Spec.Labels = map[string]string{"gateway": "main"}
	s := start(t, o)
	if s.Already || s.State.Phase != shim.PhaseRunning || !s.State.Gateway.Alive() ||
		s.State.Labels["gateway"] != "main" {
		t.Fatalf("Start = %+v", s)
	}
	if got := printed(t, s.Client, "cwd="); !strings.Contains(got, "id=life x=a b cwd="+p.dir) {
		t.Errorf("environment of the gateway: %q", got)
	}
	b, err := shim.OpenBundle(p.bundle("life"))
	if err != nil || b.Status != shim.StatusRunning || b.State.Gateway != s.State.Gateway || b.Exit != nil {
		t.Errorf("bundle = %+v, %v", b, err)
	}

	stopped, err := s.Client.Stop(deadline(t), patience)
	if err != nil || stopped.Exit.Code != 7 || stopped.Killed || !stopped.Exit.Durable || !stopped.Exit.Final {
		t.Fatalf("Stop = %+v, %v, want exit code 7 in time", stopped, err)
	}
	again, err := s.Client.Stop(deadline(t), 0)
	if err != nil || again != stopped {
		t.Errorf("second Stop = %+v, %v, want the recorded exit %+v", again, err, stopped)
	}
	out := follow(t, s.Client)
	if !strings.HasPrefix(out.stdout.String(), "out\n") || !strings.HasSuffix(out.stdout.String(), "bye\n") ||
		!strings.HasPrefix(out.stderr.String(), "err\n") { // a shell tells that its sleep got the SIGTERM, too
		t.Errorf("stdout %q, stderr %q", out.stdout.String(), out.stderr.String())
	}
	if out.end == nil || out.end.Exit.Code != 7 || out.end.Truncated || out.end.EndOffset != stopped.Exit.EndOffset {
		t.Errorf("end = %+v", out.end)
	}
	if err := s.Client.Signal(deadline(t), "SIGTERM"); !errors.Is(err, shim.ErrEnded) {
		t.Errorf("Signal after the end = %v, want ErrEnded", err)
	}

	if err := s.Client.Release(deadline(t)); err != nil {
		t.Fatalf("Release: %v", err)
	}
	if s.State.Shim.Alive() {
		t.Error("the shim is there after Release")
	}
	if _, err := os.Lstat(o.Spec.Socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket after Release: %v", err)
	}
	var offline output
	b, err = shim.OpenBundle(p.bundle("life"))
	if err != nil || b.Status != shim.StatusEnded || b.Exit == nil || b.Exit.Code != 7 {
		t.Fatalf("bundle without shim = %+v, %v", b, err)
	}
	if err := b.Output(deadline(t), 0, offline.item); err != nil || offline.text() != out.text() ||
		offline.end.Exit.Code != 7 {
		t.Errorf("output without shim: %v, %q, %+v", err, offline.text(), offline.end)
	}
	if err := shim.Remove(b.Dir); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if _, err := shim.OpenBundle(b.Dir); !errors.Is(err, shim.ErrNoBundle) {
		t.Errorf("OpenBundle after Remove = %v", err)
	}
}

func TestLaunchingTwiceGivesOneGateway(t *testing.T) {
	p := newPlace(t)
	o := p.options("twice", sh("echo x >> started; exec sleep 600")...)
	const callers = 6
	results := make([]shim.Started, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			s, err := shim.Start(deadline(t), o)
			if err != nil {
				t.Errorf("Start %d: %v", i, err)
				return
			}
			results[i] = s
		})
	}
	wg.Wait()
	first := 0
	for _, s := range results {
		if s.Client == nil {
			t.Fatalf("no client: %+v", s)
		}
		defer s.Client.Close()
		if !s.Already {
			first++
		}
		if s.State.Gateway != results[0].State.Gateway {
			t.Errorf("another gateway: %v and %v", s.State.Gateway, results[0].State.Gateway)
		}
	}
	if first != 1 {
		t.Errorf("%d calls launched, want 1", first)
	}
	eventually(t, "the gateway wrote its mark", func() bool {
		b, err := os.ReadFile(filepath.Join(p.dir, "started"))
		return err == nil && len(b) > 0
	})
	other := o
	other.Spec.Argv = sh("echo other")
	if _, err := shim.Start(deadline(t), other); !errors.Is(err, shim.ErrSpecMismatch) {
		t.Errorf("Start with another spec = %v, want ErrSpecMismatch", err)
	}
	if _, err := results[0].Client.Stop(deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	if err := results[0].Client.Release(deadline(t)); err != nil {
		t.Fatal(err)
	}
	s := start(t, o) // a launch id is used once, also after its end
	if !s.Already || s.Client != nil || s.Bundle.Status != shim.StatusEnded {
		t.Errorf("Start after the end = %+v", s)
	}
	if b, err := os.ReadFile(filepath.Join(p.dir, "started")); err != nil || string(b) != "x\n" {
		t.Errorf("gateways started: %q, %v, want one", b, err)
	}
}

func TestKillingTheStarterLeavesTheGatewayAlive(t *testing.T) {
	p := newPlace(t)
	o := p.options("survivor", sh("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done")...)
	request, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SHIM_TEST_STARTER=1")
	cmd.Stdin = strings.NewReader(string(request))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	if n, err := out.Read(buf); err != nil || string(buf[:n]) != "started\n" {
		t.Fatalf("starter said %q, %v", buf[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	c, err := shim.Connect(deadline(t), o.BundleDir)
	if err != nil {
		t.Fatalf("Connect after the starter's death: %v", err)
	}
	defer c.Close()
	first := printed(t, c, "line 3\n")
	printed(t, c, fmt.Sprintf("line %d\n", strings.Count(first, "\n")+10)) // it goes on
	if _, err := c.Stop(deadline(t), patience); err != nil {
		t.Fatal(err)
	}
}

func TestOutputIsResumedExactly(t *testing.T) {
	p := newPlace(t)
	o := p.options("resume",
		sh(`i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo "out $i"; echo "err $i" >&2; done; printf end`)...)
	s := start(t, o)
	var got []string
	var cursor uint64
	enough := errors.New("enough")
	for round := 0; ; round++ { // leaves after every 37 lines and comes again
		n := 0
		err := s.Client.Output(deadline(t), 0, true, shim.CutLines(cursor, func(item shim.Item) error {
			switch item := item.(type) {
			case shim.Gap:
				t.Errorf("gap %+v", item)
			case shim.Line:
				if item.Offset <= cursor {
					t.Fatalf("offset %d after %d", item.Offset, cursor)
				}
				cursor = item.Offset
				got = append(got, item.Text)
				if n++; n == 37 {
					return enough
				}
			}
			return nil
		}))
		if err == nil {
			break
		}
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	var outs, errs []string
	for _, text := range got {
		if strings.HasPrefix(text, "err") {
			errs = append(errs, text)
		} else {
			outs = append(outs, text)
		}
	}
	for i := 1; i <= 300; i++ {
		if outs[i-1] != "out "+strconv.Itoa(i) || errs[i-1] != "err "+strconv.Itoa(i) {
			t.Fatalf("line %d: %q and %q", i, outs[i-1], errs[i-1])
		}
	}
	if len(got) != 601 || outs[300] != "end" {
		t.Errorf("%d lines, last %q, want 601 and the unfinished one", len(got), outs[len(outs)-1])
	}
}

func TestAFloodIsBoundedAndTellsTheGap(t *testing.T) {
	p := newPlace(t)
	o := p.options("flood", sh(`head -c 3000000 /dev/zero | tr '\0' 'x'; echo; echo last`)...)
	o.Spec.OutputMaxBytes = outlog.MinSize
	s := start(t, o)
	eventually(t, "the gateway ended", func() bool {
		st, err := s.Client.State(deadline(t))
		return err == nil && st.Exit != nil && st.Exit.Final
	})
	out := follow(t, s.Client)
	lost := uint64(0)
	for _, g := range out.gaps {
		lost += g.Bytes()
	}
	if total := lost + uint64(out.stdout.Len()); total != 3000006 || lost == 0 || out.end.EndOffset != 3000006 {
		t.Errorf("%d lost + %d read, end %d, want 3000006 in all", lost, out.stdout.Len(), out.end.EndOffset)
	}
	if !strings.HasSuffix(out.text(), "x\nlast\n") {
		t.Error("the last line is lost")
	}
}

func TestOutputWithoutFollowEndsAtWhatIsThere(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("peek", sh("echo here; exec sleep 600")...))
	printed(t, s.Client, "here")
	var o output
	if err := s.Client.Output(deadline(t), 0, false, o.item); err != nil || o.text() != "here\n" || !o.end.Running ||
		o.end.Exit != nil {
		t.Errorf("Output = %v, %q, %+v", err, o.text(), o.end)
	}
}

func TestAGatewayThatIgnoresTermIsKilledAfterTheGrace(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("deaf", sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")...))
	printed(t, s.Client, "ready")
	const grace = 300 * time.Millisecond
	began := time.Now()
	stopped, err := s.Client.Stop(deadline(t), grace)
	if err != nil || !stopped.Killed || stopped.Exit.Signal != "SIGKILL" {
		t.Errorf("Stop = %+v, %v, want it killed", stopped, err)
	}
	if took := time.Since(began); took < grace {
		t.Errorf("killed after %v, before the grace of %v", took, grace)
	}
	if s.State.Gateway.Alive() {
		t.Error("it lives")
	}
}

// TestStopOfWhatHasEndedGivesTheRecordedExitAtOnce is B215: the reference waited out its 5 s and then signalled a pid
// that could be anybody's.
func TestStopOfWhatHasEndedGivesTheRecordedExitAtOnce(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("gone", sh("exit 3")...))
	follow(t, s.Client)
	began := time.Now()
	stopped, err := s.Client.Stop(deadline(t), time.Hour)
	if err != nil || stopped.Killed || stopped.Exit.Code != 3 || stopped.Exit.Signal != "" {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}

// stoppedNow reports whether a process has stopped: by /proc where there is one, else by ps.
func stoppedNow(pid int) bool {
	if stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat")); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T")
	}
	state, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(state)), "T")
}

func TestAStoppedProcessIsKilled(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("frozen", "sleep", "600"))
	if err := s.Client.Signal(deadline(t), "STOP"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is stopped", func() bool { // of two signals at once the kernel delivers the other first
		return stoppedNow(s.State.Gateway.PID)
	})
	stopped, err := s.Client.Stop(deadline(t), 100*time.Millisecond)
	if err != nil || stopped.Exit.Signal != "SIGKILL" {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
}

func TestASecondStopMayShortenTheFirst(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("hurry", sh("trap '' TERM; echo ready; while :; do sleep 0.05; done")...))
	printed(t, s.Client, "ready")
	first := make(chan error, 1)
	go func() {
		_, err := s.Client.Stop(context.Background(), time.Hour)
		first <- err
	}()
	eventually(t, "the first stop arrived", func() bool {
		st, err := s.Client.State(deadline(t))
		return err == nil && st.StopAsked
	})
	if stopped, err := s.Client.Stop(deadline(t), 0); err != nil || !stopped.Killed {
		t.Errorf("Stop now = %+v, %v", stopped, err)
	}
	if err := <-first; err != nil {
		t.Errorf("first stop: %v", err)
	}
}

func TestEveryExitIsTold(t *testing.T) {
	p := newPlace(t)
	for i, tc := range []struct {
		script, signal string
		code           int
	}{
		{"exit 0", "", 0},
		{"exit 78", "", 78},
		{"kill -9 $$", "SIGKILL", -1},
		{"kill -SEGV $$", "SIGSEGV", -1},
	} {
		s := start(t, p.options(fmt.Sprintf("exit%d", i), sh(tc.script)...))
		out := follow(t, s.Client)
		if e := out.end.Exit; e == nil || e.Code != tc.code || e.Signal != tc.signal || e.At.IsZero() || !e.Durable {
			t.Errorf("%s: exit = %+v", tc.script, e)
		}
		b, err := shim.OpenBundle(p.bundle(fmt.Sprintf("exit%d", i)))
		if err != nil || b.Status != shim.StatusEnded || b.Exit.Code != tc.code || b.Exit.Signal != tc.signal {
			t.Errorf("%s: on disk %+v, %v", tc.script, b.Exit, err)
		}
	}
}

func TestSignalReachesTheGatewayOnly(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("signal", sh("trap 'echo got usr2' USR2; echo ready; while :; do sleep 0.05; done")...))
	printed(t, s.Client, "ready")
	if err := s.Client.Signal(deadline(t), "SIGUSR2"); err != nil {
		t.Fatal(err)
	}
	printed(t, s.Client, "got usr2")
	if err := s.Client.Signal(deadline(t), "SIGNONSENSE"); !errors.Is(err, shim.ErrBadSignal) {
		t.Errorf("Signal(SIGNONSENSE) = %v, want ErrBadSignal", err)
	}
	if err := s.Client.Release(deadline(t)); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("Release of a running gateway = %v, want ErrRunning", err)
	}
}

func TestAProgramThatCannotBeRunIsNamed(t *testing.T) {
	p := newPlace(t)
	plain := filepath.Join(p.dir, "plain")
	script := filepath.Join(p.dir, "script")
	junk := filepath.Join(p.dir, "junk")
	for path, mode := range map[string]fs.FileMode{plain: 0o600, script: 0o700, junk: 0o700} {
		text := "\x00junk"
		if path == script {
			text = "#!/nonexistent/interpreter\n"
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for i, tc := range []struct {
		program string
		want    error
		text    string
	}{
		{"no-such-program", shim.ErrCommandNotFound, `cannot launch gateway: exec "no-such-program": not found`},
		{
			"/nonexistent/openclaw", shim.ErrCommandNotFound,
			`cannot launch gateway: exec "/nonexistent/openclaw": not found`,
		},
		{plain, shim.ErrPermission, "permission denied"},
		{p.dir, shim.ErrPermission, "permission denied"},
		{script, shim.ErrCommandNotFound, "interpreter"},
		{junk, shim.ErrInvalidSpec, "exec format error"},
	} {
		id := fmt.Sprintf("bad%d", i)
		for round := range 2 { // the second call answers what the first one found
			_, err := shim.Start(deadline(t), p.options(id, tc.program))
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s, call %d: %v, want %q", tc.program, round+1, err, tc.text)
			}
		}
		b, err := shim.OpenBundle(p.bundle(id))
		if err != nil || b.Status != shim.StatusFailed || !strings.Contains(b.Detail, tc.text) {
			t.Errorf("%s: bundle = %v %q, %v", tc.program, b.Status, b.Detail, err)
		}
		waitGone(t, b.State.Shim)
	}
	o := p.options("nodir", "true")
	o.Spec.Cwd = "/nonexistent"
	if _, err := shim.Start(deadline(t), o); !errors.Is(err, shim.ErrInvalidSpec) ||
		!strings.Contains(err.Error(), "working directory") {
		t.Errorf("no working directory: %v", err)
	}
}

func TestALongSocketPathSaysItsLength(t *testing.T) {
	p := newPlace(t)
	o := p.options("long", "true")
	o.Spec.Socket = "/tmp/" + strings.Repeat("d", 150) + "/s"
	_, err := shim.Start(deadline(t), o)
	if !errors.Is(err, shim.ErrInvalidSpec) || !strings.Contains(err.Error(), "157 bytes") ||
		!strings.Contains(err.Error(), "shorter runtime directory") {
		t.Errorf("Start = %v, want the length and what to do", err)
	}
}

func TestWrongSpecsAreRefusedWithAllThatIsWrong(t *testing.T) {
	grace := -time.Second
	err := shim.Spec{
		LaunchID: "../evil", Argv: []string{"a\x00b"}, Cwd: "relative", OutputMaxBytes: 5, OrphanGrace: &grace,
		Env: []shim.EnvVar{{Name: "A=B", Value: "canary"}}, Socket: "relative",
	}.Validate()
	for _, want := range []string{
		"launch id", "NUL", "not absolute", "output of 5 bytes", "negative", "A=B",
		"socket path",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell of %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Error("the error tells a value of the environment")
	}
}

func TestASecretIsNowhereOnDiskNorInAnyArgv(t *testing.T) {
	const canary = "canary-7f3a91c2"
	p := newPlace(t)
	o := p.options("secret", sh(`[ "$TOKEN" = `+"canary-7f3a"+`91c2 ] && echo has token; exec sleep 600`)...)
	o.Spec.Argv = sh(`test ${#TOKEN} -eq 15 && echo has token; exec sleep 600`)
	o.Spec.Env = append(o.Spec.Env, shim.EnvVar{Name: "TOKEN", Value: canary, Secret: true})
	s := start(t, o)
	printed(t, s.Client, "has token")
	files := 0
	if err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), canary) {
			t.Errorf("%s holds the secret", path)
		}
		if fi, err := d.Info(); err == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, fi.Mode())
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if files < 6 {
		t.Errorf("looked into %d files only", files)
	}
	for _, pid := range []int{s.State.Shim.PID, s.State.Gateway.PID} {
		for _, name := range []string{"cmdline", "environ"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if errors.Is(err, fs.ErrNotExist) || (name == "environ" && pid == s.State.Gateway.PID) {
				continue
			}
			if err != nil || strings.Contains(string(b), canary) {
				t.Errorf("%s of pid %d: %q, %v", name, pid, b, err)
			}
		}
	}
	if fi, err := os.Stat(p.bundle("secret")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("bundle: %v, %v", fi.Mode(), err)
	}
	if fi, err := os.Stat(o.Spec.Socket); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	other := o
	other.Spec.Env = slices.Clone(o.Spec.Env)
	other.Spec.Env[len(other.Spec.Env)-1].Value = "rotated"
	if o.Spec.Hash() != other.Spec.Hash() {
		t.Error("the hash depends on a secret")
	}
}

func TestAnOrphanIsStoppedAfterItsGrace(t *testing.T) {
	p := newPlace(t)
	o := p.options("orphan", sh("trap 'exit 3' TERM; while :; do sleep 0.05; done")...)
	grace := 300 * time.Millisecond
	o.Spec.OrphanGrace = &grace
	s := start(t, o)
	select {
	case <-s.Client.Done():
		t.Fatal("the connection ended")
	case <-time.After(3 * grace): // held: nothing may happen
	}
	if st, err := s.Client.State(deadline(t)); err != nil || st.Exit != nil {
		t.Fatalf("stopped while a client was connected: %+v, %v", st, err)
	}
	s.Client.Close()
	waitGone(t, s.State.Gateway)
	c, err := shim.Connect(deadline(t), o.BundleDir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if out := follow(t, c); out.end.Exit.Code != 3 {
		t.Errorf("exit = %+v", out.end.Exit)
	}
	if st, err := c.State(deadline(t)); err != nil || !st.StoppedAlone {
		t.Errorf("State = %+v, %v, want StoppedAlone", st, err)
	}
}

func TestTheShimGoesAfterItsLinger(t *testing.T) {
	p := newPlace(t)
	o := p.options("linger", "true")
	linger := 100 * time.Millisecond
	o.Spec.Linger = &linger
	s := start(t, o)
	waitGone(t, s.State.Shim)
	<-s.Client.Done()
	if _, err := s.Client.State(deadline(t)); !errors.Is(err, shim.ErrShimGone) {
		t.Errorf("State = %v, want ErrShimGone", err)
	}
	if _, err := shim.Connect(deadline(t), o.BundleDir); !errors.Is(err, shim.ErrShimGone) {
		t.Errorf("Connect = %v, want ErrShimGone", err)
	}
	if b, err := shim.OpenBundle(o.BundleDir); err != nil || b.Status != shim.StatusEnded || b.Exit == nil {
		t.Errorf("bundle = %+v, %v", b, err)
	}
}

func TestTermToTheShimStopsTheGatewayAndTellsFollowers(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("term", sh("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done")...))
	printed(t, s.Client, "ready")
	for _, name := range []string{"HUP", "INT"} { // ignored
		sig, err := process.ParseSignal(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.State.Shim.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Client.State(deadline(t)); err != nil {
		t.Fatalf("after SIGHUP and SIGINT: %v", err)
	}
	if err := s.State.Shim.Signal(15); err != nil {
		t.Fatal(err)
	}
	if out := follow(t, s.Client); out.end.Exit.Code != 5 || !strings.HasSuffix(out.text(), "bye\n") {
		t.Errorf("end = %+v, output %q", out.end, out.text())
	}
	waitGone(t, s.State.Shim)
}

func TestADeadShimLeavesAnUnwatchedGatewayThatCanBeStopped(t *testing.T) {
	p := newPlace(t)
	// The gateway ignores SIGPIPE as Node does, and outlives its reader.
	s := start(t, p.options("unwatched", sh("trap '' PIPE; echo ready; sleep 600 & wait")...))
	printed(t, s.Client, "ready")
	if err := s.State.Shim.Signal(9); err != nil {
		t.Fatal(err)
	}
	<-s.Client.Done()
	waitGone(t, s.State.Shim)
	b, err := shim.OpenBundle(p.bundle("unwatched"))
	if err != nil || b.Status != shim.StatusUnwatched || !b.Live() || b.Detail == "" {
		t.Fatalf("bundle = %+v, %v", b, err)
	}
	if err := shim.Remove(b.Dir); !errors.Is(err, shim.ErrRunning) {
		t.Errorf("Remove = %v, want ErrRunning", err)
	}
	var kept output
	if err := b.Output(deadline(t), 0, kept.item); err != nil || kept.text() != "ready\n" || !kept.end.Running {
		t.Errorf("output that was kept: %v, %q, %+v", err, kept.text(), kept.end)
	}
	again := start(t, p.options("unwatched", sh("trap '' PIPE; echo ready; sleep 600 & wait")...))
	if !again.Already || again.Bundle.Status != shim.StatusUnwatched || again.Client != nil {
		t.Errorf("Start = %+v, want the unwatched gateway and no second one", again)
	}
	if u, err := b.Usage(); err != nil || u.Processes != 2 || u.RSSBytes == 0 {
		t.Errorf("Usage = %+v, %v, want 2 processes", u, err)
	}
	stopped, err := b.StopUnwatched(deadline(t), patience)
	if err != nil || stopped.Killed || stopped.Swept > 1 { // the child may have ended on SIGTERM
		t.Errorf("StopUnwatched = %+v, %v, want the end in time", stopped, err)
	}
	waitGone(t, s.State.Gateway)
	if b, err = shim.OpenBundle(b.Dir); err != nil || b.Status != shim.StatusEnded || b.Exit != nil ||
		!strings.Contains(b.Detail, "unseen") {
		t.Errorf("bundle = %+v, %v, want ended unseen", b, err)
	}
	if stopped, err = b.StopUnwatched(deadline(t), 0); err != nil || stopped != (shim.Stopped{}) {
		t.Errorf("second StopUnwatched = %+v, %v", stopped, err)
	}
}

func TestGarbageInTheRunDirectoryIsExplained(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("good", "sleep", "600"))
	for name, text := range map[string]string{
		"cut":      `{"v":1,`,
		"empty":    "",
		"other":    `{"v":1,"launch_id":"good","shim":{"pid":1,"start_time":"1"},"boot_id":"x"}`,
		"nameless": `{"v":1,"launch_id":"nameless"}`,
		"wrong":    `{"v":"one"}`,
		"huge":     strings.Repeat(" ", 2<<20),
	} {
		dir := filepath.Join(p.run(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := shim.Start(deadline(t), p.options(name, "true")); !errors.Is(err, shim.ErrBroken) {
			t.Errorf("Start over %s = %v, want ErrBroken", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(p.run(), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := shim.List(p.run())
	if err != nil || len(all) != 8 {
		t.Fatalf("List = %d bundles, %v, want 8", len(all), err)
	}
	for _, b := range all {
		if b.LaunchID == "good" {
			if b.Status != shim.StatusRunning || b.State.Gateway != s.State.Gateway {
				t.Errorf("good = %+v", b)
			}
			continue
		}
		if b.Status != shim.StatusBroken || !errors.Is(b.Problem, shim.ErrBroken) ||
			!strings.Contains(b.Problem.Error(), b.Dir) {
			t.Errorf("%s = %v, %v", b.LaunchID, b.Status, b.Problem)
		}
	}
	if none, err := shim.List(filepath.Join(p.dir, "nowhere")); err != nil || len(none) != 0 {
		t.Errorf("List of nothing = %v, %v", none, err)
	}
}

func TestABundleThatTheHostMadeAheadIsUsed(t *testing.T) {
	p := newPlace(t)
	if err := os.MkdirAll(p.bundle("ahead"), 0o755); err != nil {
		t.Fatal(err)
	}
	if b, err := shim.OpenBundle(p.bundle("ahead")); err != nil || b.Status != shim.StatusNew {
		t.Errorf("bundle = %+v, %v, want new", b, err)
	}
	s := start(t, p.options("ahead", "sleep", "600"))
	if s.Already {
		t.Error("it counts as launched")
	}
	if fi, err := os.Stat(p.bundle("ahead")); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("mode = %v, %v", fi.Mode(), err)
	}
}

func TestOutputStreamsBeatWhileNothingHappens(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("idle", "sleep", "600"))
	seen := errors.New("seen")
	if err := s.Client.Output(deadline(t), 0, true, func(item shim.Item) error {
		if _, ok := item.(shim.Heartbeat); ok {
			return seen
		}
		return nil
	}); !errors.Is(err, seen) {
		t.Errorf("Output = %v, want a heartbeat", err)
	}
}
