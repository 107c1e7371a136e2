package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// oneAtATime is a host that starts main, which takes its time, and holds back the other gateway meanwhile.
func oneAtATime(t *testing.T) *site {
	t.Helper()
	s := newSite(t, emulator("slow-listen=2500,slow-stop=1500"))
	s.extra = fmt.Sprintf(`[host]
start_parallel = 1
[gateways.other]
port = %d
launcher = "utility"
token = {env = "GH_TEST_TOKEN"}
[gateways.other.launch]
command = [%q]
state_dir = %q
[gateways.other.launch.env]
EMULATOR_TIME_SCALE = "0.05"
`, testhost.FreePort(t), filepath.Join(bin, "gateway-emulator"), filepath.Join(s.dir, "oc2"))
	s.run()
	s.is("main", "starting")
	return s
}

func (s *site) is(name, state string) {
	s.t.Helper()
	s.eventually(name+" is "+state, func() (bool, string) {
		out, _, _ := s.cli("status", name, "--json")
		return strings.Contains(out, fmt.Sprintf("\"state\": %q", state)), out
	})
}

// TestStopCountsAlsoForAGatewayThatWaitsForItsAutostart: it stays stopped until an operator starts it.
func TestStopCountsAlsoForAGatewayThatWaitsForItsAutostart(t *testing.T) {
	s := oneAtATime(t)
	s.must("stop", "other")
	s.is("main", "running")
	s.must("restart", "main") // whatever waited has had its turn by now
	if out := s.must("status", "other", "--json"); !strings.Contains(out, `"stopped"`) {
		t.Errorf("it was stopped, and was started all the same:\n%s", out)
	}
	s.must("start", "other")
	s.is("other", "running")
	s.shutdown()
}

// TestHostThatEndsWhileItStartsLeavesNothing: what waits behind start_parallel is not launched by a host that is
// ending.
func TestHostThatEndsWhileItStartsLeavesNothing(t *testing.T) {
	s := oneAtATime(t)
	s.eventually("there is something that takes its time to stop", func() (bool, string) {
		out, _, _ := s.cli("status", "main", "--json")
		return strings.Contains(out, `"phase": "ready"`), out
	})
	s.shutdown()
	if text := s.stderr.String(); strings.Contains(text, "other starting") ||
		strings.Contains(text, "other     starting") {
		t.Errorf("the other gateway was started while the host ended:\n%s", text)
	}
}

// TestGatewayThatIsNotAutostartedIsStillAdopted: an operator started it before the host was killed.
func TestGatewayThatIsNotAutostartedIsStillAdopted(t *testing.T) {
	s := newSite(t, emulator(""))
	s.writeConfig(strings.Replace(s.config(), "[gateways.main]\n", "[gateways.main]\nautostart = false\n", 1))
	s.run()
	s.awaitState("stopped")
	s.must("start", "main")
	before := s.awaitState("running")
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.startHost()
	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if after.PID != before.PID {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}
