package profile_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
)

func TestCommandsForADoctorDoNotGetTheGatewaysSecrets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	text := "UNNAMED=canary-from-file\nshort=abc\nNODE_OPTIONS=--max-old-space-size=100\nOPENCLAW_LOG_LEVEL=debug\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := profile.Build(profile.Launch{
		Launch: config.Launch{
			Profile: profile.OpenClaw, Command: []string{"openclaw"}, EnvFile: file,
			Env: map[string]string{
				"ANTHROPIC_API_KEY": "canary-provider", "COPY": "canary-token-1", "GREETING": "hello",
				"HTTPS_PROXY": "http://me:canary-proxy@proxy:1", "HTTP_PROXY": "http://proxy:1",
			},
		},
		Port: 1, Token: "canary-token-1", Home: "/home/me",
		Inherited: []string{
			"PATH=/bin", "HOME=/home/me", "AWS_SECRET_ACCESS_KEY=canary-inherited", "TMPDIR=/tmp",
			"XDG_CACHE_HOME=/home/me/.cache",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	var names []string
	for _, v := range r.WithoutSecrets("/private").Env {
		got[v.Name] = v.Value
		names = append(names, v.Name)
		if strings.Contains(v.Value, "canary") {
			t.Errorf("%s=%s", v.Name, v.Value)
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("variables %q", names)
	}
	const hidden = "hidden-by-gatehost"
	for name, want := range map[string]string{
		"OPENCLAW_GATEWAY_TOKEN": hidden, "ANTHROPIC_API_KEY": hidden, "AWS_SECRET_ACCESS_KEY": hidden, "UNNAMED": hidden,
		"COPY": hidden, "short": hidden, "HTTPS_PROXY": "", "HTTP_PROXY": "http://proxy:1", "GREETING": "hello",
		"PATH": "/bin", "HOME": "/home/me", "TMPDIR": "/private", "XDG_CACHE_HOME": "/private",
		"NODE_OPTIONS":       "--max-old-space-size=100",
		"OPENCLAW_LOG_LEVEL": "debug", "OPENCLAW_STATE_DIR": "/home/me/.openclaw", "OPENCLAW_NO_RESPAWN": "1",
		"OPENCLAW_CONFIG_PATH": "/home/me/.openclaw/openclaw.json",
	} {
		if got[name] != want {
			t.Errorf("%s=%q, want %q", name, got[name], want)
		}
	}
	whole := strings.Join(func() (out []string) {
		for _, v := range r.Process.Env {
			out = append(out, v.Value)
		}
		return out
	}(), " ")
	for _, secret := range []string{"canary-token-1", "canary-provider", "canary-from-file"} {
		if !strings.Contains(whole, secret) { // the launch itself is as it was
			t.Errorf("the gateway does not get %s", secret)
		}
	}
}
