package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/shim/process"
)

func groupName() string {
	return fmt.Sprintf("ghtest%d-%x", os.Getpid(), time.Now().UnixNano()&0xffffff)
}

// newGroup makes a control group; false where this machine has no place for one, which it finds out by itself.
func newGroup(t *testing.T, name string) (process.Group, bool) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	parent, err := process.GroupDir(string(own), string(mounts))
	if err != nil {
		return process.Group{}, false
	}
	probe := filepath.Join(parent, name+"-probe")
	if err := os.Mkdir(probe, 0o755); err != nil {
		return process.Group{}, false
	}
	if err := os.Remove(probe); err != nil {
		t.Fatal(err)
	}
	g, err := process.MakeGroup(name)
	if err != nil || g.Path != filepath.Join(parent, name) || g.ID == 0 {
		t.Fatalf("MakeGroup = %+v, %v", g, err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return g, true
}

func enter(t *testing.T, path string, id process.Identity) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(id.PID)), 0); err != nil {
		t.Fatal(err)
	}
}

func TestAGroupIsMadeAnewWhenItIsEmptyOnly(t *testing.T) {
	name := groupName()
	first, here := newGroup(t, name)
	if !here {
		return
	}
	second, err := process.MakeGroup(name)
	if err != nil || second.Path != first.Path || second.ID == first.ID {
		t.Fatalf("an empty one: %+v and then %+v, %v", first, second, err)
	}
	t.Cleanup(func() { _ = second.Remove() })
	if _, err := first.Open(); !errors.Is(err, process.ErrGone) {
		t.Errorf("the first one: %v", err)
	}
	cmd, id := run(t, nil, "sleep", "600")
	enter(t, second.Path, id)
	if g, err := process.MakeGroup(name); err == nil {
		t.Errorf("one with a process in it: %+v", g)
	}
	if err := second.Remove(); err == nil || !strings.Contains(err.Error(), "cannot remove control group") {
		t.Errorf("it was removed: %v", err)
	}
	if got, err := process.FindGroup(name); err != nil || got != second {
		t.Errorf("FindGroup = %+v, %v, want %+v", got, err, second)
	}
	if got, err := process.GroupOf(id.PID, name); err != nil || got != second {
		t.Errorf("GroupOf = %+v, %v, want %+v", got, err, second)
	}
	if _, err := process.GroupOf(id.PID, "another"); !errors.Is(err, process.ErrGone) {
		t.Errorf("GroupOf another = %v", err)
	}
	if _, err := process.FindGroup(name + "-no"); !errors.Is(err, process.ErrGone) {
		t.Errorf("FindGroup of none = %v", err)
	}
	_, _ = cmd.Process.Kill(), cmd.Wait()
	if _, err := process.GroupOf(id.PID, name); err == nil {
		t.Error("GroupOf a process that is gone")
	}
}

