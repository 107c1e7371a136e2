package shim_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// pidAfter reads "word PID" from the gateway's output.
func pidAfter(t *testing.T, s shim.Started, word string) process.Identity {
	t.Helper()
	text := printed(t, s.Client, word+" ")
	_, rest, _ := strings.Cut(text, word+" ")
	line, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatalf("output %q: %v", text, err)
	}
	id, err := process.Identify(pid)
	if err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	return id
}

// OpenClaw's spawn broker has its own session and process group (docs/openclaw.md §4, process tree).
func TestAGrandchildInAnotherSessionIsEndedToo(t *testing.T) {
	for name, tc := range map[string]struct {
		grace  time.Duration
		script string
	}{
		"by the kill": {0, `setsid sh -c 'trap "" TERM; echo broker $$; while :; do sleep 0.05; done' & wait`},
		"by the sweep": {
			patience,
			`trap 'exit 0' TERM; setsid sh -c 'trap "" TERM; echo broker $$; while :; do sleep 0.05; done' & while :; do ` +
				`sleep 0.05; done`,
		},
		"without the mark": {
			patience,
			`trap 'exit 0' TERM; setsid env -u GATEHOST_LAUNCH_MARK sh -c 'echo broker $$; exec sleep 600' &
			while :; do sleep 0.05; done`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := start(t, p.options("broker", sh(tc.script)...))
			broker := pidAfter(t, s, "broker")
			stopped, err := s.Client.Stop(deadline(t), tc.grace)
			if err != nil || stopped.Swept == 0 {
				t.Errorf("Stop = %+v, %v, want the broker swept", stopped, err)
			}
			if broker.Alive() {
				t.Error("the broker lives after Stop was answered")
			}
		})
	}
}

func TestWhatAGatewayLeavesBehindIsSweptWhenItEndsByItself(t *testing.T) {
	p := newPlace(t)
	s := start(t,
		p.options("leaves",
			sh(`setsid sh -c 'echo child $$; exec sleep 600' & while [ ! -e go ]; do sleep 0.05; done; exit 4`)...))
	child := pidAfter(t, s, "child")
	if err := os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := follow(t, s.Client); out.end.Exit.Code != 4 {
		t.Errorf("exit = %+v", out.end.Exit)
	}
	waitGone(t, child)
}

func TestAGrandchildThatHoldsThePipeDoesNotDelayTheEnd(t *testing.T) {
	p := newPlace(t)
	// It ignores SIGTERM, so that it holds the pipe until the sweep kills it after two seconds.
	s := start(t,
		p.options("holder",
			sh(`setsid sh -c 'trap "" TERM; echo holder $$; exec sleep 600' & while [ ! -e go ]; do sleep 0.05; done; echo `+
				`last; exit 0`)...))
	pidAfter(t, s, "holder")
	if err := os.WriteFile(filepath.Join(p.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := follow(t, s.Client)
	if !out.end.Truncated || !strings.HasSuffix(out.text(), "last\n") {
		t.Errorf("end = %+v, output %q; want it truncated, with the last line", out.end, out.text())
	}
	st, err := s.Client.State(deadline(t))
	if err != nil || st.Exit == nil || !st.Exit.Final {
		t.Fatalf("State = %+v, %v", st, err)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	p := newPlace(t)
	s := start(t,
		p.options("reap",
			sh(`i=0; while [ $i -lt 20 ]; do i=$((i+1)); (sh -c 'exit 3' &) ; done; echo done; exec sleep 600`)...))
	printed(t, s.Client, "done")
	eventually(t, "the shim has the gateway as its only child, and no zombie", func() bool {
		return len(childrenOf(t, s.State.Shim.PID)) == 1
	})
}

// childrenOf lists all children, zombies as well.
func childrenOf(t *testing.T, parent int) []string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var children []string
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			children = append(children, string(b))
		}
	}
	return children
}

func TestTheShimIsSmall(t *testing.T) {
	p := newPlace(t)
	o := p.options("small", sh("head -c 4000000 /dev/zero | tr '\\0' 'x'; echo done; exec sleep 600")...)
	if raceEnabled { // the race detector's own memory is not ours
		o.ShimPath = filepath.Join(p.dir, "shim")
		if err := buildShim(o.ShimPath, false); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, o)
	printed(t, s.Client, "done")
	const limit = 5 << 10
	if kb := status(t, s.State.Shim.PID, "RssAnon"); kb >= limit {
		t.Errorf("anonymous memory = %d kB after 4 MB of output, want less than %d", kb, limit)
	}
}

// switches counts how often any thread of a process was put on a processor.
func switches(t *testing.T, pid int) int {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("threads of pid %d: %v, %v", pid, threads, err)
	}
	n := 0
	for _, path := range threads {
		n += field(t, path, "voluntary_ctxt_switches") + field(t, path, "nonvoluntary_ctxt_switches")
	}
	return n
}

// A shim lives for months: while nothing happens it must cost nothing, also with a host connected and an orphan grace
// to watch.
func TestAnIdleShimDoesNotWakeUp(t *testing.T) {
	p := newPlace(t)
	o := p.options("idle", sh("echo ready; exec sleep 600")...)
	grace := time.Hour
	o.Spec.OrphanGrace = &grace
	if raceEnabled { // the race detector's own threads are not ours
		o.ShimPath = filepath.Join(p.dir, "shim")
		if err := buildShim(o.ShimPath, false); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, o)
	printed(t, s.Client, "ready")
	idle(t, s.State.Shim.PID, "with a host")
	s.Client.Close()
	idle(t, s.State.Shim.PID, "without a host")
}

