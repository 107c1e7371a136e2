package pluginhost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// descriptors returns what this process has open, by number.
func descriptors(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = to
		}
	}
	return open
}

// opened returns which descriptors of these are new since before.
func opened(before, now map[string]string) []string {
	var out []string
	for n, to := range now {
		if before[n] != to && !strings.Contains(to, "anon_inode") {
			out = append(out, n+" -> "+to)
		}
	}
	return out
}

func TestSandboxThatCannotBeMadeLeavesNoDescriptor(t *testing.T) {
	before := descriptors(t)
	shut := Spec{Sandbox: &sandbox.Spec{Read: []string{"relative"}}}
	program := &executable{path: "/bin/true", argv: []string{"/bin/true"}}
	_, watch, _, err := command(shut, program, t.TempDir(), t.TempDir(), Options{})
	if err == nil || watch != nil || !strings.Contains(err.Error(), "is not an absolute path") {
		t.Fatalf("watch %v, error %v", watch, err)
	}
	if left := opened(before, descriptors(t)); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
}

// TestPipesAreDrainedWhenBothHaveEnded: a pipe that we closed ourselves may still have a writer.
func TestPipesAreDrainedWhenBothHaveEnded(t *testing.T) {
	p := &process{open: 2, drained: make(chan struct{})}
	for _, step := range []struct {
		err  error
		want bool
	}{{io.EOF, false}, {os.ErrClosed, false}, {io.EOF, true}} {
		p.emptied(step.err)
		select {
		case <-p.drained:
			if !step.want {
				t.Fatalf("drained after %v, with %d open", step.err, p.open)
			}
		default:
			if step.want {
				t.Fatalf("not drained after %v", step.err)
			}
		}
	}
}

// TestOurEndsOfThePipesAreClosed: what a dead plugin left may hold the other ends for ever.
func TestOurEndsOfThePipesAreClosed(t *testing.T) {
	before := descriptors(t)
	p := &process{}
	var theirs [3]*os.File
	pipe := func(n int) (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		theirs[n] = r
		if n > 0 {
			theirs[n] = w
		}
		return r, w
	}
	_, p.death = pipe(0)
	p.outR, _ = pipe(1)
	p.errR, _ = pipe(2)
	p.toHost, p.fromOut = io.Pipe()
	p.closePipes()
	p.closePipes() // go-plugin, our timer and a failed start may all come here
	p.closeStdin()
	for _, f := range theirs {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if left := opened(before, descriptors(t)); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
	if _, err := p.toHost.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("go-plugin reads on: %v", err)
	}
}

// TestPluginIsOnThisMachine: its handshake names an address, and what listens elsewhere is no plugin of ours.
func TestPluginIsOnThisMachine(t *testing.T) {
	for _, row := range []struct {
		network, address string
		refused          bool
	}{
		{"unix", "/run/p/plugin1", false},
		{"tcp", "127.0.0.1:4711", false},
		{"tcp6", "[::1]:4711", false},
		{"tcp", "192.0.2.1:443", true},
		{"tcp", "localhost:4711", true}, // a name may be of any machine
		{"tcp", "127.0.0.1", true},
	} {
		network, address, err := (&process{}).PluginToHost(row.network, row.address)
		if row.refused {
			if err == nil || !strings.Contains(err.Error(), "not on loopback") || address != "" {
				t.Errorf("%s %s: %q, %v", row.network, row.address, address, err)
			}
			continue
		}
		if err != nil || network != row.network || address != row.address {
			t.Errorf("%s %s gives %s %s, %v", row.network, row.address, network, address, err)
		}
	}
}

// TestFileThatWasCheckedRunsWhateverTakesItsPath: another file may be there by the time of the start.
func TestFileThatWasCheckedRunsWhateverTakesItsPath(t *testing.T) {
	for _, row := range []struct {
		name string
		spec Spec
	}{
		{"a launcher", Spec{Name: "p"}},
		{"a doctor", Spec{Name: "p", Uses: []plugin.Kind{plugin.KindDoctor}}},
		{"sandboxed", Spec{Name: "p", Sandbox: &sandbox.Spec{}}},
	} {
		for checked, want := range map[bool]string{true: "checked\n", false: "replaced\n"} {
			if row.spec.Sandbox != nil && !checked {
				continue // it always gets the opened file
			}
			t.Run(fmt.Sprintf("%s, checked %t", row.name, checked), func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "program")
				script := func(name, word string) {
					if err := os.WriteFile(name, []byte("#!/bin/sh\necho "+word+"\n"), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				script(path, "checked")
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = f.Close() }()
				script(path+".new", "replaced")
				if err := os.Rename(path+".new", path); err != nil {
					t.Fatal(err)
				}
				exe := &executable{path: path, file: f, argv: []string{path}, checked: checked}
				cmd, watch, _, err := command(row.spec, exe, dir, t.TempDir(), Options{})
				if err != nil {
					t.Fatal(err)
				}
				if watch != nil {
					go watch.Run(func(sandbox.Access) {})
				}
				if out, err := cmd.Output(); err != nil || string(out) != want {
					t.Errorf("it says %q, %v, want %q", out, err, want)
				}
			})
		}
	}
}

