package profile_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/fault"
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

func TestTokenIsGivenInTheEnvironmentOnly(t *testing.T) {
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
		"NODE_OPTIONS=--require x", "INVOCATION_ID=1", "JOURNAL_STREAM=1", "SYSTEMD_EXEC_PID=1",
		"OPENCLAW_SYSTEMD_UNIT=u",
		"OPENCLAW_GATEWAY_TOKEN=another-programs", "GATEHOST_SOCKET=/x", "KEEP=me", "OPENCLAW_DISABLE_BONJOUR=0",
	}
	before := slices.Clone(inherited)
	_, env := build(t, profile.Launch{Inherited: inherited})
	for _, gone := range []string{
		"NODE_OPTIONS", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID",
		"OPENCLAW_SYSTEMD_UNIT", "OPENCLAW_GATEWAY_TOKEN", "GATEHOST_SOCKET",
	} {
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

// TestVariablesOfAServiceManagerNeverReachTheGateway: Node.js ends with NODE_CHANNEL_FD, and waits for ever with
// NODE_UNIQUE_ID.
func TestVariablesOfAServiceManagerNeverReachTheGateway(t *testing.T) {
	names := []string{
		"NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_APP_INSTANCE", "NODE_UNIQUE_ID", "pm_id", "pm_exec_path",
		"PM2_HOME", "PM2_USAGE", "WATCHDOG_USEC", "WATCHDOG_PID", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
		"LISTEN_FDNAMES", "INVOCATION_ID",
	}
	inherited, file := []string{"KEEP=me"}, ""
	for _, name := range names {
		inherited = append(inherited, name+"=inherited-canary")
		if name != "INVOCATION_ID" {
			file += name + "=file-canary\n"
		}
	}
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	r, env := build(t, profile.Launch{Launch: config.Launch{EnvFile: path}, Inherited: inherited})
	for _, name := range names {
		if v, ok := env[name]; ok {
			t.Errorf("%s = %q", name, v)
		}
	}
	if env["KEEP"] != "me" || len(r.Remarks) != len(names)-1 {
		t.Errorf("KEEP = %q, remarks %q", env["KEEP"], r.Remarks)
	}
}

// TestWhatIsNotUsedIsTold: by its name and place, never by its value.
func TestWhatIsNotUsedIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("A=1\nOPENCLAW_GATEWAY_TOKEN=file-canary\nNODE_OPTIONS=file-canary\n"+
		"HTTP_PROXY=http://file-canary\nB=file-canary\nOPENCLAW_DISABLE_BONJOUR=0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inherited := []string{
		"NODE_OPTIONS=canary", "OPENCLAW_GATEWAY_TOKEN=canary", "OPENCLAW_GATEWAY_PASSWORD=canary",
		"OPENCLAW_GATEWAY_PORT=canary", "OTHER_TOKEN=canary", "JOURNAL_STREAM=canary",
	}
	for _, row := range []struct {
		name   string
		launch profile.Launch
		want   []string // each remark has these words, in this order
	}{
		{"inherited", profile.Launch{Port: 1, Token: "mine", Inherited: inherited}, []string{
			"NODE_OPTIONS in the environment of gatehost is not used: the gateway does not inherit it (set it in launch.env",
			"OPENCLAW_GATEWAY_PASSWORD in the environment of gatehost is not used: the gateway does not inherit it",
			"OPENCLAW_GATEWAY_PORT in the environment of gatehost is not used: the gateway gets the value of the gateway's port",
			"OPENCLAW_GATEWAY_TOKEN in the environment of gatehost is not used: the gateway gets the value of the gateway's",
		}},
		{"the token of another gateway", profile.Launch{
			Port: 1, Token: "mine", Inherited: inherited[1:2], Foreign: []string{"OPENCLAW_GATEWAY_TOKEN"},
		}, nil},
		{"the same values", profile.Launch{
			Port: 1, Token: "canary", Inherited: []string{"OPENCLAW_GATEWAY_TOKEN=canary", "OPENCLAW_GATEWAY_PORT=1"},
		}, nil},
		{"without the environment", profile.Launch{
			Port: 1, Inherited: inherited, Launch: config.Launch{ClearEnv: true},
		}, nil},
		{"in the file", profile.Launch{Port: 1, Token: "mine", Inherited: inherited[:1], Launch: config.Launch{
			EnvFile: path, Proxy: "h:1", Env: map[string]string{"B": "2", "OPENCLAW_GATEWAY_TOKEN": "env-canary"},
		}}, []string{
			"B in line 5 is not used: the gateway gets the value of launch.env",
			"HTTP_PROXY in line 4 is not used: the gateway gets the value of the proxies of launch",
			"OPENCLAW_DISABLE_BONJOUR in line 6 is not used: the gateway gets the value of gatehost",
			"OPENCLAW_GATEWAY_TOKEN in line 2 is not used: the gateway gets the value of the gateway's token (to use that token",
			"OPENCLAW_GATEWAY_TOKEN is not used: the gateway gets the value of the gateway's token",
		}},
	} {
		r, _ := build(t, row.launch)
		if len(r.Remarks) != len(row.want) {
			t.Errorf("%s: %q, want %d remarks", row.name, r.Remarks, len(row.want))
			continue
		}
		for i, want := range row.want {
			if got := r.Remarks[i].String(); !strings.HasPrefix(got, want) || strings.Contains(got, "canary") {
				t.Errorf("%s: %q, want %q", row.name, got, want)
			}
		}
	}
}

