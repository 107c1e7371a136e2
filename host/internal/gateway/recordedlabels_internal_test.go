package gateway

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/store"
)

// TestLaunchOfAnEarlierStateShowsNoDrift compares the labels that earlier states of the code gave a launch with those
// that the same configuration gets now. A gateway outlives its host: what its bundle says must stay readable, or each
// upgrade would show drift in every gateway. The files are named for the commit that made them; the bundles of the
// shim itself are replayed in shared/shim and plugins/launcher-utility.
func TestLaunchOfAnEarlierStateShowsNoDrift(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "labels", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded labels: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var recorded map[string]map[string]string
		if err := json.Unmarshal(text, &recorded); err != nil {
			t.Fatal(err)
		}
		for name, cfg := range recordedConfigs() {
			now := labelsNow(t, cfg)
			then := recorded[name]
			if drift := driftOf(then, now); len(drift) > 0 || portOf(then) != cfg.Port {
				t.Errorf("%s, %s: drift %v, port %d", file, name, drift, portOf(then))
			}
			for label := range then {
				if label != labelHost && now[label] != then[label] {
					t.Errorf("%s, %s: %s was %q and is %q", file, name, label, then[label], now[label])
				}
			}
			other := *cfg // the comparison can fail
			other.Port++
			if drift := driftOf(then, labelsNow(t, &other)); len(drift) == 0 {
				t.Errorf("%s, %s: another port is no drift", file, name)
			}
		}
	}
}

// labelsNow is the labels of a configuration with the key of the recordings.
func labelsNow(t *testing.T, cfg *config.Gateway) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	if err := os.WriteFile(filepath.Join(dir, "fingerprint.key"), []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RECORDED_TOKEN", "canary-token-0123456789")
	g := bare(cfg)
	g.env.Store = s
	return g.labelsOf(cfg)
}

// recordedConfigs are the configurations of the recordings.
func recordedConfigs() map[string]*config.Gateway {
	openclaw := &config.Gateway{
		Name: "main", Port: 18789, Launcher: "utility", Token: config.Token{Env: "RECORDED_TOKEN"},
	}
	openclaw.Launch = config.Launch{
		Profile: "openclaw", Command: []string{"/opt/openclaw/bin/openclaw"},
		Args: []string{"gateway", "run", "--port", "{port}"}, Cwd: "/srv/openclaw",
		Env: map[string]string{"A": "b"}, PathPrepend: []string{"/opt/node/bin"}, SkipChannels: true,
		StateDir: "/srv/openclaw/state", ConfigPath: "/srv/openclaw/openclaw.json", ClearEnv: true,
	}
	plain := &config.Gateway{
		Name: "other", Port: 4711, Launcher: "utility", Token: config.Token{Env: "RECORDED_TOKEN"},
	}
	plain.Launch = config.Launch{
		Profile: "plain", Command: []string{"/opt/gw"}, Cwd: "/srv", HTTPProxy: "proxy:3128",
		NoProxy: []string{"localhost"}, ClearEnv: true, StateDir: "/srv/gw", ConfigPath: "/srv/gw/config.json",
	}
	return map[string]*config.Gateway{"openclaw": openclaw, "plain": plain}
}