func TestWhatHasTheNameOfAGroupIsNoGroup(t *testing.T) {
	dir := t.TempDir()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	for name, g := range map[string]process.Group{
		"a directory": {Path: dir, ID: inode}, "nothing": {Path: filepath.Join(dir, "no"), ID: 5},
	} {
		if f, err := g.Open(); !errors.Is(err, process.ErrGone) || f != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if err := g.Remove(); err != nil {
			t.Errorf("%s: Remove = %v", name, err)
		}
		if ids, err := process.Find(process.Query{Group: &g}); err != nil || len(ids) != 0 {
			t.Errorf("%s: found %v, %v", name, ids, err)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the directory: %v", err)
	}
	g, here := newGroup(t, groupName())
	if !here {
		return
	}
	for _, id := range []uint64{0, g.ID + 1} {
		if _, err := (process.Group{Path: g.Path, ID: id}).Open(); !errors.Is(err, process.ErrGone) {
			t.Errorf("of the inode %d: %v", id, err)
		}
	}
	f, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestAllInAGroupAndBelowItAreEnded, with time to end by themselves.
func TestAllInAGroupAndBelowItAreEnded(t *testing.T) {
	g, here := newGroup(t, groupName())
	if !here {
		return
	}
	below := filepath.Join(g.Path, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	end := filepath.Join(t.TempDir(), "end")
	script := fmt.Sprintf("trap 'sleep 0.3; echo end >>%s; exit 0' TERM; echo up; while :; do sleep 0.05; done", end)
	var ids []process.Identity
	for _, path := range []string{g.Path, below} {
		cmd := exec.Command("sh", "-c", script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		if _, err := out.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		id, err := process.Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		enter(t, path, id)
		ids = append(ids, id)
	}
	_, stranger := run(t, nil, "sleep", "600")
	q := process.Query{Group: &g}
	for until := time.Now().Add(30 * time.Second); ; {
		found, err := process.Find(q)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) >= 2 || time.Now().After(until) {
			break
		}
	}
	if _, err := process.End(t.Context(), q, 30*time.Second); err != nil || ids[0].Alive() || ids[1].Alive() ||
		!stranger.Alive() {
		t.Errorf("End = %v, alive %t, %t, the stranger %t", err, ids[0].Alive(), ids[1].Alive(), stranger.Alive())
	}
	if text, err := os.ReadFile(end); err != nil || string(text) != "end\nend\n" {
		t.Errorf("they ended by %q, %v", text, err)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is there: %v", err)
	}
}

// TestNoneIsLeftWhenEndReturns: killing many takes a moment.
func TestNoneIsLeftWhenEndReturns(t *testing.T) {
	_, root := run(t, nil, "sh", "-c", "i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done; wait")
	q := process.Query{Roots: []process.Identity{root}, WithRoots: true}
	var all []process.Identity
	for until := time.Now().Add(30 * time.Second); len(all) < 61 && time.Now().Before(until); {
		var err error
		if all, err = process.Find(q); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := process.End(t.Context(), q, 0); err != nil || n != 61 {
		t.Errorf("End = %d, %v", n, err)
	}
	for _, id := range all {
		if id.Alive() {
			t.Errorf("%v lives", id)
		}
	}
}

func TestAProcessTellsItsParentItsBeginningAndItsEnvironment(t *testing.T) {
	before := time.Now()
	cmd, id := run(t, []string{"ONE=1", "EMPTY="}, "sleep", "600")
	recycled := process.Identity{PID: id.PID, StartTime: "1"}
	if parent, err := id.Parent(); err != nil || parent != os.Getpid() {
		t.Errorf("Parent = %d, %v", parent, err)
	}
	if _, err := recycled.Parent(); !errors.Is(err, process.ErrGone) {
		t.Errorf("Parent of another = %v", err)
	}
	if began, err := id.Began(); err != nil || began.Sub(before).Abs() > 5*time.Second {
		t.Errorf("Began = %v, %v, want about %v", began, err, before)
	}
	if _, err := recycled.Began(); !errors.Is(err, process.ErrGone) {
		t.Errorf("Began of another = %v", err)
	}
	for name, want := range map[string]string{"ONE": "1", "EMPTY": "", "ON": "-", "TWO": "-"} {
		if got, ok := id.Env(name); ok != (want != "-") || ok && got != want {
			t.Errorf("Env(%s) = %q, %v", name, got, ok)
		}
		if got, ok := recycled.Env(name); ok {
			t.Errorf("Env(%s) of another = %q", name, got)
		}
	}
	descriptors := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	open := descriptors()
	for range 20 {
		if err := id.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	if now := descriptors(); now > open+5 {
		t.Errorf("%d descriptors, %d before 20 signals", now, open)
	}
	_, _ = cmd.Process.Kill(), cmd.Wait()
	if _, err := process.Identify(id.PID); !errors.Is(err, process.ErrGone) {
		t.Errorf("Identify of one that is gone = %v", err)
	}
	if _, ok := id.Env("ONE"); ok {
		t.Error("one that is gone has an environment")
	}
	if _, err := id.Parent(); !errors.Is(err, process.ErrGone) {
		t.Errorf("Parent of one that is gone = %v", err)
	}
	if err := id.Signal(syscall.SIGCONT); !errors.Is(err, process.ErrGone) {
		t.Errorf("Signal to one that is gone = %v", err)
	}
}

// TestWaitingSleeps until the process ends, or the context, and does not look again and again.
func TestWaitingSleeps(t *testing.T) {
	cmd, id := run(t, nil, "sleep", "600")
	slept := func(ctx context.Context, id process.Identity) chan struct{} {
		done := make(chan struct{})
		go func() {
			process.SleepUntilGone(ctx, id)
			close(done)
		}()
		return done
	}
	returns := func(what string, done chan struct{}) {
		t.Helper()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: it sleeps on", what)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := slept(t.Context(), id), slept(ctx, id)
	returns("another process", slept(t.Context(), process.Identity{PID: id.PID, StartTime: "1"}))
	select {
	case <-first:
		t.Error("it returns although the process lives")
	case <-second:
		t.Error("it returns although the process lives")
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	returns("a context that has ended", second)
	_ = cmd.Process.Kill()
	returns("a process that has ended", first)
}

// TestTheEldestRootSaysWhoMayHaveInheritedASocket.
func TestTheEldestRootSaysWhoMayHaveInheritedASocket(t *testing.T) {
	f := listening(t)
	var ids []process.Identity
	for range 3 {
		cmd := exec.Command("sleep", "600")
		cmd.ExtraFiles = []*os.File{f}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		id, err := process.Identify(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		time.Sleep(50 * time.Millisecond) // start times count in 10 ms
	}
	for _, roots := range [][]process.Identity{{ids[0], ids[2]}, {ids[2], ids[0]}} {
		found, err := process.Find(process.Query{Roots: roots, WithRoots: true, Sockets: &process.Sockets{}})
		if err != nil || len(found) != 3 {
			t.Errorf("of %v: %v, %v", roots, found, err)
		}
	}
}

// TestAGroupIsKilledAtOnce, unless we are in it.
func TestAGroupIsKilledAtOnce(t *testing.T) {
	g, here := newGroup(t, groupName())
	if !here {
		return
	}
	cmd, id := run(t, nil, "sleep", "600")
	enter(t, g.Path, id)
	us, err := process.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	enter(t, g.Path, us)
	process.Kill(g)
	enter(t, filepath.Dir(g.Path), us)
	if !id.Alive() {
		t.Error("it was killed although we were in the group")
	}
	if _, err := os.Stat(filepath.Join(g.Path, "cgroup.kill")); err != nil {
		t.Logf("this kernel kills no group: %v", err)
		return
	}
	process.Kill(g)
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("it ended by %v", err)
	}
}

// TestAGroupIsRemovedWhenItsLastProcessEnds: the kernel may notice that some time later.
func TestAGroupIsRemovedWhenItsLastProcessEnds(t *testing.T) {
	g, here := newGroup(t, groupName())
	if !here {
		return
	}
	cmd, id := run(t, nil, "sleep", "600")
	enter(t, g.Path, id)
	time.AfterFunc(300*time.Millisecond, func() { _ = cmd.Process.Kill() })
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is there: %v", err)
	}
}

// TestThoseAboveUsAreNotMeant, although they share a socket with a tree and are younger than its root. It runs itself
// below a shell, to which this environment belongs.
func TestThoseAboveUsAreNotMeant(t *testing.T) {
	if root, below := os.LookupEnv("PROCESS_TEST_ROOT"); below {
		var id process.Identity
		if _, err := fmt.Sscan(root, &id.PID, &id.StartTime); err != nil {
			t.Fatal(err)
		}
		found, err := process.Find(process.Query{
			Roots: []process.Identity{id}, WithRoots: true, Sockets: &process.Sockets{},
		})
		if err != nil || len(found) != 1 || found[0] != id {
			t.Errorf("found %v, %v, want %v; above us is %d", found, err, id, os.Getppid())
		}
		return
	}
	f := listening(t)
	root := exec.Command("sleep", "600")
	root.ExtraFiles = []*os.File{f}
	if err := root.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = root.Process.Kill(), root.Wait() })
	id, err := process.Identify(root.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // start times count in 10 ms
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", `"$0" -test.run '^TestThoseAboveUsAreNotMeant$'; exit $?`, self)
	shell.Env = append(os.Environ(), fmt.Sprintf("PROCESS_TEST_ROOT=%d %s", id.PID, id.StartTime))
	shell.ExtraFiles = []*os.File{f}
	if out, err := shell.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
