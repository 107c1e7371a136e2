package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// theirs are secrets in the gateway's own file. They must be found nowhere but there.
const (
	theirToken    = "their-token-5c0d7e21"
	theirPassword = "their-password-77ab10c4"
)

// ownFiles is what the status says about the gateway's files.
type ownFiles struct {
	Files struct{ Config, StateDir, DecidedBy, Profile, Auth string } `json:"files"`
}

func (s *site) ownFiles() ownFiles {
	s.t.Helper()
	var got ownFiles
	if err := json.Unmarshal([]byte(s.must("status", "main", "--json")), &got); err != nil {
		s.t.Fatal(err)
	}
	return got
}

// unset is the configuration without what decides about places and tokens.
func (s *site) unset() string {
	return strings.NewReplacer(
		fmt.Sprintf("state_dir = %q\npath_prepend", filepath.Join(s.dir, "oc")), "path_prepend",
		"token = {env = \"GH_TEST_TOKEN\"}\n", "",
	).Replace(s.config())
}

// itsOwnFileIsFound: the gateway's own file is found wherever its options and its environment put it: its token opens
// the session, `gateway-config` reads it, and nothing of it is changed.
func itsOwnFileIsFound(t *testing.T, gw gateway) {
	t.Helper()
	for _, row := range []struct {
		name, args, env, dir, by string
	}{
		{
			"profile", `["--profile", "work", "gateway", "--port", "{port}", "--bind", "loopback"]`, "",
			"home/.openclaw-work", "--profile work",
		},
		{"dev", `["--dev", "gateway", "--port", "{port}", "--bind", "loopback"]`, "", "home/.openclaw-dev", "--dev"},
		{"home", "", "OPENCLAW_HOME = \"%s/moved\"\n", "moved/.openclaw", "OPENCLAW_HOME"},
	} {
		s := newSite(t, gw)
		text := fmt.Sprintf(`{"gateway": {"mode": "local", "auth": {"mode": "token", "token": %q}}}`, theirToken)
		if err := os.MkdirAll(filepath.Join(s.dir, row.dir), 0o700); err != nil {
			t.Fatal(err)
		}
		s.writeFile(row.dir+"/openclaw.json", text)
		config := s.unset()
		if row.args != "" {
			config = strings.Replace(config, "grace = ", "args = "+row.args+"\ngrace = ", 1)
		}
		if row.env != "" {
			config = strings.Replace(config, "[gateways.main.launch.env]\n",
				"[gateways.main.launch.env]\n"+fmt.Sprintf(row.env, s.dir), 1)
		}
		s.writeConfig(config)
		s.startHost()
		s.awaitState("running")
		got := s.ownFiles().Files
		if got.Config != filepath.Join(s.dir, row.dir, "openclaw.json") || got.DecidedBy != row.by ||
			got.StateDir != filepath.Join(s.dir, row.dir) || got.Auth != "token" {
			t.Errorf("%s: %+v", row.name, got)
		}
		if shown := s.must("status", "main"); !strings.Contains(shown, got.Config) || !strings.Contains(shown, row.by) {
			t.Errorf("%s: status shows\n%s", row.name, shown)
		}
		s.must("stop", "main")
		if out := s.must("gateway-config", "main", "get", "gateway.mode"); out != "\"local\"\n" {
			t.Errorf("%s: %s", row.name, out)
		}
		if now, err := os.ReadFile(got.Config); err != nil || string(now) != text {
			t.Errorf("%s: the file is %s, %v", row.name, now, err)
		}
		s.shutdown()
		s.noTrace(theirToken, "edits")
	}
}

// itAuthenticatesAsItsFileSays: a gateway with a password, behind a trusted proxy or without authentication runs, and
// its file stays as it is. A token that the operator named and that is not used is said.
func itAuthenticatesAsItsFileSays(t *testing.T, gw gateway) {
	t.Helper()
	for mode, auth := range map[string]string{
		"password": fmt.Sprintf(`{"mode": "password", "password": %q}`, theirPassword),
		"trusted-proxy": fmt.Sprintf(`{"mode": "trusted-proxy", "password": %q,
			"trustedProxy": {"userHeader": "x-user"}}`, theirPassword),
		"none": `{"mode": "none"}`,
	} {
		s := newSite(t, gw)
		text := `{"gateway": {"mode": "local", "trustedProxies": ["10.9.9.9"], "auth": ` + auth + `}}`
		s.writeFile("oc/openclaw.json", text)
		s.run()
		s.awaitState("running")
		unused := s.await("the condition", func(g gatewayStatus) bool { return len(g.Conditions) > 0 }).Conditions[0]
		if unused.Code != "token-unused" || !strings.Contains(unused.Message, mode) ||
			!strings.Contains(unused.Hint, "gatehost gateway-config main set gateway.auth.mode token") {
			t.Errorf("%s: %+v", mode, unused)
		}
		if got := s.ownFiles().Files; got.Auth != mode {
			t.Errorf("%s: %+v", mode, got)
		}
		if out := s.must("rpc", "main", "status"); !strings.Contains(out, "{") {
			t.Errorf("%s: rpc says %s", mode, out)
		}
		s.must("stop", "main")
		if now, err := os.ReadFile(filepath.Join(s.dir, "oc", "openclaw.json")); err != nil || string(now) != text {
			t.Errorf("%s: the file is %s, %v", mode, now, err)
		}
		s.shutdown()
		s.noTrace(theirPassword, "edits")
		s.noTrace(canary, "edits")
	}
}

// itServesTLS: a gateway with TLS runs, its certificate is known from its own file or from config.toml, and one that is
// not trusted is said, with what to set.
func itServesTLS(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.writeFile("oc/openclaw.json", `{"gateway": {"mode": "local", "tls": {"enabled": true}}}`)
	s.run()
	s.awaitState("running")
	s.must("rpc", "main", "status")
	s.must("stop", "main")
	wrong := "sha256:" + strings.Repeat("ab", 32)
	config := s.config()
	s.writeConfig(config + "[gateways.main.tls]\nfingerprint = \"" + wrong + "\"\n")
	s.must("config", "reload")
	if _, errOut, code := s.cli("start", "main"); code == 0 || !strings.Contains(errOut, "TLS certificate") {
		t.Errorf("another fingerprint: exit %d, %s", code, errOut)
	}
	refused := s.awaitState("error").Error
	_, pin, found := strings.Cut(refused.Hint, "gateways.main.tls.fingerprint = \"")
	if pin, _, _ = strings.Cut(pin, `"`); refused.Code != "tls_untrusted" || !found {
		t.Fatalf("%+v", refused)
	}
	s.writeConfig(config + "[gateways.main.tls]\nfingerprint = \"" + pin + "\"\n")
	s.must("config", "reload")
	s.must("start", "main")
	s.awaitState("running")
	s.shutdown()
}

func TestGatewayServesTLS(t *testing.T) { itServesTLS(t, emulator("")) }

func TestOwnFileOfAGatewayIsFound(t *testing.T) { itsOwnFileIsFound(t, emulator("")) }
func TestGatewayAuthenticatesAsItsFileSays(t *testing.T) {
	itAuthenticatesAsItsFileSays(t, emulator(""))
}
