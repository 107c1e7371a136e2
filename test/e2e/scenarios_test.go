package e2e_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// theWholeStory is issue A's story: start, rpc, kill -9, a broken configuration that the doctor repairs, stop, nothing
// left.
func theWholeStory(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.run()
	first := s.awaitState("running")
	if first.Owner != "owned" || first.PID == 0 || first.Version == "" || first.LastStart.Outcome != "running" ||
		len(first.LastStart.Stages) == 0 {
		t.Errorf("status = %+v", first)
	}
	var health struct {
		OK bool `json:"ok"`
	}
	if err := json.Unmarshal([]byte(s.must("rpc", "main", "health")), &health); err != nil || !health.OK {
		t.Errorf("health = %+v, %v", health, err)
	}
	checkNoToken(t, s)

	if err := testhost.Signal(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := s.await("running again after kill -9",
		func(g gatewayStatus) bool { return g.State == "running" && g.PID != first.PID })
	if second.LastExit == nil || second.LastExit.Signal != "SIGKILL" || second.Restarts != 1 {
		t.Errorf("after kill -9: last exit = %+v, restarts = %d", second.LastExit, second.Restarts)
	}

	broken := []byte(`{"gateway": {"mode": "local"}, "thisKeyIsUnknown": true}`)
	config := filepath.Join(s.dir, "oc", "openclaw.json")
	if err := os.WriteFile(config, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	s.must("restart", "main", "--reason", "e2e")
	third := s.awaitState("running")
	if third.PID == second.PID {
		t.Error("restart kept the process")
	}
	repaired, err := os.ReadFile(config)
	if err != nil || bytes.Contains(repaired, []byte("thisKeyIsUnknown")) {
		t.Errorf("the configuration was not repaired: %s, %v", repaired, err)
	}
	if !backedUp(t, s, broken) {
		t.Error("the broken configuration was not kept")
	}

	s.must("stop", "main")
	if got := s.awaitState("stopped"); got.PID != 0 || got.Owner != "none" {
		t.Errorf("after stop: %+v", got)
	}
	for _, p := range s.processes() {
		if !strings.Contains(p.args, "gatehost") && !strings.Contains(p.args, filepath.Join(bin, "plugins")) {
			t.Errorf("after stop: %s", p)
		}
	}
	checkNoToken(t, s)
	s.shutdown()
	checkNoToken(t, s)
}

// backedUp looks for the bytes of a file anywhere in the state directory.
func backedUp(t *testing.T, s *site, want []byte) bool {
	t.Helper()
	found := false
	walk(t, filepath.Join(s.dir, "state"), func(path string, data []byte) {
		found = found || bytes.Equal(data, want)
	})
	return found
}

func walk(t *testing.T, dir string, each func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go while we look
		}
		if data, err := os.ReadFile(path); err == nil {
			each(path, data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkNoToken searches everything that the product wrote, and every argv, for the canary. The gateway's own state
// directory and environment are its own business.
func checkNoToken(t *testing.T, s *site) {
	t.Helper()
	for _, sub := range []string{"state", "run", "home"} {
		walk(t, filepath.Join(s.dir, sub), func(path string, data []byte) {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("the token is in %s", path)
			}
		})
	}
	if strings.Contains(s.stderr.String(), canary) {
		t.Error("the token is on the host's terminal")
	}
	for _, p := range s.processes() {
		if strings.Contains(p.args, canary) {
			t.Errorf("the token is in argv of %s", p)
		}
		env, _ := os.ReadFile(filepath.Join("/proc", itoa(p.pid), "environ"))
		if bytes.Contains(env, []byte(canary)) && strings.Contains(p.args, filepath.Join(bin, "plugins")) {
			t.Errorf("the token is in the environment of the plugin %s", p)
		}
	}
	for _, args := range [][]string{{"status", "--json"}, {"logs", "main", "-n", "1000"}, {"events", "--json"}} {
		out, errOut, _ := s.cli(args...)
		if strings.Contains(out+errOut, canary) {
			t.Errorf("the token is in the answer to %v", args)
		}
	}
}

// aNewHostAdopts: kill -9 of the host, then another one finds the gateway and does not restart it.
func aNewHostAdopts(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.run()
	before := s.awaitState("running")
	lines := strings.Count(s.must("logs", "main", "--raw", "-n", "0"), "\n")
	st, _ := s.status()
	plugins := map[int]string{}
	for _, p := range st.Plugins {
		plugins[p.PID] = p.Name
	}
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.eventually("the plugins end with their host", func() (bool, string) {
		for _, p := range s.processes() {
			if name, ok := plugins[p.pid]; ok {
				return false, name + ": " + p.String()
			}
		}
		return true, ""
	})
	if out := s.must("logs", "main", "--raw", "-n", "0"); strings.Count(out, "\n") < lines {
		t.Errorf("without a host the journal has fewer lines than %d:\n%s", lines, out)
	}
	if out := s.must("explain", "main"); !strings.Contains(out, "no host runs; main was last seen running") ||
		!strings.Contains(out, "autostart") {
		t.Errorf("explain without a host: %s", out)
	}
	s.startHost()
	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if after.PID != before.PID || after.LaunchID != before.LaunchID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	s.must("rpc", "main", "health")
	if out := s.must("logs", "main", "--raw", "-n", "0"); strings.Count(out, gw.startLine()) != 1 {
		t.Errorf("the lines from before the adoption are not there exactly once:\n%s", out)
	}
	s.must("stop", "main")
	s.shutdown()
}
