//go:build unix

package launcherutility_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// ran is what an Exec gave.
type ran struct {
	result launcher.ExecResult
	lines  []plugin.Line
	err    error
}

func (r ran) texts(stream plugin.Stream) []string {
	var texts []string
	for _, l := range r.lines {
		if l.Stream == stream {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

func execute(ctx context.Context, l launcher.Launcher, req launcher.ExecRequest) ran {
	var r ran
	if req.Timeout == 0 {
		req.Timeout = patience
	}
	r.result, r.err = l.Exec(ctx, req, func(line plugin.Line) error {
		r.lines = append(r.lines, line)
		return nil
	})
	return r
}

// noTrace checks that no command left a bundle or a socket.
func noTrace(t *testing.T, p place) {
	t.Helper()
	for _, dir := range []string{filepath.Join(p.run(), ".exec"), filepath.Join(p.dir, "s")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}

func TestExecStreamsLinesAndTellsTheExit(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	r := execute(deadline(t), l, launcher.ExecRequest{
		Process: p.process(`cat; echo "in $(pwd)"; echo warn >&2; printf end; exit 9`), Stdin: []byte("given\n"),
	})
	if r.err != nil || r.result.Exit.Code != 9 || !r.result.Exit.Known || r.result.TimedOut ||
		r.result.DroppedBytes != 0 {
		t.Errorf("Exec = %+v, %v", r.result, r.err)
	}
	if got := r.texts(plugin.Stdout); !slices.Equal(got, []string{"given", "in " + p.dir, "end"}) {
		t.Errorf("stdout = %q", got)
	}
	if got := r.texts(plugin.Stderr); !slices.Equal(got, []string{"warn"}) {
		t.Errorf("stderr = %q", got)
	}
	if listing, err := l.List(deadline(t), ""); err != nil || len(listing.Instances)+len(listing.Broken) != 0 {
		t.Errorf("List shows a command: %+v, %v", listing, err)
	}
	noTrace(t, p)
}

func TestExecTimesOutAndKillsTheWholeTree(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	began := time.Now()
	r := execute(deadline(t), l, launcher.ExecRequest{
		Process: p.process(`trap '' TERM; sh -c 'trap "" TERM; echo $$; exec sleep 600' & wait; sleep 600`),
		Timeout: time.Second,
	})
	if r.err != nil || !r.result.TimedOut || r.result.Exit.Signal != "SIGKILL" {
		t.Errorf("Exec = %+v, %v, want a time-out", r.result, r.err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("timed out after %v", took)
	}
	for _, text := range r.texts(plugin.Stdout) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process.Identify(pid); !errors.Is(err, process.ErrGone) {
			t.Errorf("pid %d after Exec: %v, want it gone", pid, err)
		}
	}
	noTrace(t, p)
}

func TestCancellingExecKillsAndCleans(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	pid := 0
	_, err := l.Exec(ctx, launcher.ExecRequest{Process: p.process(`echo $$; exec sleep 600`), Timeout: patience},
		func(line plugin.Line) error {
			pid, _ = strconv.Atoi(line.Text)
			cancel()
			return nil
		})
	if !errors.Is(err, fault.ErrCancelled) {
		t.Errorf("Exec = %v, want cancelled", err)
	}
	if _, err := process.Identify(pid); !errors.Is(err, process.ErrGone) {
		t.Errorf("pid %d: %v, want it gone", pid, err)
	}
	noTrace(t, p)
}

// TestExecCancelledWhileItBeginsLeavesNothing: the caller may go away at any moment, also between the command's first
// breath and the shim's first word to us.
func TestExecCancelledWhileItBeginsLeavesNothing(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	// the folders are there from now on
	if r := execute(deadline(t), l, launcher.ExecRequest{Process: p.process(`true`), Timeout: patience}); r.err != nil {
		t.Fatal(r.err)
	}
	for n := range 40 {
		ctx, cancel := context.WithTimeout(deadline(t), time.Duration(n)*time.Millisecond)
		_, err := l.Exec(ctx, launcher.ExecRequest{
			Process: p.process(`trap '' TERM; sleep 600 & wait; sleep 600`),
			Timeout: time.Minute,
		},
			func(plugin.Line) error { return nil })
		cancel()
		if err == nil {
			t.Errorf("cancelled after %d ms: no error", n)
		}
		noTrace(t, p)
	}
}

func TestExecBoundsTheOutput(t *testing.T) {
	p := newPlace(t)
	r := execute(deadline(t), p.open(t), launcher.ExecRequest{
		Process: p.process(`i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo 123456789; done`), MaxOutputBytes: 105,
	})
	if r.err != nil || len(r.lines) != 10 || r.result.DroppedBytes != 900 || r.result.Exit.Code != 0 {
		t.Errorf("Exec = %+v, %v, %d lines; want 10 lines and 900 bytes dropped", r.result, r.err, len(r.lines))
	}
}

func TestExecOfNoProgramIsNotFound(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	spec := p.process("")
	spec.Argv = []string{"no-such-program"}
	r := execute(deadline(t), l, launcher.ExecRequest{Process: spec})
	if !errors.Is(r.err, fault.ErrNotFound) || !strings.Contains(r.err.Error(), "no-such-program") {
		t.Errorf("Exec = %v", r.err)
	}
	for name, req := range map[string]launcher.ExecRequest{
		"negative timeout": {Process: p.process("true"), Timeout: -1},
		"large stdin":      {Process: p.process("true"), Stdin: make([]byte, 2<<20)},
	} {
		if r := execute(deadline(t), l, req); !errors.Is(r.err, fault.ErrInvalidArgument) {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	noTrace(t, p)
}

func TestAFailingSinkEndsTheCommand(t *testing.T) {
	p := newPlace(t)
	_, err := p.open(t).Exec(deadline(t), launcher.ExecRequest{
		Process: p.process("echo x; exec sleep 600"),
		Timeout: patience,
	},
		func(plugin.Line) error { return errSeen })
	if !errors.Is(err, errSeen) {
		t.Errorf("Exec = %v, want the sink's error", err)
	}
	noTrace(t, p)
}

func TestManyCommandsAtOnce(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	results := make(chan ran)
	for range 5 {
		go func() {
			results <- execute(context.Background(), l, launcher.ExecRequest{Process: p.process("echo ok; exit 2")})
		}()
	}
	for range 5 {
		if r := <-results; r.err != nil || r.result.Exit.Code != 2 ||
			!slices.Equal(r.texts(plugin.Stdout), []string{"ok"}) {
			t.Errorf("Exec = %+v, %q, %v", r.result, r.texts(plugin.Stdout), r.err)
		}
	}
	noTrace(t, p)
}

// While one process of the plugin takes another's place both are there: the new one tidies up what commands left, and
// must not spoil the end of those that the former one still runs.
func TestCommandsEndWellWhileAnotherProcessOfThePluginTidiesUp(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	done := make(chan struct{})
	var tidying sync.WaitGroup
	tidying.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				p.open(t).Close()
			}
		}
	})
	for range 30 {
		if r := execute(deadline(t), l, launcher.ExecRequest{Process: p.process("exit 3")}); r.err != nil ||
			r.result.Exit.Code != 3 {
			t.Errorf("Exec = %+v, %v", r.result, r.err)
		}
	}
	close(done)
	tidying.Wait()
	noTrace(t, p)
}

func TestWhatACommandLeftIsForgottenOnceNobodyCanWantIt(t *testing.T) {
	p := newPlace(t)
	p.open(t)
	dir := filepath.Join(p.run(), ".exec", "left")
	_, err := shim.Start(deadline(t), shim.StartOptions{ShimPath: shimPath, BundleDir: dir, Spec: shim.Spec{
		LaunchID: "left", Argv: []string{"/no/such/program"}, Cwd: p.dir,
		Socket: shim.SocketPath(filepath.Join(p.dir, "s"), dir),
	}})
	if err == nil {
		t.Fatal("a program that is not there was started")
	}
	p.open(t)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("what has just failed: %v", err)
	}
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // its shim ends first
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		p.open(t)
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(until) {
			t.Fatal("it is still there")
		}
	}
}

