package gateway

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/internal/redact"
)

const oursToken = "the-operators-token-1"

// fileGateway is a gateway of profile openclaw with a file of its own.
type fileGateway struct {
	*Gateway
	t    *testing.T
	cfg  *config.Gateway
	file string
	log  *bytes.Buffer
}

func newFileGateway(t *testing.T, text, align string, named bool) fileGateway {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	g := fileGateway{t: t, file: filepath.Join(dir, "openclaw.json"), log: &bytes.Buffer{}}
	g.write(text)
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(oursToken), 0o600); err != nil {
		t.Fatal(err)
	}
	g.cfg = &config.Gateway{Name: "main", Port: 4711, Launcher: "l", Token: config.Token{Generate: !named, Align: align}}
	if named {
		g.cfg.Token.File = filepath.Join(dir, "token")
	}
	g.cfg.Launch.Profile, g.cfg.Launch.Command = "openclaw", []string{"/bin/true"}
	g.cfg.Launch.StateDir, g.cfg.Launch.ClearEnv = dir, true
	g.Gateway, err = New(Env{
		Log: hclog.New(&hclog.LoggerOptions{Output: g.log, Level: hclog.Debug}), Store: s,
		Hub: events.NewHub(events.Options{}), Secrets: &redact.Known{},
	}, Settings{Gateway: g.cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func (g fileGateway) write(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g fileGateway) read() string {
	g.t.Helper()
	data, err := os.ReadFile(g.file)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(data)
}

// align prepares a launch as the engine does, and returns the types of the events.
func (g fileGateway) align() (told []events.Type, err error) {
	g.t.Helper()
	sub := g.env.Hub.Subscribe(0)
	b := g.build(g.cfg)
	if b.err != nil {
		g.t.Fatal(b.err)
	}
	err = g.config.align(g.t.Context(), b)
	for e, ok := sub.TryNext(); ok; e, ok = sub.TryNext() {
		told = append(told, e.Type)
	}
	return told, err
}

// Nothing of authentication is changed in the gateway's file unasked; what the operator named and the gateway does not
// use is a condition.
func TestAuthenticationOfTheFileIsChangedOnlyWhenAsked(t *testing.T) {
	const (
		another  = `{gateway: {auth: {mode: 'token', token: 'a-token-of-the-file'}}}`
		password = `{gateway: {auth: {mode: 'password', password: 'a-users-password'}}}`
	)
	for _, row := range []struct {
		name, text, align string
		named             bool
		after             string // "": unchanged
		condition         string // a part of its message; "": there is none
	}{
		{"another token, generated", another, "fill", false, "", ""},
		{"another token, named", another, "fill", true, "", "has a token of its own"},
		{
			"another token, write", another, "write", true,
			strings.Replace(another, "'a-token-of-the-file'", `"`+oursToken+`"`, 1), "",
		},
		{"password, generated", password, "fill", false, "", ""},
		{"password, named", password, "fill", true, "", `authenticates by "password"`},
		{"password, write", password, "write", true, strings.Replace(password, "'password',", `"token",`, 1), ""},
		{"proxy, named", `{gateway: {auth: {mode: 'trusted-proxy'}}}`, "fill", true, "", `by "trusted-proxy"`},
		{"none, named", `{gateway: {auth: {mode: 'none'}}}`, "fill", true, "", `by "none"`},
		{"nothing", `{}`, "fill", true, "", ""},
		{"nothing, write", `{}`, "write", true, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newFileGateway(t, row.text, row.align, row.named)
			told, err := g.align()
			want := row.after
			if want == "" {
				want = row.text
			}
			if err != nil || g.read() != want || (len(told) > 0) != (row.after != "") {
				t.Errorf("%v: events %v, the file is %s, want %s", err, told, g.read(), want)
			}
			got := ""
			for _, c := range g.fileConditions() {
				if got = c.Message; c.Code != codeTokenUnused || c.Hint == "" || c.Since.IsZero() {
					t.Errorf("%+v", c)
				}
			}
			if (got != "") != (row.condition != "") || !strings.Contains(got, row.condition) {
				t.Errorf("condition %q, want %q", got, row.condition)
			}
			if text := g.log.String() + got; strings.Contains(text, "a-token-of") || strings.Contains(text, "a-users-") {
				t.Errorf("a secret is told: %s", text)
			}
		})
	}
}

func TestConditionGoesWhenTheFileAgrees(t *testing.T) {
	g := newFileGateway(t, `{gateway: {auth: {token: 'a-token-of-the-file'}}}`, "fill", true)
	for _, text := range []string{g.read(), `{gateway: {}}`} {
		g.write(text)
		if _, err := g.align(); err != nil {
			t.Fatal(err)
		}
		if got := g.fileConditions(); (len(got) > 0) != strings.Contains(text, "token") {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// A change that could not be written is told by an error and a condition, not by an event of a change.
func TestAlignThatCannotWriteTellsNoChange(t *testing.T) {
	text := `{gateway: {auth: {mode: 'token', token: 'a-token-of-the-file'}}}`
	g := newFileGateway(t, text, "write", true)
	g.config.editor = newConfigFile(&g.core).editor
	if err := os.RemoveAll(g.env.Store.EditDir("main")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.env.Store.EditDir("main"), nil, 0o600); err != nil { // no copy can be kept
		t.Fatal(err)
	}
	told, err := g.align()
	if err == nil || len(told) > 0 || g.read() != text || strings.Contains(g.log.String(), "changed the gateway's") {
		t.Errorf("%v, events %v, log %s", err, told, g.log)
	}
	if c := g.fileConditions(); len(c) != 1 || !strings.Contains(c[0].Message, "failed") {
		t.Errorf("%+v", c)
	}
}

// OpenClaw refuses to start with a token beside a trusted proxy.
func TestGatewayBehindATrustedProxyGetsNoToken(t *testing.T) {
	for align, want := range map[string]bool{"fill": false, "write": true} {
		g := newFileGateway(t, `{gateway: {auth: {mode: 'trusted-proxy', password: 'local'}}}`, align, true)
		b := g.build(g.cfg)
		if got := b.result.Env["OPENCLAW_GATEWAY_TOKEN"]; b.err != nil || (got != "") != want {
			t.Errorf("%s: %q, %v", align, got, b.err)
		}
	}
}

func TestSessionAuthenticatesAsTheFileSays(t *testing.T) {
	for _, row := range []struct {
		name, text   string
		named, owned bool
		want         credentials
		refused      string
	}{
		{"its token", `{gateway: {auth: {token: 'theirs-1'}}}`, false, true, credentials{token: "theirs-1"}, ""},
		{"its token, named", `{gateway: {auth: {token: 'theirs-1'}}}`, true, true, credentials{token: "theirs-1"}, ""},
		{"attached, named", `{gateway: {auth: {token: 'theirs-1'}}}`, true, false, credentials{token: oursToken}, ""},
		{"attached", `{gateway: {auth: {token: 'theirs-1'}}}`, false, false, credentials{token: "theirs-1"}, ""},
		{"password", `{gateway: {auth: {password: 'p'}}}`, true, true, credentials{password: "p"}, ""},
		{"none", `{gateway: {auth: {mode: 'none'}}}`, true, true, credentials{}, ""},
		{"broken", `{`, true, true, credentials{token: oursToken}, ""},
		{"no password", `{gateway: {auth: {mode: 'password'}}}`, true, true, credentials{}, "does not know its password"},
		{
			"a stored one", `{gateway: {auth: {mode: 'trusted-proxy', password: {source: 'file', id: 'x'}}}}`, false, true,
			credentials{},
			"in a store",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newFileGateway(t, row.text, "fill", row.named)
			token, err := g.tokenOf(g.cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := g.credentialsFor(g.cfg, token, row.owned)
			refused, _ := errors.AsType[*engine.Refused](err)
			if got.tls != nil || got.token != row.want.token || got.password != row.want.password ||
				(refused != nil) != (row.refused != "") {
				t.Fatalf("%+v, %v", got, err)
			}
			if refused != nil && (!refused.Problem.Fatal || !strings.Contains(refused.Problem.Message, row.refused) ||
				!strings.Contains(refused.Problem.Hint, "main")) {
				t.Errorf("%+v", refused.Problem)
			}
		})
	}
}
