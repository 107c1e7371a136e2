//go:build unix

package pluginhost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// table asks the plugin for its pid, and for the configuration and the grants that it uses.
func table(t *testing.T, h *pluginhost.Host) (pid, inForce string) {
	t.Helper()
	d, err := ask(t, h, "table")
	if err != nil || len(d.Findings) != 1 {
		t.Fatalf("diagnosis = %+v, %v", d, err)
	}
	pid, inForce, _ = strings.Cut(d.Findings[0].Text, " ")
	return pid, inForce
}

var diagnoseNothing = doctor.DiagnoseRequest{}

func leveled(level int, args ...string) pluginhost.Spec {
	s := testPlugin(args...)
	s.Config = json.RawMessage(fmt.Sprintf(`{"level":%d}`, level))
	return s
}

func TestWhatAnotherTableTakes(t *testing.T) {
	base := pluginhost.Spec{
		Name: "p", Path: "x", Args: []string{"a"}, Env: map[string]string{"K": "v"}, Grants: []string{"a", "b"},
		Config: json.RawMessage(`{"level":1}`), Sandbox: &sandbox.Spec{Read: []string{"/opt"}},
	}
	for _, row := range []struct {
		name   string
		change func(*pluginhost.Spec)
		want   pluginhost.ChangeKind
	}{
		{"nothing", func(*pluginhost.Spec) {}, pluginhost.Same},
		{
			"another place in the file", func(s *pluginhost.Spec) { s.Where = func(string) string { return "elsewhere" } },
			pluginhost.Same,
		},
		{"grants in another order", func(s *pluginhost.Spec) { s.Grants = []string{"b", "a"} }, pluginhost.Same},
		{
			"the same sandbox anew", func(s *pluginhost.Spec) { s.Sandbox = &sandbox.Spec{Read: []string{"/opt"}} },
			pluginhost.Same,
		},
		{"call_timeout", func(s *pluginhost.Spec) { s.CallTimeout = time.Second }, pluginhost.Noted},
		{"memory_max", func(s *pluginhost.Spec) { s.MemoryMax = 1 << 20 }, pluginhost.Noted},
		{
			"what it is used as", func(s *pluginhost.Spec) { s.Uses = []plugin.Kind{plugin.KindDoctor} },
			pluginhost.Noted,
		},
		{"start_timeout", func(s *pluginhost.Spec) { s.StartTimeout = time.Second }, pluginhost.Noted},
		{"config", func(s *pluginhost.Spec) { s.Config = json.RawMessage(`{"level":2}`) }, pluginhost.Configured},
		{"grants", func(s *pluginhost.Spec) { s.Grants = []string{"a"} }, pluginhost.Configured},
		{"path", func(s *pluginhost.Spec) { s.Path = "y" }, pluginhost.Replaced},
		{"args", func(s *pluginhost.Spec) { s.Args = nil }, pluginhost.Replaced},
		{"env", func(s *pluginhost.Spec) { s.Env = map[string]string{"K": "w"} }, pluginhost.Replaced},
		{"sha256", func(s *pluginhost.Spec) { s.SHA256 = "00" }, pluginhost.Replaced},
		{"transport", func(s *pluginhost.Spec) { s.Transport = pluginhost.TransportSocket }, pluginhost.Replaced},
		{"sandbox", func(s *pluginhost.Spec) { s.Sandbox = &sandbox.Spec{Network: true} }, pluginhost.Replaced},
		{"no sandbox", func(s *pluginhost.Spec) { s.Sandbox = nil }, pluginhost.Replaced},
	} {
		to := base
		row.change(&to)
		if got := pluginhost.Compare(base, to); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
	// what a launcher leaves has no mark, so that another process is needed
	free, launcher := base, base
	free.Sandbox, launcher.Sandbox = nil, nil
	free.Uses, launcher.Uses = []plugin.Kind{plugin.KindDoctor}, []plugin.Kind{plugin.KindDoctor, plugin.KindLauncher}
	if there, back := pluginhost.Compare(free, launcher), pluginhost.Compare(launcher, free); there !=
		pluginhost.Replaced || back != pluginhost.Replaced {
		t.Errorf("a doctor without a sandbox becomes a launcher: %s, and back: %s", there, back)
	}
	if got := pluginhost.Compare(pluginhost.Spec{},
		pluginhost.Spec{Args: []string{}, Env: map[string]string{}}); got != pluginhost.Same {
		t.Errorf("nothing written and nothing in it: %s", got)
	}
}

func TestPluginGoesByAnotherTableInTheSameProcess(t *testing.T) {
	h, dir := newHost(t, quick(), leveled(1))
	first, before := table(t, h)
	next := leveled(2)
	next.Grants = []string{"gateway-config", "gateway-token"} // it wants one of them
	how, err := h.Change(t.Context(), next)
	now, after := table(t, h)
	if err != nil || how != pluginhost.Configured || now != first || before != "1 []" || after != "2 [gateway-config]" {
		t.Errorf("%s, %v: %q of %s became %q of %s", how, err, before, first, after, now)
	}
	if how, err := h.Change(t.Context(), next); how != pluginhost.Same || err != nil ||
		count(inData(dir, "configured")) != 2 {
		t.Errorf("the same again: %s, %v; it was told %d times", how, err, count(inData(dir, "configured")))
	}
	kill(t, h)
	poll(t, "the next process", func() bool { pid, _ := table(t, h); return pid != first })
	if _, after := table(t, h); after != "2 [gateway-config]" {
		t.Errorf("the next process uses %q", after)
	}
	if _, err := h.Change(t.Context(), pluginhost.Spec{Name: "unknown"}); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
}

// kill ends the plugin's process by SIGKILL.
func kill(t *testing.T, h *pluginhost.Host) {
	t.Helper()
	if err := testhost.Signal(h.Plugins()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with another configuration, or with what it names, the former one stays in force, also for later
// processes.
func TestChangeThatFailsLeavesTheFormerTableInForce(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*pluginhost.Spec)
		want   string
		code   error
		same   bool // the same process goes on
	}{
		{
			"a table that is refused", func(s *pluginhost.Spec) { s.Config = json.RawMessage(`{"level":13}`) },
			"plugins.p.config.level: 13 brings bad luck (take 14)", fault.ErrFailedPrecondition, true,
		},
		{
			"a table that cannot be taken, by no process",
			func(s *pluginhost.Spec) { s.Config = json.RawMessage(`{"level":88}`) },
			"the database is away for good", fault.ErrUnavailable, true,
		},
		{
			"a file that is not there", func(s *pluginhost.Spec) { s.Path = "nothing-there" }, "there is no such file",
			fault.ErrFailedPrecondition, true,
		},
		{
			"a checksum that does not fit", func(s *pluginhost.Spec) { s.SHA256 = strings.Repeat("0", 64) },
			"its sha256 is", fault.ErrFailedPrecondition, true,
		},
		{
			"a program that ends", func(s *pluginhost.Spec) { s.Args = []string{"exits"} }, "I cannot go on",
			fault.ErrUnavailable, true,
		},
		{
			"a program that does not take up what runs", func(s *pluginhost.Spec) { s.Args = []string{"forgets"} },
			"there is no launch lives", fault.ErrUnavailable, true,
		},
		{
			"a program that serves less", func(s *pluginhost.Spec) { s.Args = []string{"plain"} },
			"it does not serve as launcher any more", fault.ErrFailedPrecondition, true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			timing := quick()
			timing.CloseGrace = 100 * time.Millisecond
			h, _ := newHost(t, timing, leveled(1, "holds"))
			former, _ := table(t, h)
			next := leveled(1, "holds")
			row.change(&next)
			_, err := h.Change(t.Context(), next)
			if !errors.Is(err, row.code) || !strings.Contains(err.Error(), row.want) || fault.HintOf(err) == "" ||
				!strings.Contains(err.Error(), "its former table stays in force") {
				t.Errorf("error = %v\ncode %s, hint %q\nwant %q, %v and a hint", err, fault.CodeOf(err),
					fault.HintOf(err), row.want, row.code)
			}
			if now, inForce := table(t, h); (now == former) != row.same || inForce != "1 []" {
				t.Errorf("%s uses %q; it was %s", now, inForce, former)
			}
			if spec, err := h.Spec("p"); err != nil ||
				pluginhost.Compare(spec, leveled(1, "holds")) == pluginhost.Replaced {
				t.Errorf("in force is %+v, %v", spec, err)
			}
			kill(t, h)
			poll(t, "the next process", func() bool { pid, _ := table(t, h); return pid != former })
			if how, err := h.Change(t.Context(), leveled(2, "holds")); how != pluginhost.Configured || err != nil {
				t.Errorf("the next change: %s, %v", how, err)
			}
		})
	}
}