func TestPortIsFilledIntoTheArguments(t *testing.T) {
	r, _ := build(t, profile.Launch{Port: 4711})
	if got := strings.Join(r.Process.Argv,
		" "); got != "openclaw gateway --port 4711 --bind loopback --allow-unconfigured" {
		t.Errorf("argv = %s", got)
	}
	r, env := build(t,
		profile.Launch{Launch: config.Launch{
			Profile: profile.Plain, Command: []string{"/opt/gw"},
			Args: []string{"-p={port}"},
		}, Port: 4711})
	if got := strings.Join(r.Process.Argv, " "); got != "/opt/gw -p=4711" || env["OPENCLAW_NO_RESPAWN"] != "" {
		t.Errorf("argv = %s, env = %v", got, env)
	}
}

func TestClearEnvKeepsOnlyWhatProgramsNeed(t *testing.T) {
	_, env := build(t,
		profile.Launch{
			Launch:    config.Launch{ClearEnv: true, Env: map[string]string{"MINE": "1"}},
			Inherited: []string{"PATH=/bin", "SECRET_KEY=x", "HOME=/h"},
		})
	if env["SECRET_KEY"] != "" || env["PATH"] != "/bin" || env["MINE"] != "1" || env["HOME"] != "/h" {
		t.Errorf("env = %v", env)
	}
}

