package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// TestDriftIsShownAndAppliedByARestartOnly: a gateway that was launched with another configuration is adopted as it is
// (R26).
func TestDriftIsShownAndAppliedByARestartOnly(t *testing.T) {
	s := newSite(t, emulator(""))
	keep := func(config string) string {
		return strings.Replace(config, "[gateways.main]\n", "[gateways.main]\non_host_exit = \"keep\"\n", 1)
	}
	s.writeConfig(keep(s.config()))
	s.run()
	before := s.awaitState("running")
	if len(before.Drift) != 0 {
		t.Errorf("fresh gateway drifts: %v", before.Drift)
	}
	s.killHost()
	old := s.port
	s.port = testhost.FreePort(t)
	s.gw.env["ANOTHER"] = "variable"
	s.writeConfig(keep(s.config()))
	s.startHost()
	adopted := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if adopted.PID != before.PID || adopted.Port != old ||
		!slices.Equal(adopted.Drift, []string{"command", "env", "port"}) {
		t.Errorf("adopted: pid %d (before %d), port %d (before %d), drift %v", adopted.PID, before.PID, adopted.Port, old,
			adopted.Drift)
	}
	if out := s.must("status", "main"); !strings.Contains(out, "drift") || !strings.Contains(out, "restart it") {
		t.Errorf("status = %s", out)
	}
	s.must("rpc", "main", "health")
	s.must("restart", "main")
	applied := s.awaitState("running")
	if applied.PID == before.PID || applied.Port != s.port || len(applied.Drift) != 0 || applied.Adopted {
		t.Errorf("after the restart: %+v", applied)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestTokenThatChangedUnderAGatewayIsSaidAndKillsNothing: the new token does not fit the running gateway.
func TestTokenThatChangedUnderAGatewayIsSaidAndKillsNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.writeConfig(strings.Replace(s.config(), `token = {env = "GH_TEST_TOKEN"}`,
		fmt.Sprintf("token = {file = %q}", s.dir+"/token"), 1))
	s.writeFile("token", canary+"-2\n")
	s.startHost()
	got := s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, "changed since") ||
		!strings.Contains(got.Error.Hint, "old token") || !slices.Contains(got.Drift, "token") {
		t.Errorf("error = %+v, drift %v", got.Error, got.Drift)
	}
	if err := testhost.Signal(before.PID, 0); err != nil || got.PID != before.PID {
		t.Errorf("the gateway was ended: %v, pid %d, before %d", err, got.PID, before.PID)
	}
	checkNoToken(t, s)
	s.must("restart", "main")
	if after := s.awaitState("running"); after.PID == before.PID || len(after.Drift) != 0 {
		t.Errorf("after the restart: %+v", after)
	}
	s.must("stop", "main")
	s.shutdown()
}
