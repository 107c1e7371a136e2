package profile_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/plugin"
)

func build(t *testing.T, l profile.Launch) (profile.Result, map[string]string) {
	t.Helper()
	if l.Profile == "" {
		l.Profile = profile.OpenClaw
	}
	if l.Command == nil {
		l.Command = []string{"openclaw"}
	}
	r, err := profile.Build(l)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, v := range r.Process.Env {
		env[v.Name] = v.Value
	}
	return r, env
}

func TestTokenGoesByEnvironmentOnly(t *testing.T) {
	r, env := build(t, profile.Launch{Port: 18789, Token: "canary-token-value"})
	if env["OPENCLAW_GATEWAY_TOKEN"] != "canary-token-value" {
		t.Error("the token is not in the environment")
	}
	if strings.Contains(strings.Join(r.Process.Argv, " "), "canary") {
		t.Errorf("the token is in argv: %v", r.Process.Argv)
	}
	i := slices.IndexFunc(r.Process.Env, func(v plugin.EnvVar) bool { return v.Name == "OPENCLAW_GATEWAY_TOKEN" })
	if !r.Process.Env[i].Secret || !slices.Contains(r.Secrets, "canary-token-value") {
		t.Error("the token is not marked as a secret")
	}
}

func TestMarksOfOtherSupervisorsAndPreloadsAreRemoved(t *testing.T) { // B076, B091, T112..T115
	inherited := []string{
		"NODE_OPTIONS=--require x", "INVOCATION_ID=1", "JOURNAL_STREAM=1", "SYSTEMD_EXEC_PID=1", "OPENCLAW_SYSTEMD_UNIT=u",
		"OPENCLAW_GATEWAY_TOKEN=somebody-elses", "GATEHOST_SOCKET=/x", "KEEP=me", "OPENCLAW_DISABLE_BONJOUR=0",
	}
	before := slices.Clone(inherited)
	_, env := build(t, profile.Launch{Inherited: inherited})
	for _, gone := range []string{"NODE_OPTIONS", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "OPENCLAW_SYSTEMD_UNIT", "OPENCLAW_GATEWAY_TOKEN", "GATEHOST_SOCKET"} {
		if v, ok := env[gone]; ok {
			t.Errorf("%s = %q, want it gone", gone, v)
		}
	}
	if env["KEEP"] != "me" || env["OPENCLAW_DISABLE_BONJOUR"] != "1" || env["OPENCLAW_GATEWAY_STARTUP_TRACE"] != "1" {
		t.Errorf("env = %v", env)
	}
	if !slices.Equal(before, inherited) {
		t.Error("the source environment was changed")
	}
}

func TestPortIsFilledIntoTheArguments(t *testing.T) {
	r, _ := build(t, profile.Launch{Port: 4711})
	if got := strings.Join(r.Process.Argv, " "); got != "openclaw gateway --port 4711 --bind loopback --allow-unconfigured" {
		t.Errorf("argv = %s", got)
	}
	r, env := build(t, profile.Launch{Profile: profile.Plain, Command: []string{"/opt/gw"}, Args: []string{"-p={port}"}, Port: 4711})
	if got := strings.Join(r.Process.Argv, " "); got != "/opt/gw -p=4711" || env["OPENCLAW_NO_RESPAWN"] != "" {
		t.Errorf("argv = %s, env = %v", got, env)
	}
}

func TestClearEnvKeepsOnlyWhatProgramsNeed(t *testing.T) {
	_, env := build(t, profile.Launch{ClearEnv: true, Inherited: []string{"PATH=/bin", "SECRET_KEY=x", "HOME=/h"}, Env: map[string]string{"MINE": "1"}})
	if env["SECRET_KEY"] != "" || env["PATH"] != "/bin" || env["MINE"] != "1" || env["HOME"] != "/h" {
		t.Errorf("env = %v", env)
	}
}

func TestEnvFileValuesAreSecretsAndItsFaultsNameTheLineOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("# c\nexport A='quoted value'\nB=plain-value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, env := build(t, profile.Launch{EnvFile: path})
	if env["A"] != "quoted value" || !slices.Contains(r.Secrets, "plain-value") {
		t.Errorf("A = %q, secrets = %v", env["A"], r.Secrets)
	}
	if err := os.WriteFile(path, []byte("ok=1\nhunter2-without-name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := profile.Build(profile.Launch{Command: []string{"x"}, EnvFile: path})
	if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v", err)
	}
}

func TestProxyIsNormalisedAndItsCredentialsAreRedacted(t *testing.T) { // B080..B082, T186, T188
	for in, want := range map[string]string{"127.0.0.1:7890": "http://127.0.0.1:7890", "socks5://h:1": "socks5://h:1", " ": ""} {
		if got := profile.NormalizeProxy(in); got != want {
			t.Errorf("NormalizeProxy(%q) = %q, want %q", in, got, want)
		}
	}
	_, env := build(t, profile.Launch{Proxy: "h:1", Inherited: []string{"NO_PROXY=mine"}})
	if env["http_proxy"] != "http://h:1" || env["ALL_PROXY"] != "http://h:1" || env["NO_PROXY"] != "mine" {
		t.Errorf("env = %v", env)
	}
	_, env = build(t, profile.Launch{Inherited: []string{"HTTPS_PROXY=http://mine"}})
	if env["HTTPS_PROXY"] != "http://mine" {
		t.Error("the user's own proxy was hidden")
	}
	if got := profile.RedactURL("http://user:pass@h:1/"); strings.Contains(got, "pass@") || strings.Contains(got, "user:") {
		t.Errorf("redacted = %s", got)
	}
}

func TestStateAndConfigPlacesAreKnown(t *testing.T) {
	r, env := build(t, profile.Launch{Home: "/home/u"})
	if r.StateDir != filepath.Join("/home/u", ".openclaw") || r.ConfigPath != filepath.Join("/home/u", ".openclaw", "openclaw.json") || env["OPENCLAW_STATE_DIR"] != "" {
		t.Errorf("state = %s config = %s", r.StateDir, r.ConfigPath)
	}
	r, env = build(t, profile.Launch{Home: "/home/u", StateDir: "/s"})
	if r.ConfigPath != filepath.Join("/s", "openclaw.json") || env["OPENCLAW_STATE_DIR"] != "/s" {
		t.Errorf("config = %s env = %v", r.ConfigPath, env["OPENCLAW_STATE_DIR"])
	}
}
