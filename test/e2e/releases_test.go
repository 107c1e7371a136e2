package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// aReleaseIsHandled walks through what differs between the releases: start, call, reload of a gateway that was adopted,
// restart, a configuration that prevents the start, stop.
func aReleaseIsHandled(t *testing.T, gw gateway) {
	t.Helper()
	q := gw.quirks()
	s := newSite(t, gw)
	s.extra = "[gateways.main.restart]\nreload_min_age = \"100ms\"\nreload_settle = \"1m\"\ncooldown = \"100ms\"\n" +
		"[gateways.main.repair]\nmode = \"ask\"\n"
	s.run()
	first := s.awaitState("running")
	if first.Version != gw.release || !q.Known {
		t.Errorf("status = %+v, want release %s, which is known: %t", first, gw.release, q.Known)
	}
	for _, method := range []string{"health", "system-presence", "config.get"} {
		s.must("rpc", "main", method)
	}

	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.startHost()
	adopted := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if adopted.PID != first.PID {
		t.Errorf("pid = %d, want %d", adopted.PID, first.PID)
	}
	reloaded(t, s, adopted, 1)

	s.must("restart", "main", "--reason", "e2e")
	second := s.awaitState("running")
	if second.PID == first.PID || second.Version != gw.release {
		t.Errorf("after the restart: %+v", second)
	}

	config := filepath.Join(s.dir, "oc", "openclaw.json")
	good, err := os.ReadFile(config) // some releases write one, some do not
	if err != nil {
		good = []byte(`{"gateway": {"mode": "local"}}`)
	}
	const torn = `{"gateway": {"mode": `
	if err := os.WriteFile(config, []byte(torn), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := s.cli("restart", "main", "--force"); code == 0 {
		t.Errorf("a restart onto a configuration that cannot be parsed is taken for one that succeeded: %s", errOut)
	}
	failed := s.awaitState("error")
	if x := failed.LastExit; x == nil || x.Code == nil || *x.Code != q.ConfigExit {
		t.Errorf("last exit = %+v, want exit code %d", x, q.ConfigExit)
	}
	if failed.Error == nil || failed.Error.Code != "config-invalid" || failed.Error.Hint == "" {
		t.Errorf("error = %+v", failed.Error)
	}
	if now, _ := os.ReadFile(config); string(now) != torn {
		t.Errorf("the file was changed: %s", now)
	}
	if err := os.WriteFile(config, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("start", "main")
	s.awaitState("running")

	s.must("stop", "main", "--drain")
	if got := s.awaitState("stopped"); got.LastExit == nil || got.LastExit.Code == nil || *got.LastExit.Code != 0 {
		t.Errorf("after the stop: %+v", got.LastExit)
	}
	// what cannot be asked to drain is stopped all the same, and said
	if out := s.must("events", "main", "--json"); strings.Contains(out, "not-drained") == q.Suspend {
		t.Errorf("it can suspend: %t; events:\n%s", q.Suspend, out)
	}
	s.shutdown()
}

func TestEachReleaseIsHandledOnTheEmulator(t *testing.T) {
	for _, version := range gatewaytest.Releases() {
		t.Run(version, func(t *testing.T) { aReleaseIsHandled(t, emulated(version)) })
	}
}

// TestWholeStoryOfOlderReleases is issue A's story, which ends in a repair, on those that the emulator plays besides
// the newest.
func TestWholeStoryOfOlderReleases(t *testing.T) {
	for _, version := range gatewaytest.Releases() {
		if version != gatewaytest.Version {
			t.Run(version, func(t *testing.T) { theWholeStory(t, emulated(version)) })
		}
	}
}

// TestOlderReleasesRunAgainFromAnyBreakage: the doctor of 2026.3.13 says that all is well where it repaired nothing,
// 2026.5.27's would replace what it cannot parse.
func TestOlderReleasesRunAgainFromAnyBreakage(t *testing.T) {
	for _, version := range gatewaytest.Releases() {
		if version != gatewaytest.Version {
			t.Run(version, func(t *testing.T) { itRunsAgainFromAnyBreakage(t, emulated(version)) })
		}
	}
}

func TestTelemetryOfOlderReleases(t *testing.T) {
	for _, version := range gatewaytest.Releases() {
		if version != gatewaytest.Version {
			t.Run(version, func(t *testing.T) { theTelemetry(t, emulated(version), 4) })
		}
	}
}

func TestConfigurationOfTheOldestReleaseIsEdited(t *testing.T) {
	aConfigurationIsEdited(t, emulated(gatewaytest.Releases()[0]))
}

// TestReloadWithoutTheCallIsBySignalWhereThatIsKnown: the newest release restarts on SIGUSR2. SIGUSR1 would open Node's
// inspector there.
func TestReloadWithoutTheCallIsBySignalWhereThatIsKnown(t *testing.T) {
	gw := emulator("no-restart-request")
	s := newSite(t, gw)
	s.extra = "[gateways.main.restart]\nreload_min_age = \"100ms\"\nreload_settle = \"1m\"\n"
	s.run()
	reloaded(t, s, s.awaitState("running"), 1)
	if out := s.must("logs", "main", "--raw", "-n", "0"); !strings.Contains(out, "received SIGUSR2; restarting") {
		t.Errorf("no signal came:\n%s", out)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestReloadThatIsRefusedIsBySignal: 2026.5.27 lets a device make three such calls in a minute. The fourth reload uses
// SIGUSR1.
func TestReloadThatIsRefusedIsBySignal(t *testing.T) {
	s := newSite(t, emulated("2026.5.27"))
	s.extra = "[gateways.main.restart]\nreload_min_age = \"100ms\"\nreload_settle = \"1m\"\ncooldown = \"100ms\"\n"
	s.run()
	before := s.awaitState("running")
	for n := range 4 {
		reloaded(t, s, before, n+1)
	}
	if !strings.Contains(s.stderr.String(), "signal=SIGUSR1") {
		t.Errorf("no signal was sent:\n%s", s.stderr)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestReloadBehindAWrapperIsARestart: the signal would hit the wrapper, so it is not sent.
func TestReloadBehindAWrapperIsARestart(t *testing.T) {
	gw := emulated("2026.3.13")
	wrapper := filepath.Join(t.TempDir(), "wrapper")
	script := "#!/bin/sh\ntrap 'kill -TERM $child' TERM\n" + gw.command[0] +
		" \"$@\" & child=$!\nwait $child\nwait $child\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	gw.command = []string{wrapper}
	s := newSite(t, gw)
	s.extra = "[gateways.main.restart]\nreload_min_age = \"100ms\"\nreload_settle = \"1m\"\ncooldown = \"100ms\"\n"
	s.run()
	before := s.awaitState("running")
	s.must("reload", "main")
	after := s.awaitState("running")
	if after.PID == before.PID || after.LaunchID == before.LaunchID {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	if out := s.must("explain", "main"); !strings.Contains(out, "wrapper") {
		t.Errorf("explain does not say why:\n%s", out)
	}
	if out := s.must("logs", "main", "--raw", "-n", "0"); strings.Contains(out, "SIGUSR") {
		t.Errorf("a signal came:\n%s", out)
	}
	s.must("stop", "main")
	s.shutdown()
}
