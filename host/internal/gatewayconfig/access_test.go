package gatewayconfig_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
)

// TestAccessIsWhatTheGatewayDecides: options, then the file, then the environment, as 2026.9.6 resolves it.
func TestAccessIsWhatTheGatewayDecides(t *testing.T) {
	const ours = "ours"
	type row struct {
		name, file string
		args       []string
		env        map[string]string
		named      bool
		mode       string
		token      string // that a session sends
		password   string
		unused     bool
		err        error
	}
	for _, r := range []row{
		{name: "nothing", mode: "token", token: ours},
		{name: "no token", file: `{gateway: {auth: {mode: 'token'}}}`, mode: "token", token: ours},
		{name: "an empty one", file: `{gateway: {auth: {token: ' '}}}`, mode: "token", token: ours},
		{name: "the same", file: `{gateway: {auth: {token: 'ours'}}}`, mode: "token", token: ours},
		{name: "another", file: `{gateway: {auth: {token: ' theirs '}}}`, mode: "token", token: "theirs", unused: true},
		{
			name: "a variable", file: `{gateway: {auth: {token: '${MY_TOKEN}'}}}`, env: map[string]string{"MY_TOKEN": "x-1"},
			mode: "token", token: "x-1", unused: true,
		},
		{name: "a variable that is not set", file: `{gateway: {auth: {token: '${MY_TOKEN}'}}}`, mode: "token", token: ours},
		{
			name: "dollars", file: `{gateway: {auth: {token: '$${A}x'}}}`, env: map[string]string{"A": "1"}, mode: "token",
			token: "${A}x", unused: true,
		},
		{
			name: "a store of variables", file: `{gateway: {auth: {token: {source: 'env', id: 'X'}}}}`,
			env: map[string]string{"X": "y-1"}, mode: "token", token: "y-1", unused: true,
		},
		{name: "another store", file: `{gateway: {auth: {token: {source: 'exec', id: 'X'}}}}`, mode: "token", token: ours},
		{
			name: "password", file: `{gateway: {auth: {mode: 'password', password: 'p'}}}`, mode: "password", password: "p",
			unused: true,
		},
		{name: "password alone", file: `{gateway: {auth: {password: 'p'}}}`, mode: "password", password: "p", unused: true},
		{
			name: "mode token beside a password", file: `{gateway: {auth: {mode: 'token', password: 'p'}}}`, mode: "token",
			token: ours,
		},
		{
			name: "password of the environment", env: map[string]string{"OPENCLAW_GATEWAY_PASSWORD": "e"}, mode: "password",
			password: "e", unused: true,
		},
		{
			name: "no password", file: `{gateway: {auth: {mode: 'password'}}}`, mode: "password", unused: true,
			err: gatewayconfig.ErrNoCredential,
		},
		{
			name: "a stored password", file: `{gateway: {auth: {mode: 'password', password: {source: 'exec', id: 'X'}}}}`,
			mode: "password", err: gatewayconfig.ErrNoCredential,
		},
		{
			name: "a stored password that the operator gave", named: true, mode: "password", password: ours,
			file: `{gateway: {auth: {mode: 'password', password: {source: 'exec', id: 'X'}}}}`,
		},
		{
			name: "trusted proxy", file: `{gateway: {auth: {mode: 'trusted-proxy', password: 'p', token: 't'}}}`,
			mode: "trusted-proxy", password: "p", unused: true,
		},
		{
			name: "trusted proxy alone", file: `{gateway: {auth: {mode: 'trusted-proxy'}}}`, mode: "trusted-proxy",
			unused: true, err: gatewayconfig.ErrNoCredential,
		},
		{name: "none", file: `{gateway: {auth: {mode: 'none', token: 't'}}}`, mode: "none", unused: true},
		{
			name: "option beats file", file: `{gateway: {auth: {mode: 'token'}}}`, args: []string{"gateway", "--auth", "none"},
			mode: "none", unused: true,
		},
		{name: "what has no sense", file: `{gateway: 1}`, mode: "token", token: ours},
		{name: "included", file: `{gateway: {$include: './gw.json'}}`, mode: "token", token: "from-gw", unused: true},
	} {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "openclaw.json")
			for name, text := range map[string]string{
				"openclaw.json": r.file, "gw.json": `{"auth": {"token": "from-gw"}}`,
			} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := gatewayconfig.ReadAccess(gatewayconfig.Question{
				Path: path, StateDir: dir, Args: r.args, Env: func(name string) string {
					if name == "OPENCLAW_GATEWAY_TOKEN" {
						return ours
					}
					return r.env[name]
				},
				Absolute: func(p string) string { return filepath.Join(dir, p) },
			})
			if err != nil {
				t.Fatal(err)
			}
			token, password, err := a.Credential(ours, r.named)
			if a.Mode != r.mode || token != r.token || password != r.password || !errors.Is(err, r.err) ||
				a.Unused(ours) != r.unused {
				t.Errorf("got %+v, token %q, password %q, %v, unused %v", a, token, password, err, a.Unused(ours))
			}
		})
	}
}