// idle waits until the runtime has settled down, and then for a while in which nothing at all may happen.
func idle(t *testing.T, pid int, name string) {
	t.Helper()
	const settle, window = time.Second, 5 * time.Second
	n := 0
	for range 5 {
		eventually(t, "the shim settles down "+name, func() bool {
			before := switches(t, pid)
			time.Sleep(settle)
			return switches(t, pid) == before
		})
		before := switches(t, pid)
		time.Sleep(window)
		if n = switches(t, pid) - before; n == 0 {
			return
		}
	}
	t.Errorf("%s: the shim woke up %d times in %v, and always did", name, n, window)
}

func status(t *testing.T, pid int, key string) int {
	t.Helper()
	return field(t, fmt.Sprintf("/proc/%d/status", pid), key)
}

func field(t *testing.T, path, key string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, _ := strings.Cut(s.Text(), ":"); name == key {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", key, path)
	return 0
}

// A plugin whose pipe a shim holds would look alive for months (R5).
func TestTheShimHoldsNothingOfItsStarter(t *testing.T) {
	p := newPlace(t)
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil { // not close-on-exec
		t.Fatal(err)
	}
	s := start(t, p.options("stray", "sleep", "600"))
	unix.Close(fds[1])
	r := os.NewFile(uintptr(fds[0]), "pipe")
	defer r.Close()
	got := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 1))
		got <- err
	}()
	select {
	case err := <-got:
		if err == nil {
			t.Error("read something")
		}
	case <-time.After(patience):
		t.Error("the shim or its gateway holds a descriptor of its starter")
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/[012]", s.State.Shim.PID))
	if err != nil || len(links) != 3 {
		t.Fatalf("%v, %v", links, err)
	}
	for _, l := range links[:2] {
		if target, err := os.Readlink(l); err != nil || target != os.DevNull {
			t.Errorf("%s = %s, %v, want the null device", l, target, err)
		}
	}
	if sid, err := unix.Getsid(s.State.Shim.PID); err != nil || sid != s.State.Shim.PID {
		t.Errorf("session of the shim = %d, %v, want its own", sid, err)
	}
}

func TestAShimThatDiesBeforeTheReleaseLeavesNoGateway(t *testing.T) {
	p := newPlace(t)
	marker := filepath.Join(p.dir, "ran")
	// exec-child by itself: its gate is closed without a byte, as when its shim dies.
	cmd := commandWithFiles(t, shimPath, "exec-child", "/bin/sh", "sh", "-c", "echo x > "+marker)
	if err := cmd.Run(); err == nil {
		t.Error("exec-child succeeded without its release")
	}
	if _, err := os.Stat(marker); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the gateway ran: %v", err)
	}
}

// A wrapper that passes no signal on must not keep the stop, or its grace, from the program behind it.
func TestProgramBehindAWrapperHasTheSIGTERMOnceAndTheWholeGrace(t *testing.T) {
	const program = `trap 'echo told; sleep 2.5; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done`
	for name, script := range map[string]string{
		"that waits":      `trap : TERM; bash -c "$PROGRAM"; exit 0`,
		"that dies of it": `bash -c "$PROGRAM"; exit 0`,
		// a wait ends early when a signal comes: as often as it takes
		"that passes it on": `bash -c "$PROGRAM" & p=$!
			trap 'kill -TERM $p; while kill -0 $p; do wait $p; done 2>/dev/null; exit 0' TERM; wait $p`,
		"and another wrapper": `sh -c 'bash -c "$PROGRAM"; exit 0'; exit 0`,
	} {
		for _, watched := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, with a shim %t", name, watched), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				o := p.options("wrapped", sh(script)...)
				o.Spec.Env = append(o.Spec.Env, shim.EnvVar{Name: "PROGRAM", Value: program})
				s := start(t, o)
				printed(t, s.Client, "ready")
				if !watched {
					stopped, err := killShim(t, s).StopUnwatched(deadline(t), patience)
					if err != nil || stopped.Killed {
						t.Errorf("StopUnwatched = %+v, %v, want the end in time", stopped, err)
					}
					return
				}
				began := time.Now()
				stopped, err := s.Client.Stop(deadline(t), patience)
				if err != nil || stopped.Killed {
					t.Errorf("Stop = %+v, %v, want the end in time", stopped, err)
				}
				if took := time.Since(began); took < 2*time.Second || took > patience/2 {
					t.Errorf("Stop took %v, the program needs 2.5 s", took)
				}
				out := follow(t, s.Client)
				if !strings.Contains(out.stdout.String(), "saved") {
					t.Errorf("the program did not end in order: stdout %q, stderr %q", out.stdout.String(),
						out.stderr.String())
				}
				if n := strings.Count(out.stdout.String(), "told"); n != 1 && name != "that passes it on" {
					t.Errorf("the program was told %d times, want once: %q", n, out.stdout.String())
				}
			})
		}
	}
}

// TestShorterGraceCountsForTheProgramBehindAWrapper: stop --now, while the wrapper has ended and the program takes its
// time.
func TestShorterGraceCountsForTheProgramBehindAWrapper(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("wrapped",
		sh(`bash -c "trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done"; exit 0`)...))
	printed(t, s.Client, "ready")
	first := make(chan error, 1)
	go func() {
		_, err := s.Client.Stop(deadline(t), time.Hour)
		first <- err
	}()
	printed(t, s.Client, "told")
	began := time.Now()
	if _, err := s.Client.Stop(deadline(t), 0); err != nil {
		t.Error(err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
}
