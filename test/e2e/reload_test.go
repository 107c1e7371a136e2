package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// aReloadKeepsTheProcess: the gateway restarts within its process, which a new generation proves.
func aReloadKeepsTheProcess(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.extra = "[gateways.main.restart]\nreload_min_age = \"100ms\"\nreload_settle = \"1m\"\n"
	s.run()
	reloaded(t, s, s.awaitState("running"), 1)
	s.must("stop", "main")
	s.must("reload", "main") // of what is down: nothing to do, and nothing is started (B245)
	if got := s.awaitState("stopped"); got.PID != 0 {
		t.Errorf("a reload has started the gateway: %+v", got)
	}
	s.shutdown()
}

// reloaded reloads a gateway, for the nth time since its launch, and holds that it restarted within its process.
func reloaded(t *testing.T, s *site, before gatewayStatus, nth int) {
	t.Helper()
	q := s.gw.quirks()
	if !q.Known || (before.BootID != "") != q.BootID {
		t.Fatalf("the table says %+v of %+v", q, before)
	}
	s.must("reload", "main", "--reason", "e2e")
	after := s.awaitState("running")
	if after.PID != before.PID || after.LaunchID != before.LaunchID || q.BootID && after.BootID == before.BootID ||
		after.Restarts != before.Restarts {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	s.must("rpc", "main", "health")
	s.eventually("it says that it restarted", func() (bool, string) { // the only sign without a boot id
		out := s.must("logs", "main", "--raw", "-n", "0")
		return strings.Count(out, "restart mode: in-process restart") == nth && !strings.Contains(out, "Debugger listening"),
			out
	})
}

func TestReloadKeepsTheProcessOfTheEmulator(t *testing.T) { aReloadKeepsTheProcess(t, emulator("")) }

// TestHooksRunBeforeALaunchAndARequiredOneDecides is B088.
func TestHooksRunBeforeALaunchAndARequiredOneDecides(t *testing.T) {
	s := newSite(t, emulator(""))
	trace := filepath.Join(s.dir, "trace")
	config := func(second string) string {
		hooks := `hooks = [
  {command = ["sh", "-c", "echo first >> ` + trace + `"]},
  {command = ["sh", "-c", "echo slow >> ` + trace + `"], inputs = ["` + s.configPath() + `"]},
  {command = ["sh", "-c", "echo optional >> ` + trace + `; exit 3"]},
  {command = ["sh", "-c", "` + second + `"], required = true},
]
`
		return strings.Replace(s.config(), "[gateways.main.launch.env]\n", hooks+"[gateways.main.launch.env]\n", 1)
	}
	s.writeConfig(config("test -n \\\"$OPENCLAW_STATE_DIR\\\" && echo second >> " + trace))
	s.run()
	s.awaitState("running")
	if got, _ := os.ReadFile(trace); string(got) != "first\nslow\noptional\nsecond\n" {
		t.Errorf("hooks left %q", got)
	}
	before := s.awaitState("running")
	s.must("restart", "main") // its inputs are as they were (B330)
	after := s.awaitState("running")
	s.eventually("the log tells of the restart", func() (bool, string) { // B238
		want := fmt.Sprintf("command ended: action=restart outcome=applied pid_before=%d pid_after=%d", before.PID, after.PID)
		return strings.Contains(s.stderr.String(), want), s.stderr.String()
	})
	if got, _ := os.ReadFile(trace); string(got) != "first\nslow\noptional\nsecond\nfirst\noptional\nsecond\n" {
		t.Errorf("after a restart hooks have left %q", got)
	}
	s.must("stop", "main")
	s.killHost()
	s.writeConfig(config("echo the disk is not there; exit 4"))
	s.startHost()
	got := s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, "the disk is not there") ||
		!strings.Contains(got.Error.Message, "exit code 4") || got.Error.Hint == "" {
		t.Errorf("error = %+v", got.Error)
	}
	s.shutdown()
}

// TestDrainWaitsForWorkInFlight asks the gateway to suspend before it is stopped.
func TestDrainWaitsForWorkInFlight(t *testing.T) {
	const busy = 5 * time.Second // from its readiness on
	s := newSite(t, emulator(fmt.Sprintf("busy=%d", busy.Milliseconds())))
	began := time.Now()
	s.run()
	s.awaitState("running")
	s.must("stop", "main", "--drain")
	if took := time.Since(began); took < busy {
		t.Errorf("it was stopped %v after its launch, with work in flight", took)
	}
	out := s.must("events", "main", "--json")
	drained := false
	for line := range strings.Lines(out) {
		var e struct {
			Data struct {
				Phase string `json:"phase"`
			} `json:"data"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Data.Phase == "draining" {
			drained = true
		}
	}
	if strings.Contains(out, "not-drained") {
		t.Errorf("it was not waited for:\n%s", out)
	}
	if !drained || !strings.Contains(s.stderr.String(), "waiting for work in flight") {
		t.Errorf("draining was seen: %t; the host said:\n%s", drained, s.stderr)
	}
	s.shutdown()
}

// aReloadOntoABrokenConfigurationIsHealed: the newest release stays alive then, with its port closed, and says so;
// others end. Either way it is ended, diagnosed and repaired as at a start, and the request is answered when it
// runs again.
func aReloadOntoABrokenConfigurationIsHealed(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.breakConfig(goodConfig(0))
	s.writeConfig(s.repairConfig("auto", "last-good") + "[gateways.main.restart]\nreload_min_age = \"100ms\"\n")
	s.run()
	before := s.awaitState("running")
	s.awaitKept(1)
	// one that the host brings back, one that OpenClaw's doctor repairs
	for _, b := range []breakage{breakages()[1], breakages()[6]} {
		s.breakConfig(b.text)
		s.must("reload", "main", "--reason", b.name)
		after := s.awaitState("running")
		if after.PID == before.PID {
			t.Errorf("%s: the process was kept", b.name)
		}
		if !b.byDoctor {
			s.ocIs(goodConfig(0))
		} else if got, err := os.ReadFile(s.oc()); err != nil || strings.Contains(string(got), "bogus") {
			t.Errorf("%s: openclaw.json is %s, %v", b.name, got, err)
		}
		before = after
	}
	s.must("stop", "main")
	s.shutdown()
}

func TestReloadOntoABrokenConfigurationOfTheEmulatorIsHealed(t *testing.T) {
	aReloadOntoABrokenConfigurationIsHealed(t, emulator(""))
}
