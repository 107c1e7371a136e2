package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// codeTokenUnused is the condition that a token was named in config.toml and the gateway uses something else.
const codeTokenUnused = "token-unused"

// codeNoCredential is the problem that a gateway asks for a secret that gatehost does not know.
const codeNoCredential = "credential_unknown" //nolint:gosec // a code, no credential

// credentials are what a session authenticates with.
type credentials struct {
	token, password string
	tls             *tls.Config // nil: the gateway serves without TLS
}

func (c credentials) scheme() string {
	if c.tls != nil {
		return "wss://"
	}
	return "ws://"
}

// credentialsFor returns what a session with the running gateway sends, and updates the condition about its token. The
// gateway's own file decides, as for the gateway itself, and is read anew for each session. A gateway that gatehost did
// not launch may have another file: there a token that the operator named has priority.
func (c *core) credentialsFor(cfg *config.Gateway, token string, owned bool) (credentials, error) {
	r, err := c.buildWith(cfg, token)
	if err != nil { // the gateway runs nevertheless
		//nolint:nilerr // the next launch reports it
		return credentials{token: token, tls: c.tlsBy(gatewayconfig.Access{})}, nil
	}
	a, _ := c.accessOf(cfg, r, token)
	if !owned && cfg.Token.Named() {
		return credentials{token: token, tls: c.tlsBy(a)}, nil
	}
	c.tellUnused(cfg, a, token, nil)
	out := credentials{tls: c.tlsBy(a)}
	if out.token, out.password, err = a.Credential(token, cfg.Token.Named()); err != nil {
		return out, &engine.Refused{Problem: noCredential(c.name, a)}
	}
	return out, nil
}

// noCredential says which secret is missing, and how to give it.
func noCredential(name string, a gatewayconfig.Access) lifecycle.Problem {
	p := lifecycle.Problem{
		Code: codeNoCredential, Fatal: true,
		Message: fmt.Sprintf("the gateway has gateway.auth.mode %q (%s), and gatehost does not know its password", a.Mode,
			a.Path),
		Hint: fmt.Sprintf("stop it and write the password into its file: `gatehost gateway-config %s set "+
			"gateway.auth.password - < FILE`; to authenticate by token instead, set gateways.%s.token.align = \"write\"",
			name, name),
	}
	if a.Stored {
		p.Message = fmt.Sprintf("the gateway has gateway.auth.mode %q, and its password is in a store that gatehost cannot "+
			"read (%s)", a.Mode, a.Path)
		p.Hint = fmt.Sprintf("write the same password into a file of mode 0600 and set gateways.%s.token = "+
			"{file = \"FILE\"}", name)
	}
	return p
}

// tellUnused makes the condition that the operator's token is not used, or takes it back. failed is why it could not be
// written into the file.
func (c *core) tellUnused(cfg *config.Gateway, a gatewayconfig.Access, token string, failed error) {
	var next *lifecycle.Condition
	if (cfg.Token.Named() || cfg.Token.Align == config.AlignWrite) && token != "" && a.Unused(token) {
		next = unused(c.name, a, failed)
	}
	was := c.unused.Load()
	if was != nil && next != nil && was.Message == next.Message {
		return
	}
	if next != nil {
		next.Since = time.Now()
	}
	if c.unused.Swap(next); (was != nil || next != nil) && c.engine != nil {
		c.engine.Look()
	}
}

// fileConditions returns the conditions of the gateway's own files.
func (c *core) fileConditions() []lifecycle.Condition {
	if now := c.unused.Load(); now != nil {
		return []lifecycle.Condition{*now}
	}
	return nil
}

func unused(name string, a gatewayconfig.Access, failed error) *lifecycle.Condition {
	key := fmt.Sprintf("gateways.%s.token", name)
	out := &lifecycle.Condition{Code: codeTokenUnused}
	fix := "unset gateway.auth.token"
	if a.Mode == gatewayconfig.ModeToken {
		out.Message = fmt.Sprintf("%s has a token of its own: the gateway uses that one, and so does gatehost; %s is not "+
			"used", a.Path, key)
	} else {
		by := a.Path
		if a.FileMode != a.Mode {
			by = "an option or the environment"
		}
		out.Message = fmt.Sprintf("the gateway authenticates by %q, because of %s; %s is not used", a.Mode, by, key)
		fix = "set gateway.auth.mode token"
	}
	out.Hint = fmt.Sprintf("to use %s, run `gatehost gateway-config %s %s`, then `gatehost restart %s`; or set %s.align "+
		"= \"write\"; to keep what the file has, remove %s", key, name, fix, name, key, key)
	if failed != nil {
		out.Message += fmt.Sprintf(" (align = \"write\" failed: %v)", failed)
		out.Hint = fmt.Sprintf("make %s writable for gatehost, or change it by hand", a.Path)
	}
	return out
}

// owned reports whether gatehost launched what runs now, or an earlier host did.
func (c *core) owned() bool { return c.engine != nil && c.State().Launch != "" }

// regular reports whether there is a file at a path, in whatever state.
func regular(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
