package pluginhost_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	shimproc "github.com/gatehost/gatehost/shared/shim/process"
)

// left returns how many processes with a mark live.
func left(mark uint64) int {
	return len(sandbox.Members(func(other uint64) bool { return other == mark }))
}

// leaves lets the plugin start three children, and returns the plugin and them.
func leaves(t *testing.T, h *pluginhost.Host, mib int) (leader int, children []int) {
	t.Helper()
	leader = pid(t, h)
	text, err := attempt(t, h, fmt.Sprintf("leave %d", mib))
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(text) {
		child, err := strconv.Atoi(word)
		if err != nil || !alive(child) {
			t.Fatalf("the plugin left %q, %v", text, err)
		}
		children = append(children, child)
	}
	if len(children) != 3 {
		t.Fatalf("the plugin left %q", text)
	}
	return leader, children
}

// TestPluginEndsWithAllOfItsProcesses: in whatever way it ends, and wherever its processes went.
func TestPluginEndsWithAllOfItsProcesses(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, h *pluginhost.Host, leader int){
		"it is replaced": func(t *testing.T, h *pluginhost.Host, _ int) {
			if err := h.Restart(t.Context(), "p"); err != nil {
				t.Fatal(err)
			}
		},
		"it is killed":   func(_ *testing.T, _ *pluginhost.Host, leader int) { _ = testhost.Signal(leader, syscall.SIGKILL) },
		"it ends itself": func(t *testing.T, h *pluginhost.Host, _ int) { _, _ = ask(t, h, "die") },
		"it is removed": func(t *testing.T, h *pluginhost.Host, _ int) {
			if _, err := h.Remove("p"); err != nil {
				t.Fatal(err)
			}
		},
		"its host ends": func(_ *testing.T, h *pluginhost.Host, _ int) { h.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			h := shutIn(t, &sandbox.Spec{})
			leader, children := leaves(t, h, 1)
			mark := sandbox.MarkOf(leader)
			for _, child := range children {
				if sandbox.MarkOf(child) != mark || mark == 0 {
					t.Fatalf("mark of child %d = %x, of the plugin %x", child, sandbox.MarkOf(child), mark)
				}
			}
			end(t, h, leader)
			poll(t, "the end of all", func() bool { return left(mark) == 0 })
		})
	}
}

// TestDoctorWithoutASandboxEndsWithAllOfItsProcesses: and the control socket knows them as a plugin's.
func TestDoctorWithoutASandboxEndsWithAllOfItsProcesses(t *testing.T) {
	spec := testPlugin()
	spec.Uses = []plugin.Kind{plugin.KindDoctor}
	h, _ := newHost(t, quick(), spec)
	leader, children := leaves(t, h, 1)
	mark := sandbox.MarkOf(leader)
	for _, child := range children {
		if sandbox.MarkOf(child) != mark || mark == 0 {
			t.Fatalf("mark of child %d = %x, of the plugin %x", child, sandbox.MarkOf(child), mark)
		}
	}
	_ = testhost.Signal(leader, syscall.SIGKILL)
	poll(t, "the end of all", func() bool { return left(mark) == 0 })
}

// TestPluginHasAControlGroupWhereOneCanBeMade: its children are in it wherever they went, and it goes with them.
func TestPluginHasAControlGroupWhereOneCanBeMade(t *testing.T) {
	probe, err := shimproc.MakeGroup(fmt.Sprintf("gatehost-test-%d", os.Getpid()))
	can := err == nil
	if can {
		if err := probe.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	h := shutIn(t, &sandbox.Spec{})
	leader, children := leaves(t, h, 1)
	name := fmt.Sprintf("gatehost-plugin-%016x", sandbox.MarkOf(leader))
	g, err := shimproc.FindGroup(name)
	if (err == nil) != can {
		t.Fatalf("a group can be made: %t; that of the plugin: %v", can, err)
	}
	for _, pid := range append(children, leader) {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
		if err != nil || strings.Contains(string(text), name) != can {
			t.Errorf("groups of %d: %s%v", pid, text, err)
		}
	}
	h.Close()
	if _, err := os.Stat(g.Path); can && err == nil {
		t.Errorf("%s is left", g.Path)
	}
	poll(t, "the end of all", func() bool { return !slices.ContainsFunc(append(children, leader), alive) })
}

// TestGroupOfALauncherEndsWithIt: a session apart may be a gateway's.
func TestGroupOfALauncherEndsWithIt(t *testing.T) {
	spec := testPlugin()
	spec.Uses = []plugin.Kind{plugin.KindLauncher, plugin.KindDoctor}
	h, _ := newHost(t, quick(), spec)
	leader, children := leaves(t, h, 1)
	_ = testhost.Signal(leader, syscall.SIGKILL)
	poll(t, "the end of the child in its group", func() bool { return !alive(children[0]) })
	for _, child := range children[1:] {
		if !alive(child) {
			t.Errorf("child %d in a session of its own ended", child)
		}
		_ = testhost.Signal(child, syscall.SIGKILL)
	}
}

// TestWhatAKilledHostLeftEndsBeforeThePluginStartsAgain: the next host has the same directory and nothing else in
// common with it.
func TestWhatAKilledHostLeftEndsBeforeThePluginStartsAgain(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self)
	host.Env = append(os.Environ(), "PLUGINHOST_TEST_HOST="+dir, "PLUGINHOST_TEST_PLUGINS="+pluginDir,
		"PLUGINHOST_TEST_SANDBOX=1")
	host.Stderr = os.Stderr
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var leader int
	poll(t, "the plugin", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		leader, _ = strconv.Atoi(string(text))
		return err == nil
	})
	mark := sandbox.MarkOf(leader)
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	poll(t, "the end of the plugin", func() bool { return !alive(leader) })
	if n := left(mark); n == 0 || mark == 0 {
		t.Fatalf("%d processes with the mark %x are left: this test says nothing", n, mark)
	}
	spec := testPlugin()
	spec.Sandbox = &sandbox.Spec{}
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: pluginDir, DataDir: filepath.Join(dir, "data"),
		RunDir: filepath.Join(dir, "run"), RuntimeDir: filepath.Join(dir, "rt"), Timing: quick(),
	})
	if err := h.Add(spec); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	awaitState(t, h, pluginhost.Running)
	if n := left(mark); n != 0 {
		t.Errorf("%d processes of the former host are left", n)
	}
	if g, err := shimproc.FindGroup(fmt.Sprintf("gatehost-plugin-%016x", mark)); err == nil {
		t.Errorf("control group %s of the former host is left", g.Path)
	}
}