// It is unknown which configuration is used by a process that answers neither yes nor no: another one replaces it.
func TestPluginThatCannotBeToldIsReplacedByTheNewTable(t *testing.T) {
	for _, level := range []int{66, 77} {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			t.Parallel()
			h, _ := newHost(t, quick(), leveled(1))
			former, _ := table(t, h)
			how, err := h.Change(t.Context(), leveled(level))
			now, inForce := table(t, h)
			if how != pluginhost.Replaced || err != nil || now == former || inForce != fmt.Sprintf("%d []", level) {
				t.Errorf("%s, %v: %s uses %q", how, err, now, inForce)
			}
		})
	}
}

func TestPluginIsReplacedByAnotherFileWithoutAGap(t *testing.T) {
	h, dir := newHost(t, quick(), leveled(1, "holds"))
	former := pid(t, h)
	was := h.Plugins()[0]
	next := leveled(2, "holds", "more")
	next.Env = map[string]string{"K": "v"}
	how, err := h.Change(t.Context(), next)
	now, inForce := table(t, h)
	if how != pluginhost.Replaced || err != nil || now == fmt.Sprint(former) || inForce != "2 []" {
		t.Fatalf("%s, %v: %s uses %q", how, err, now, inForce)
	}
	if s := h.Plugins()[0]; s.State != pluginhost.Running || !s.Since.Equal(was.Since) ||
		count(inData(dir, "recovered-lives")) != 1 {
		t.Errorf("before: %+v\nafter: %+v, taken up %d times", was, s, count(inData(dir, "recovered-lives")))
	}
	poll(t, "the end of the former process", func() bool { return !alive(former) })
}