func TestEnvFileValuesAreSecretsAndItsFaultsNameTheLineOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("# c\nexport A='quoted value'\nB=plain-value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, env := build(t, profile.Launch{Launch: config.Launch{EnvFile: path}})
	if env["A"] != "quoted value" || !slices.Contains(r.Secrets, "plain-value") {
		t.Errorf("A = %q, secrets = %v", env["A"], r.Secrets)
	}
	if err := os.WriteFile(path, []byte("ok=1\nhunter2-without-name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := profile.Build(profile.Launch{Launch: config.Launch{Command: []string{"x"}, EnvFile: path}})
	if err == nil || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v", err)
	}
	// the mode may change after the configuration was loaded
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = profile.Build(profile.Launch{Launch: config.Launch{Command: []string{"x"}, EnvFile: path}})
	if err == nil || !strings.Contains(err.Error(), "every user may write to it") ||
		fault.HintOf(err) != "run: chmod go-w "+path {
		t.Errorf("error = %v, hint %q", err, fault.HintOf(err))
	}
}

func TestProxyIsNormalisedAndItsCredentialsAreRedacted(t *testing.T) { // B080..B082, T186, T188
	for in, want := range map[string]string{
		"127.0.0.1:7890": "http://127.0.0.1:7890", "socks5://h:1": "socks5://h:1",
		" ": "",
	} {
		if got := profile.NormalizeProxy(in); got != want {
			t.Errorf("NormalizeProxy(%q) = %q, want %q", in, got, want)
		}
	}
	_, env := build(t, profile.Launch{Launch: config.Launch{Proxy: "h:1"}, Inherited: []string{"NO_PROXY=mine"}})
	if env["http_proxy"] != "http://h:1" || env["ALL_PROXY"] != "http://h:1" || env["NO_PROXY"] != "mine" {
		t.Errorf("env = %v", env)
	}
	_, env = build(t, profile.Launch{Inherited: []string{"HTTPS_PROXY=http://mine"}})
	if env["HTTPS_PROXY"] != "http://mine" {
		t.Error("the user's own proxy was hidden")
	}
}

func TestStateAndConfigPlacesAreKnown(t *testing.T) {
	r, env := build(t, profile.Launch{Home: "/home/u"})
	if r.StateDir != filepath.Join("/home/u", ".openclaw") ||
		r.ConfigPath != filepath.Join("/home/u", ".openclaw", "openclaw.json") || env["OPENCLAW_STATE_DIR"] != "" {
		t.Errorf("state = %s config = %s", r.StateDir, r.ConfigPath)
	}
	r, env = build(t, profile.Launch{Launch: config.Launch{StateDir: "/s"}, Home: "/home/u"})
	if r.ConfigPath != filepath.Join("/s", "openclaw.json") || env["OPENCLAW_STATE_DIR"] != "/s" {
		t.Errorf("config = %s env = %v", r.ConfigPath, env["OPENCLAW_STATE_DIR"])
	}
}

func TestProxiesFallBackAndAreSetInBothCases(t *testing.T) { // B081, T187, T188
	for _, row := range []struct {
		name string
		in   config.Launch
		want map[string]string
	}{
		{
			"the base for all",
			config.Launch{Proxy: "h:1"},
			map[string]string{"HTTP_PROXY": "http://h:1", "HTTPS_PROXY": "http://h:1", "ALL_PROXY": "http://h:1"},
		},
		{
			"one of its own for each",
			config.Launch{Proxy: "h:1", HTTPProxy: "a:1", HTTPSProxy: "https://b:2", AllProxy: "SOCKS5://c:3"},
			map[string]string{"HTTP_PROXY": "http://a:1", "HTTPS_PROXY": "https://b:2", "ALL_PROXY": "SOCKS5://c:3"},
		},
		{
			"blanks count as nothing",
			config.Launch{Proxy: "h:1", HTTPProxy: "  ", HTTPSProxy: "\t"},
			map[string]string{"HTTP_PROXY": "http://h:1", "HTTPS_PROXY": "http://h:1", "ALL_PROXY": "http://h:1"},
		},
		{
			"to ALL without a base",
			config.Launch{AllProxy: "socks5://c:3"},
			map[string]string{"HTTP_PROXY": "socks5://c:3", "HTTPS_PROXY": "socks5://c:3", "ALL_PROXY": "socks5://c:3"},
		},
		{"one alone", config.Launch{HTTPSProxy: "b:2"}, map[string]string{"HTTPS_PROXY": "http://b:2"}},
		{
			"bypass rules",
			config.Launch{NoProxy: []string{"a, b;c\n d ", "", "e"}},
			map[string]string{"NO_PROXY": "a,b,c,d,e"},
		},
		{"none", config.Launch{}, map[string]string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			want := map[string]string{}
			for k, v := range row.want {
				want[k], want[strings.ToLower(k)] = v, v
			}
			if got := profile.ProxyEnv(row.in); !maps.Equal(got, want) {
				t.Errorf("env = %v, want %v", got, want)
			}
		})
	}
}

