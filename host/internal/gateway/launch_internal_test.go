package gateway

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Each attempt builds its launch once: it reads its configuration, its environment file and its token at one moment,
// and Request neither reads them again nor edits the gateway's file.
func TestLaunchIsBuiltOncePerAttempt(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("openclaw.json", `{"gateway": {"auth": {"mode": "token", "token": "another"}}}`)
	cfg := &config.Gateway{Name: "main", Port: 4711, Launcher: "l", Token: config.Token{
		File: write("token", "first"), Align: config.AlignWrite,
	}}
	cfg.Launch.Profile, cfg.Launch.Command, cfg.Launch.EnvFile = "openclaw", []string{"/bin/true"}, write(
		"env", "A=first\n",
	)
	cfg.Launch.ConfigPath, cfg.Launch.StateDir = file, dir
	g, err := New(Env{Log: hclog.NewNullLogger(), Store: s, Hub: events.NewHub(events.Options{})}, Settings{Gateway: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	builds := 0
	build := func(cfg *config.Gateway) built {
		builds++
		return g.build(cfg)
	}
	l := launches{core: &g.core, align: g.config.align, launching: g.lastGood.Launching, build: build}
	for attempt, want := range []string{"first", "second"} {
		write("token", want)
		write("env", "A="+want+"\n")
		id, err := l.Prepare(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Align(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		aligned, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(aligned), want) {
			t.Fatalf("the file is not aligned with the token: %s, %v", aligned, err)
		}
		write("token", "too late")
		write("env", "A=too late\n")
		write("openclaw.json", string(aligned))
		req, err := l.Request(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if builds != attempt+1 {
			t.Errorf("after attempt %d: built %d times", attempt+1, builds)
		}
		if !slices.ContainsFunc(req.Process.Env, func(v plugin.EnvVar) bool {
			return v.Name == "A" && v.Value == want
		}) {
			t.Errorf("the environment is not that of the moment of Align: %+v", req.Process.Env)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != string(aligned) {
			t.Errorf("Request edited the file: %s, %v", now, err)
		}
		if _, err := l.Request(t.Context(), id); err == nil {
			t.Error("a launch that was handed out is handed out again")
		}
	}
	if _, err := l.Request(t.Context(), lifecycle.LaunchID("never built")); err == nil {
		t.Error("a launch that was not built is handed out")
	}
}
