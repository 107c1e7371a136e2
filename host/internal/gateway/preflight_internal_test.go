package gateway

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/shared/fault"
)

// TestPreflightFindsWhatANextStartLacks: plugin, checksum, program, port, disk, configuration, each with its remedy.
func TestPreflightFindsWhatANextStartLacks(t *testing.T) {
	dir := t.TempDir()
	launcher := filepath.Join(dir, "launcher")
	if err := os.WriteFile(launcher, []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a listener of the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	state := filepath.Join(dir, "state")
	files, err := store.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = files.Close() }()

	defaults, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}

	for name, row := range map[string]struct {
		change func(*config.Gateway)
		broken func(*pluginhost.Spec) bool // false: the plugin is not there at all
		config error
		want   string // "": the next start may succeed
		hint   string
	}{
		"nothing": {},
		"no such plugin": {
			broken: func(*pluginhost.Spec) bool { return false }, want: "there is no plugin \"utility\"",
		},
		"the plugin's file is gone": {
			broken: func(s *pluginhost.Spec) bool { s.Path += ".gone"; return true }, want: "there is no such file",
		},
		"the plugin was changed": {
			broken: func(s *pluginhost.Spec) bool { s.SHA256 = strings.Repeat("0", 64); return true },
			want:   "config.toml wants 0",
		},
		"the program": {
			change: func(g *config.Gateway) { g.Launch.Command = []string{"/nonexistent/openclaw"} },
			want:   "/nonexistent/openclaw", hint: "launch.command",
		},
		"the environment file": {
			change: func(g *config.Gateway) { g.Launch.EnvFile = filepath.Join(dir, "absent.env") }, want: "absent.env",
		},
		"the gateway's configuration": {config: fault.New(fault.FailedPrecondition, "it is invalid"), want: "it is invalid"},
	} {
		cfg := defaults.Gateways["main"]
		cfg.Launcher, cfg.Unload = "utility", nil
		cfg.Launch.Command, cfg.Launch.StateDir = []string{"/bin/sh"}, dir
		next := *cfg
		if row.change != nil {
			row.change(&next)
		}
		spec := pluginhost.Spec{Name: "utility", Path: launcher}
		plugins := pluginhost.New(pluginhost.Options{Log: hclog.NewNullLogger(), PluginDir: dir})
		if row.broken == nil || row.broken(&spec) {
			if err := plugins.Add(spec); err != nil {
				t.Fatal(err)
			}
		}
		c := bare(&next)
		c.env.Plugins, c.env.Store = plugins, files
		c.engine = engine.New("main", lifecycle.DefaultPolicy(), engine.Ports{}, hclog.NewNullLogger())
		p := preflight{core: c, configuration: func(context.Context) error { return row.config }}
		err := p.Check(t.Context())
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %q", name, err, row.want)
		case row.want != "" && (!strings.Contains(fault.HintOf(err), row.hint) ||
			!strings.Contains(fault.HintOf(err), "`gatehost restart main --force`")):
			t.Errorf("%s: hint %q", name, fault.HintOf(err))
		}
	}

	port := taken.Addr().(*net.TCPAddr).Port
	if err := portTaken(t.Context(), "main", port, port); err != nil {
		t.Errorf("the port of the gateway itself: %v", err)
	}
	if err := portTaken(t.Context(), "main", port, port+1); !errors.Is(err, fault.ErrConflict) ||
		!strings.Contains(fault.HintOf(err), "gateways.main.port") {
		t.Errorf("another port, which is taken: %v", err)
	}

	c := bare(defaults.Gateways["main"])
	c.env.Store = files
	if err := os.RemoveAll(files.RunDir()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files.RunDir(), nil, 0o600); err != nil { // as unwritable as a full disk, for root too
		t.Fatal(err)
	}
	if err := (preflight{core: c}).disk(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a launch cannot be recorded: %v", err)
	}
}