func TestCredentialsOfAProxyAreHidden(t *testing.T) { // B082
	for in, want := range map[string]string{
		"http://user:pass@h:1/":        "http://redacted@h:1/",
		"user:pass@h:1":                "http://redacted@h:1",
		"socks5://u:p@ss/w?rd#x@h:1":   "socks5://redacted@h:1",
		"http://only-user@h":           "http://redacted@h",
		"http://h:1/a@b":               "http://redacted@b", // rather too much than too little
		"h:1":                          "http://h:1",
		"http://u:%zz-not-escaped@h:1": "http://redacted@h:1",
	} {
		if got := profile.RedactURL(in); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", in, got, want)
		}
	}
	for name, l := range map[string]profile.Launch{
		"configured":      {Launch: config.Launch{Proxy: "http://user:canary%2Fpassword@h:1"}},
		"without scheme":  {Launch: config.Launch{HTTPSProxy: "user:canary%2Fpassword@h:1"}},
		"of the host":     {Inherited: []string{"https_proxy=http://user:canary%2Fpassword@h:1"}},
		"of the env_file": {Launch: config.Launch{Env: map[string]string{"ALL_PROXY": "user:canary%2Fpassword@h:1"}}},
	} {
		r, _ := build(t, l)
		for _, secret := range []string{"canary%2Fpassword", "canary/password"} {
			if !slices.Contains(r.Secrets, secret) {
				t.Errorf("%s: %q is not among the secrets", name, secret)
			}
		}
		for _, v := range r.Process.Env {
			if strings.Contains(v.Value, "canary") && !v.Secret {
				t.Errorf("%s: %s is not marked as a secret", name, v.Name)
			}
		}
	}
}

func TestLaterWinsInTheEnvironment(t *testing.T) { // B083
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte("A=file\nB=file\nHTTP_PROXY=http://file\nOPENCLAW_NO_RESPAWN=0\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	_, env := build(t, profile.Launch{
		Launch: config.Launch{
			EnvFile: path,
			Env: map[string]string{
				"B": "env", "HTTP_PROXY": "http://env", "OPENCLAW_GATEWAY_PORT": "1",
				"OPENCLAW_GATEWAY_TOKEN": "of another",
			}, Proxy: "h:1",
		}, Inherited: []string{"A=inherited", "B=inherited", "C=inherited"}, Port: 5, Token: "the-right-token",
	})
	for k, want := range map[string]string{
		"A": "file", "B": "env", "C": "inherited", "HTTP_PROXY": "http://h:1", "OPENCLAW_NO_RESPAWN": "1",
		"OPENCLAW_GATEWAY_PORT":  "5",
		"OPENCLAW_GATEWAY_TOKEN": "the-right-token",
	} {
		if env[k] != want {
			t.Errorf("%s = %q, want %q", k, env[k], want)
		}
	}
}

func TestProfileOfOpenClawIsFixed(t *testing.T) { // B074, B075, B092, T112
	inherited := []string{
		"OPENCLAW_GATEWAY_STARTUP_TRACE=0", "OPENCLAW_EXEC_SHELL_SNAPSHOT=1",
		"OPENCLAW_NO_RESPAWN=0", "OPENCLAW_DISABLE_BONJOUR=0",
	}
	_, env := build(t, profile.Launch{Inherited: inherited})
	for k, want := range map[string]string{
		"OPENCLAW_NO_RESPAWN": "1", "OPENCLAW_DISABLE_BONJOUR": "1", "OPENCLAW_GATEWAY_STARTUP_TRACE": "1",
		"OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
	} {
		if env[k] != want {
			t.Errorf("%s = %q, want %q", k, env[k], want)
		}
	}
	for _, k := range []string{"OPENCLAW_SKIP_CHANNELS", "CLAWDBOT_SKIP_CHANNELS", "OPENCLAW_GATEWAY_TOKEN"} {
		if v, set := env[k]; set {
			t.Errorf("%s = %q, want it unset rather than empty", k, v)
		}
	}
	if _, env = build(t,
		profile.Launch{Launch: config.Launch{SkipChannels: true}}); env["OPENCLAW_SKIP_CHANNELS"] != "1" {
		t.Errorf("OPENCLAW_SKIP_CHANNELS = %q, want 1", env["OPENCLAW_SKIP_CHANNELS"])
	}
	if _, has := env["CLAWDBOT_SKIP_CHANNELS"]; has {
		t.Error("the former name is set, too")
	}
}