func TestAccessOfAFileThatCannotBeReadIsThatOfTheRest(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "openclaw.json")
	if err := os.WriteFile(path, []byte("{bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := gatewayconfig.ReadAccess(gatewayconfig.Question{
		Path: path, Args: []string{"--auth=password", "--password-file=pw"}, Env: func(string) string { return "" },
		Absolute: func(p string) string { return filepath.Join(dir, p) },
	})
	if err == nil || a.Mode != "password" || a.Password != "secret" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestFileIsAlignedWithTheTokenBeforeALaunch(t *testing.T) { // B321, B324
	for name, c := range map[string]struct{ before, after string }{
		"another token": {
			`{gateway: {auth: {mode: 'token', token: 'theirs'}, controlUi: {}}} // c`,
			`{gateway: {auth: {mode: 'token', token: "ours"}, controlUi: {}}} // c`,
		},
		"another mode": {
			`{gateway: {auth: {mode: 'password', password: 'x'}}}`,
			`{gateway: {auth: {mode: "token", password: 'x'}}}`,
		},
		"an included file": {
			`{gateway: {auth: {$include: './auth.json'}}}`,
			`{gateway: {auth: {$include: './auth.json', "mode": "token", "token": "ours"}}}`,
		},
		"the same":          {`{gateway: {auth: {mode: 'token', token: 'ours'}}}`, ""},
		"nothing":           {`{commands: {}, agents: {defaults: {compaction: {mode: 'odd'}}}}`, ""},
		"a variable":        {`{gateway: {auth: {token: '${MY_TOKEN}'}}}`, ""},
		"another store":     {`{gateway: {auth: {token: {source: 'env', id: 'X'}}}}`, ""},
		"what has no sense": {`{gateway: 1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g, e := newGateway(t, between, c.before) // the engine owns the launch already
			g.beside(map[string]string{"auth.json": `{"mode": "none", "token": "theirs"}`})
			r, err := e.Edit(t.Context(), gatewayconfig.How{Launching: true}, align(t, g))
			want := c.after
			if want == "" {
				want = c.before
			}
			if err != nil || g.read() != want || len(r.Changes) == 0 != (c.after == "") {
				t.Errorf("%v: %+v, the file is %s", err, r, g.read())
			}
		})
	}
}

// align is the mutator for the file as it is.
func align(t *testing.T, g *gateway) gatewayconfig.Mutator {
	t.Helper()
	a, err := gatewayconfig.ReadAccess(gatewayconfig.Question{
		Path: g.path, Env: func(string) string { return "" }, Absolute: filepath.Clean,
	})
	if err != nil {
		t.Fatal(err)
	}
	return gatewayconfig.Align(a, "ours")
}

// What is told of an edit is what was done: nothing, when the file could not be written.
func TestEditThatCouldNotBeWrittenHasNoChanges(t *testing.T) {
	g, e := newGateway(t, offline, plain)
	real := errors.New("no")
	r, err := e.Edit(t.Context(), gatewayconfig.How{}, func(_ context.Context, c map[string]any) error {
		c["a"] = 1
		return real
	})
	if !errors.Is(err, real) || len(r.Changes) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.Remove(g.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(g.path+".d", 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(g.path+".d", "missing", "x"), g.path); err != nil {
		t.Fatal(err)
	}
	if r, err = e.Edit(t.Context(), gatewayconfig.How{}, gatewayconfig.Set([]string{"a"}, 1)); err == nil ||
		len(r.Changes) > 0 || r.Copy != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
