package gateway

import (
	"os"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
)

// build builds a launch from a configuration, its environment file and its token.
func (c *core) build(cfg *config.Gateway) built {
	b := built{cfg: cfg}
	if b.token, b.err = c.tokenOf(cfg); b.err == nil {
		b.result, b.err = c.buildWith(cfg, b.token)
	}
	return b
}

// tokenOf returns the token of a configuration. It reads it anew for each use (B125).
func (c *core) tokenOf(cfg *config.Gateway) (string, error) {
	if cfg.Token.Generate {
		return c.env.Store.Token(c.name)
	}
	return cfg.Token.Read(os.Getenv)
}

// buildOf builds a configuration of the gateway as it would be launched now.
func (c *core) buildOf(cfg *config.Gateway) (profile.Result, error) {
	token, err := c.tokenOf(cfg)
	if err != nil {
		return profile.Result{}, err
	}
	return c.buildWith(cfg, token)
}

// buildWith builds a configuration with a token. The host learns its secrets, so no part of it shows them.
func (c *core) buildWith(cfg *config.Gateway, token string) (profile.Result, error) {
	c.env.Secrets.Learn([]string{token})
	home, _ := os.UserHomeDir() // without one the profile has no default places
	l := profile.Launch{
		Launch: cfg.Launch, Port: cfg.Port, Token: token, Home: home, Inherited: os.Environ(),
		Foreign: c.Settings().ForeignTokens,
	}
	r, err := profile.Build(l)
	c.env.Secrets.Learn(secretsOf(r))
	if err == nil && token != "" && !c.mayHaveToken(cfg, r, token) {
		l.Token = ""
		r, err = profile.Build(l)
	}
	return r, err
}