func TestTokensOfOtherGatewaysAreNotInherited(t *testing.T) { // B077
	_, env := build(t,
		profile.Launch{
			Inherited: []string{"TOKEN_OF_MINE=a", "TOKEN_OF_ANOTHER=b"},
			Foreign:   []string{"TOKEN_OF_ANOTHER"},
		})
	if _, has := env["TOKEN_OF_ANOTHER"]; has || env["TOKEN_OF_MINE"] != "a" {
		t.Errorf("env = %v", env)
	}
}

// What the operator says about the places, in whatever way, decides; a default of gatehost has the last word.
func TestPlacesFollowEnvironmentFileAndArguments(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("OPENCLAW_HOME=/from/file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inherited := []string{"HOME=/h", "OPENCLAW_STATE_DIR=/inherited"}
	for _, row := range []struct {
		name   string
		launch config.Launch
		want   string // the configuration
		env    string // OPENCLAW_STATE_DIR that the gateway gets
	}{
		{"the host's own environment", config.Launch{}, "/inherited/openclaw.json", "/inherited"},
		{
			"a default, which no file contradicts",
			config.Launch{StateDir: "/default", StateDirByDefault: true},
			"/default/openclaw.json", "/default",
		},
		{
			"the env_file beats the default",
			config.Launch{StateDir: "/default", StateDirByDefault: true, EnvFile: file, ClearEnv: true},
			"/from/file/.openclaw/openclaw.json", "",
		},
		{
			"arguments beat the default", config.Launch{
				StateDir: "/default", StateDirByDefault: true, ClearEnv: true, Args: []string{"--profile", "work", "gateway"},
			}, "/h/.openclaw-work/openclaw.json", "",
		},
		{
			"env",
			config.Launch{Env: map[string]string{"OPENCLAW_HOME": "/x"}, ClearEnv: true},
			"/x/.openclaw/openclaw.json", "",
		},
		{"a key", config.Launch{StateDir: "/key", EnvFile: file}, "/key/openclaw.json", "/key"},
		{
			"in the command",
			config.Launch{Command: []string{"node", "/x/openclaw.mjs", "--dev"}, ClearEnv: true},
			"/h/.openclaw-dev/openclaw.json", "",
		},
	} {
		r, env := build(t, profile.Launch{Launch: row.launch, Inherited: inherited})
		if r.ConfigPath != row.want || r.StateDir != filepath.Dir(row.want) || env["OPENCLAW_STATE_DIR"] != row.env {
			t.Errorf("%s: %+v, OPENCLAW_STATE_DIR=%s, want %s", row.name, r.Place, env["OPENCLAW_STATE_DIR"], row.want)
		}
		// A command of the gateway does not get the gateway's arguments.
		for name, p := range map[string]plugin.ProcessSpec{"step": r.AtItsPlace(), "evidence": r.WithoutSecrets("/tmp")} {
			for variable, want := range map[string]string{
				"OPENCLAW_STATE_DIR": r.StateDir, "OPENCLAW_CONFIG_PATH": r.ConfigPath,
			} {
				if !slices.Contains(p.Env, plugin.EnvVar{Name: variable, Value: want}) {
					t.Errorf("%s: the %s does not get %s=%s", row.name, name, variable, want)
				}
			}
		}
	}
}