// TestMemoryOfAGroupIsThatOfAllInIt: a plugin without a mark is measured by its group.
func TestMemoryOfAGroupIsThatOfAllInIt(t *testing.T) {
	// the child says where it is when it has become sleep
	cmd := exec.Command("/bin/sh", "-c", `sleep 600 & setsid sleep 601 & echo "$! x"; exec 1>&-; wait`)
	ownGroup(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leader := cmd.Process.Pid
	var apart int
	if _, err := fmt.Fscan(out, &apart); err != nil {
		t.Fatal(err)
	}
	defer func() {
		killGroup(cmd.Process)
		_ = testhost.Signal(apart, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	group := func() (inIt []int) {
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			pid, _ := strconv.Atoi(e.Name())
			if g, err := syscall.Getpgid(pid); pid > 0 && err == nil && g == leader {
				inIt = append(inIt, pid)
			}
		}
		return inIt
	}
	text := func(pid int) string {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return string(name)
	}
	until := time.Now().Add(time.Minute)
	for ; ; time.Sleep(5 * time.Millisecond) { // until both have become what they are
		inIt := group()
		if len(inIt) == 2 && text(inIt[0])+text(inIt[1]) != "sh\nsh\n" && text(apart) == "sleep\n" {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("group %v, apart %q", inIt, text(apart))
		}
	}
	var want uint64
	for _, pid := range group() {
		want += rssOf(pid)
	}
	if got := usageOf(leader, 0); got.rss != want || want <= rssOf(leader) || got.tasks != 0 {
		t.Errorf("usage = %+v, want %d, of which %d are the leader's", got, want, rssOf(leader))
	}
	if got := usageOf(0, 0); got != (usage{}) {
		t.Errorf("usage of no process = %+v", got)
	}
}

// TestPluginAboveItsMemoryIsReplacedAtTheSecondCheckInARow: unless something else replaces or changes it already, or
// it is too early.
func TestPluginAboveItsMemoryIsReplacedAtTheSecondCheckInARow(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "600")
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	s, gen := begun(cmd.Process.Pid)
	s.opts.PluginDir, gen.spec.Path = t.TempDir(), "none" // so that the replacement fails
	w := &watch{s: s, gen: gen, began: time.Now()}
	check := func(above bool) {
		t.Helper()
		rss := rssOf(cmd.Process.Pid)
		gen.spec.MemoryMax = rss * 2
		if above {
			gen.spec.MemoryMax = rss * 3 / 4
		}
		if err := w.memory(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	replaced := func(what string, want bool) {
		t.Helper()
		if (w.try != nil) != want {
			t.Errorf("%s: replaced %t", what, w.try != nil)
		}
		if w.try != nil {
			<-w.try.done
		}
	}
	check(true)
	replaced("above once", false)
	check(false)
	check(true)
	replaced("above twice, and not in a row", false)
	check(true)
	replaced("above twice in a row", true)
	under := w.try
	check(true)
	if w.try != under {
		t.Error("another replacement was begun")
	}
	w.try, w.telling = nil, &telling{}
	check(true)
	replaced("while it gets another configuration", false)
	w.telling, w.notBefore = nil, time.Now().Add(time.Hour)
	check(true)
	replaced("soon after a replacement", false)
	w.notBefore = time.Time{}
	check(true)
	replaced("later", true)
}

// TestCheckedPluginIsNotHeldOpen: the check is for a configuration, and starts nothing.
func TestCheckedPluginIsNotHeldOpen(t *testing.T) {
	before := descriptors(t)
	if err := Check(t.Context(), Spec{Name: "p", Path: "/bin/sh"}, ""); err != nil {
		t.Error(err)
	}
	if err := Check(t.Context(), Spec{Name: "p", Path: "none"}, t.TempDir()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("error = %v", err)
	}
	if left := opened(before, descriptors(t)); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
}

// TestFileThatCannotBeExecutedIsRefusedBeforeTheStart: in words, and not by the kernel's.
func TestFileThatCannotBeExecutedIsRefusedBeforeTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	for mode, code := range map[os.FileMode]fault.Code{0o600: fault.PermissionDenied, 0o700: ""} {
		if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		exe, err := resolve(t.Context(), Spec{Name: "p", Path: path}, "")
		if fault.CodeOf(err) != code || err != nil && !strings.Contains(err.Error(), "it is not executable") {
			t.Errorf("mode %o: %v", mode, err)
		}
		if err == nil {
			_ = exe.file.Close()
		}
	}
}
