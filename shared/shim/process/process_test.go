//go:build linux || darwin

package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

func run(t *testing.T, env []string, name string, args ...string) (*exec.Cmd, process.Identity) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	id, err := process.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, id
}

func TestAProcessIsKnownByItsStartTimeAndNotByItsPidAlone(t *testing.T) {
	_, id := run(t, nil, "sleep", "600")
	if !id.Alive() {
		t.Errorf("%v does not live", id)
	}
	recycled := process.Identity{PID: id.PID, StartTime: "1"}
	if recycled.Alive() {
		t.Error("another start time counts as alive")
	}
	if err := recycled.Signal(syscall.SIGKILL); !errors.Is(err, process.ErrGone) {
		t.Errorf("Signal to a recycled pid = %v, want ErrGone", err)
	}
	if n, err := process.End(t.Context(), process.Query{Roots: []process.Identity{recycled}, WithRoots: true},
		0); n != 0 || err != nil {
		t.Errorf("End of a recycled pid = %d, %v, want nothing signalled", n, err)
	}
	if !id.Alive() {
		t.Error("a stranger was signalled")
	}
}

func TestAZombieIsGone(t *testing.T) {
	cmd, id := run(t, nil, "sleep", "600")
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil { // not waited for: it stays as a zombie
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := id.WaitGone(ctx); err != nil {
		t.Errorf("WaitGone = %v", err)
	}
	if _, err := process.Identify(id.PID); !errors.Is(err, process.ErrGone) {
		t.Errorf("Identify of a zombie = %v, want ErrGone", err)
	}
}

func TestNeitherInitNorWeAreSignalled(t *testing.T) {
	for _, pid := range []int{-1, 0, 1, os.Getpid()} {
		start, _ := process.StartTime(pid)
		if err := (process.Identity{PID: pid, StartTime: start}).Signal(syscall.SIGCONT); err == nil {
			t.Errorf("pid %d was signalled", pid)
		}
	}
}

func TestATreeIsFoundByDescentAndByMark(t *testing.T) {
	mark := "GATEHOST_TEST_MARK=" + t.TempDir()
	_, root := run(t, []string{mark}, "sh", "-c", "sleep 600 & sleep 600 & wait")
	_, stray := run(t, []string{mark}, "sleep", "600")
	_, other := run(t, nil, "sleep", "600")
	find := func(q process.Query) []process.Identity {
		ids, err := process.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	q := process.Query{Roots: []process.Identity{root}, WithRoots: true, Env: mark}
	for until := time.Now().Add(30 * time.Second); len(find(q)) < 4 && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := find(q); len(got) != 4 {
		t.Errorf("found %v, want root, two children and the stray", got)
	}
	if got := find(process.Query{Roots: []process.Identity{root}}); len(got) != 2 {
		t.Errorf("descendants = %v, want two", got)
	}
	if n, err := process.End(t.Context(), q, 30*time.Second); n != 4 || err != nil {
		t.Errorf("End = %d, %v, want 4", n, err)
	}
	if root.Alive() || stray.Alive() || !other.Alive() {
		t.Errorf("alive: root %t, stray %t, other %t", root.Alive(), stray.Alive(), other.Alive())
	}
}

func TestWhatIgnoresTermIsKilledAfterTheGrace(t *testing.T) {
	cmd, id := run(t, nil, "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
	time.Sleep(200 * time.Millisecond) // the trap is set, or the test shows less
	n, err := process.End(t.Context(), process.Query{Roots: []process.Identity{id}, WithRoots: true},
		200*time.Millisecond)
	if n == 0 || err != nil || id.Alive() {
		t.Errorf("End = %d, %v, alive %t", n, err, id.Alive())
	}
	_ = cmd.Wait()
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]syscall.Signal{
		"SIGTERM": syscall.SIGTERM, "usr2": syscall.SIGUSR2,
		"KILL": syscall.SIGKILL,
	} {
		if got, err := process.ParseSignal(name); err != nil || got != want {
			t.Errorf("ParseSignal(%s) = %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "SIG", "9", "SIGTERM\n"} {
		if _, err := process.ParseSignal(name); err == nil {
			t.Errorf("ParseSignal(%q) succeeded", name)
		}
	}
	if got := process.SignalName(syscall.SIGSEGV); got != "SIGSEGV" {
		t.Errorf("SignalName = %s", got)
	}
}

func TestTheBootHasAnIdentity(t *testing.T) {
	a, err := process.BootID()
	b, err2 := process.BootID()
	if err != nil || err2 != nil || a == "" || a != b {
		t.Errorf("BootID = %q, %q, %v, %v", a, b, err, err2)
	}
}