// A plugin need not serve as a kind that no gateway uses any more.
func TestWhatTakesThePlaceServesAsWhatIsUsed(t *testing.T) {
	h, _ := newHost(t, quick(), leveled(1, "holds"))
	pid(t, h)
	next := leveled(1, "plain")
	next.Uses = []plugin.Kind{plugin.KindDoctor, plugin.KindLauncher}
	if _, err := h.Change(t.Context(), next); err == nil ||
		!strings.Contains(err.Error(), "does not serve as launcher") {
		t.Errorf("error = %v", err)
	}
	next.Uses = []plugin.Kind{plugin.KindDoctor}
	if how, err := h.Change(t.Context(), next); how != pluginhost.Replaced || err != nil {
		t.Errorf("%s, %v", how, err)
	}
}

// A configuration that was refused at the start is corrected without a restart of the host; a wrong correction does not
// block the way back.
func TestPluginThatIsDownIsStartedByTheNewTable(t *testing.T) {
	h, _ := newHost(t, quick(), leveled(13))
	awaitState(t, h, pluginhost.Failed)
	if err := h.Await(t.Context(), "p"); err == nil || !strings.Contains(err.Error(), "13 brings bad luck") {
		t.Errorf("Await = %v", err)
	}
	if _, err := h.Change(t.Context(), leveled(88)); err == nil || !strings.Contains(err.Error(), "away for good") {
		t.Errorf("error = %v", err)
	}
	poll(t, "the former table to be tried again", func() bool {
		s := h.Plugins()[0]
		return s.State == pluginhost.Failed && strings.Contains(s.Err.Error(), "13 brings bad luck")
	})
	if how, err := h.Change(t.Context(), leveled(14)); how != pluginhost.Replaced || err != nil {
		t.Errorf("%s, %v", how, err)
	}
	if _, inForce := table(t, h); inForce != "14 []" {
		t.Errorf("it uses %q", inForce)
	}
}

// A process that dies while it is reconfigured is started again with the new configuration.
func TestChangeOutlivesTheProcessThatIsToldOfIt(t *testing.T) {
	h, dir := newHost(t, quick(), leveled(1))
	former, _ := table(t, h)
	type outcome struct {
		how pluginhost.ChangeKind
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		how, err := h.Change(context.Background(), leveled(99))
		done <- outcome{how, err}
	}()
	poll(t, "the process to be told", func() bool { return count(inData(dir, "waiting")) == 1 })
	kill(t, h)
	put(t, inData(dir, "go"), "")
	select {
	case got := <-done:
		if got.err != nil {
			t.Errorf("%+v", got)
		}
	case <-time.After(patience):
		t.Fatal("the change has no outcome")
	}
	poll(t, "the next process", func() bool {
		now, inForce := table(t, h)
		return now != former && inForce == "99 []"
	})
}