// TestMemoryOfChildrenCounts: also of those that left group and parent.
func TestMemoryOfChildrenCounts(t *testing.T) {
	spec := testPlugin()
	spec.Sandbox, spec.MemoryMax = &sandbox.Spec{}, 120*mib
	timing := quick()
	h, _ := newHost(t, timing, spec)
	leader, _ := leaves(t, h, 150)
	mark := sandbox.MarkOf(leader)
	poll(t, "another process", func() bool { return h.Plugins()[0].PID != leader })
	poll(t, "the end of the former ones", func() bool { return left(mark) == 0 })
	if used := h.RSS("p"); used == 0 || used > 120*mib {
		t.Errorf("the new process uses %d MiB", used/mib)
	}
}

// TestMemoryThatIsShownIsThatOfAllProcesses: of a child in a session of its own, too.
func TestMemoryThatIsShownIsThatOfAllProcesses(t *testing.T) {
	h := shutIn(t, &sandbox.Spec{})
	leaves(t, h, 200)
	poll(t, "the child to grow", func() bool { return h.RSS("p") > 200*mib })
}

// TestPluginThatFillsItsDirectoryIsEnded: and it is not started before there is room.
func TestPluginThatFillsItsDirectoryIsEnded(t *testing.T) {
	spec := testPlugin()
	spec.Sandbox = &sandbox.Spec{}
	h, dir := newHost(t, quick(), spec)
	awaitState(t, h, pluginhost.Running)
	big := inData(dir, "big")
	put(t, big, "")
	if err := os.Truncate(big, 5<<30); err != nil { // it takes no room
		t.Fatal(err)
	}
	if err := h.Restart(t.Context(), "p"); err == nil || !strings.Contains(err.Error(), "has filled its data directory") {
		t.Errorf("restart: %v", err)
	}
	_ = testhost.Signal(h.Plugins()[0].PID, syscall.SIGKILL)
	s := awaitState(t, h, pluginhost.Failed)
	if fault.CodeOf(s.Err) != fault.Exhausted || !strings.Contains(fault.HintOf(s.Err), "gatehost plugin restart p") {
		t.Errorf("error = %v, hint %q", s.Err, fault.HintOf(s.Err))
	}
	if err := os.Remove(big); err != nil {
		t.Fatal(err)
	}
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	awaitState(t, h, pluginhost.Running)
}

// TestPluginThatKeepsTheContractIsNotComplainedOf: its replacement and its end, with all that it left, are nothing to
// act on.
func TestPluginThatKeepsTheContractIsNotComplainedOf(t *testing.T) {
	var out lockedBuffer
	spec := testPlugin()
	spec.Sandbox = &sandbox.Spec{}
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Warn}), PluginDir: pluginDir,
		DataDir: t.TempDir(), RuntimeDir: shortDir(t), Timing: quick(),
	})
	if err := h.Add(spec); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	leaves(t, h, 1)
	if err := h.Restart(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	leaves(t, h, 1)
	h.Close()
	if text := out.String(); text != "" {
		t.Errorf("log:\n%s", text)
	}
}

// TestPluginThatFillsItsDirectoryWhileItServesIsEnded: the host looks before it is asked for another start.
func TestPluginThatFillsItsDirectoryWhileItServesIsEnded(t *testing.T) {
	spec := testPlugin()
	spec.Sandbox = &sandbox.Spec{}
	timing := quick()
	timing.HealthEvery = time.Second // the first look comes then, the next one long after it
	h, dir := newHost(t, timing, spec)
	awaitState(t, h, pluginhost.Running)
	big := inData(dir, "big")
	put(t, big, "")
	if err := os.Truncate(big, 5<<30); err != nil { // it takes no room
		t.Fatal(err)
	}
	if s := awaitState(t, h, pluginhost.Failed); fault.CodeOf(s.Err) != fault.Exhausted {
		t.Errorf("error = %v", s.Err)
	}
}
