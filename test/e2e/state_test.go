package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedStateIsSetAsideAndKillsNothing damages what a killed host left; the next one says so and adopts the
// gateway all the same.
func TestDamagedStateIsSetAsideAndKillsNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	state := filepath.Join(s.dir, "state")
	segments, _ := filepath.Glob(filepath.Join(state, "journal", "????????????????????.jsonl")) // of the facts
	launches, _ := filepath.Glob(filepath.Join(state, "run", "*", "launch.json"))
	if len(segments) != 1 || len(launches) != 1 {
		t.Fatalf("journal %v, launches %v", segments, launches)
	}
	for _, path := range []string{
		filepath.Join(state, "device.json"), filepath.Join(state, "fingerprint.key"), segments[0], launches[0],
	} {
		if err := os.WriteFile(path, []byte("\x00 this is no file of gatehost\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.startHost()
	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	for _, name := range []string{"device.json", "fingerprint.key", segments[0]} {
		if !strings.Contains(s.stderr.String(), filepath.Base(name)+".broken-") {
			t.Errorf("no message says that %s was set aside", name)
		}
		if aside, _ := filepath.Glob(filepath.Join(state, name) + ".broken-*"); !filepath.IsAbs(name) && len(aside) != 1 {
			t.Errorf("%s was not set aside: %v", name, aside)
		}
	}
	s.must("rpc", "main", "health")
	s.must("stop", "main")
	s.shutdown()
}

// TestStateThatVanishesUnderAHostDoesNotStopSupervision removes everything but the launch itself, and then the whole
// directory.
func TestStateThatVanishesUnderAHostDoesNotStopSupervision(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	state := filepath.Join(s.dir, "state")
	for _, name := range []string{
		"journal", "gateways", "repairs", "device.json", "fingerprint.key", "reserve", "host.lock",
	} {
		if err := os.RemoveAll(filepath.Join(state, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.must("rpc", "main", "health")
	s.must("restart", "main")
	restarted := s.awaitState("running")
	if restarted.PID == before.PID {
		t.Error("the restart has kept the process")
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	s.must("rpc", "main", "health")
	if now := s.awaitState("running"); now.PID != restarted.PID {
		t.Errorf("the gateway was touched: %+v", now)
	}
	s.must("stop", "main") // also of what has no files any more
	for _, p := range s.processes() {
		if strings.Contains(p.args, "gateway-emulator") || strings.Contains(p.args, "gatehost-shim") {
			t.Errorf("after the stop: %s", p)
		}
	}
	s.shutdown()
}