func TestPluginsComeAndGoWhileTheHostRuns(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin("holds"))
	other := testPlugin()
	other.Name = "other"
	proxy := h.Doctor("other") // made before there is one
	if err := h.Add(other); err != nil {
		t.Fatal(err)
	}
	if err := h.Await(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := proxy.Diagnose(t.Context(), diagnoseNothing); err != nil {
		t.Errorf("a proxy does not find who came later: %v", err)
	}
	if err := h.Add(other); err == nil {
		t.Error("a name was taken twice")
	}

	former := pid(t, h)
	ran := running(t, h, dir, patience)
	gone, err := h.Remove("p")
	if err != nil {
		t.Fatal(err)
	}
	poll(t, "its end for callers", func() bool {
		_, err := h.Doctor("p").Diagnose(t.Context(), diagnoseNothing)
		return errors.Is(err, fault.ErrPluginDown)
	})
	if !slices.Contains(h.Pids(), former) || !alive(former) {
		t.Error("the process was not left to the call under way, or may ask the host for something")
	}
	put(t, inData(dir, "go"), "")
	if err := outcome(t, ran); err != nil {
		t.Errorf("the call under way: %v", err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if alive(former) || slices.Contains(h.Pids(), former) || len(h.Plugins()) != 1 {
		t.Errorf("left: %v, %+v", h.Pids(), h.Plugins())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "rt", "p0*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := h.Remove("p"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("error = %v", err)
	}
	if err := h.Add(testPlugin("holds")); err != nil { // and back again
		t.Fatal(err)
	}
	if err := h.Await(t.Context(), "p"); err != nil {
		t.Error(err)
	}
}

// A plugin whose start fails is reported at once, and does not delay its removal.
func TestPluginThatIsStillStartingIsRemovedAtOnce(t *testing.T) {
	h, _ := newHost(t, quick())
	s := testPlugin("silent")
	s.StartTimeout = time.Hour
	if err := h.Add(s); err != nil {
		t.Fatal(err)
	}
	poll(t, "its process", func() bool { return len(h.Pids()) == 1 })
	process := h.Pids()[0]
	gone, err := h.Remove("p")
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if alive(process) {
		t.Error("its process lives")
	}
}

// Plugins() may be called while plugins are added, changed and removed; the race detector checks it.
func TestTablesChangeBesideCallsAndLooks(t *testing.T) {
	h, _ := newHost(t, quick(), leveled(0))
	pid(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	failed := make(chan error, 1)
	for range 2 {
		looks.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = h.Plugins(), h.Pids(), h.RSS("p")
				if _, err := h.Doctor("p").Diagnose(context.Background(), diagnoseNothing); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for i := 1; i <= 6; i++ {
		s := leveled(i)
		if i%3 == 0 {
			s.Args = []string{"plain", fmt.Sprint(i)}
		}
		s.CallTimeout = time.Duration(i) * time.Minute
		if _, err := h.Change(t.Context(), s); err != nil {
			t.Error(err)
		}
		other := testPlugin()
		other.Name = fmt.Sprintf("other-%d", i%2)
		if i > 2 {
			if _, err := h.Remove(other.Name); err != nil {
				t.Error(err)
			}
		}
		if err := h.Add(other); err != nil {
			t.Error(err)
		}
	}
	cancel()
	looks.Wait()
	select {
	case err := <-failed:
		t.Errorf("a call failed: %v", err)
	default:
	}
}

// TestChangeWhoseProcessesBothDieFails: the process that was to be replaced dies first, and the other one refuses.
func TestChangeWhoseProcessesBothDieFails(t *testing.T) {
	for word, replaced := range map[string]bool{"waits-in-configure": true, "silent": false} {
		t.Run(word, func(t *testing.T) {
			h, dir := newHost(t, quick(), testPlugin())
			former := pid(t, h)
			done := make(chan error, 1)
			spec := testPlugin(word)
			if !replaced {
				spec.StartTimeout = time.Second
			}
			go func() {
				_, err := h.Change(context.Background(), spec)
				done <- err
			}()
			poll(t, "another process", func() bool { return count(inData(dir, "starts")) == 2 })
			_ = testhost.Signal(former, syscall.SIGKILL)
			awaitState(t, h, pluginhost.Starting)
			put(t, inData(dir, "go"), "")
			select {
			case err := <-done:
				if (err == nil) != replaced {
					t.Errorf("error = %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the change has no outcome")
			}
			if pid(t, h) == former {
				t.Error("the former process answers")
			}
		})
	}
}