// Even if a process tidies up too early, the command's result is known all the same.
func TestACommandWhoseTracesAreRemovedTellsItsExit(t *testing.T) {
	p := newPlace(t)
	l := p.open(t)
	r := ran{}
	r.result, r.err = l.Exec(deadline(t), launcher.ExecRequest{
		Process: p.process("echo x; sleep 0.2; exit 3"),
		Timeout: patience,
	},
		func(line plugin.Line) error {
			r.lines = append(r.lines, line)
			return os.RemoveAll(filepath.Join(p.run(), ".exec"))
		})
	if r.err != nil || r.result.Exit.Code != 3 || !slices.Equal(r.texts(plugin.Stdout), []string{"x"}) {
		t.Errorf("Exec = %+v, %v, %q", r.result, r.err, r.texts(plugin.Stdout))
	}
}

func TestACommandWhoseShimAndPluginDiedIsEnded(t *testing.T) {
	p := newPlace(t)
	p.open(t)
	dir := filepath.Join(p.run(), ".exec", "left")
	s, err := shim.Start(deadline(t), shim.StartOptions{ShimPath: shimPath, BundleDir: dir, Spec: shim.Spec{
		LaunchID: "left", Argv: []string{"sleep", "600"}, Cwd: p.dir, Socket: shim.SocketPath(filepath.Join(p.dir, "s"),
			dir),
		Env: []shim.EnvVar{{Name: "PATH", Value: "/usr/local/bin:/usr/bin:/bin"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Client.Close()
	p.open(t)
	if !s.State.Gateway.Alive() {
		t.Fatal("a command that runs under its shim was ended")
	}
	if err := s.State.Shim.Signal(9); err != nil {
		t.Fatal(err)
	}
	if err := s.State.Shim.WaitGone(deadline(t)); err != nil {
		t.Fatal(err)
	}
	p.open(t)
	if s.State.Gateway.Alive() {
		t.Error("it lives, and no process will end it")
	}
}
