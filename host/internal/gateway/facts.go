package gateway

import (
	"os"
	"runtime"
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/plugin"
)

// token is that of what runs, read afresh for each use (B125).
func (g *Gateway) token() (string, error) { return g.tokenOf(g.asLaunched()) }

func (g *Gateway) tokenOf(cfg *config.Gateway) (string, error) {
	if cfg.Token.Generate {
		return g.env.Store.Token(g.name)
	}
	return cfg.Token.Read(os.Getenv)
}

// buildOf is a configuration of the gateway, as it would be launched now.
func (g *Gateway) buildOf(cfg *config.Gateway) (profile.Result, error) {
	token, err := g.tokenOf(cfg)
	if err != nil {
		return profile.Result{}, err
	}
	return g.buildWith(cfg, token)
}

func (g *Gateway) buildWith(cfg *config.Gateway, token string) (profile.Result, error) {
	home, _ := os.UserHomeDir() // without one the profile has no default places
	return profile.Build(profile.Launch{
		Launch: cfg.Launch, Port: cfg.Port, Token: token, Home: home, Inherited: os.Environ(),
		Foreign: g.Settings().ForeignTokens,
	})
}

// facts is what plugins may know about the gateway now.
func (g *Gateway) facts() plugin.GatewayFacts {
	cfg := g.asLaunched()
	r, err := g.buildOf(cfg)
	if err != nil { // it will say so where it is launched; the rest is known all the same
		r = profile.Result{}
	}
	return g.factsOf(cfg, r)
}

// factsOf is facts for a launch that has been built; the zero Result leaves out what only a build tells.
func (g *Gateway) factsOf(cfg *config.Gateway, r profile.Result) plugin.GatewayFacts {
	f := plugin.GatewayFacts{
		Name: g.name, Port: cfg.Port, Command: slices.Clone(cfg.Launch.Command), Cwd: cfg.Launch.Cwd, Profile: cfg.Launch.Profile,
		Host: plugin.HostInfo{Version: g.env.Version, OS: runtime.GOOS, Arch: runtime.GOARCH},
	}
	f.StateDir, f.ConfigPath = r.StateDir, r.ConfigPath
	if argv := r.Process.Argv; len(argv) > 0 {
		f.Args = argv[len(f.Command):]
	}
	if g.engine != nil {
		s := g.engine.Snapshot().State
		f.State = string(s.Public())
		if s.LastHello != nil {
			f.Version = s.LastHello.Version
		}
	}
	return f
}

// redactor knows the gateway's secrets: of what runs, and of what would be launched. When they cannot be read it knows none: there is no
// process then that could print them.
func (g *Gateway) redactor() *redact.Redactor {
	var secrets []string
	running, next := g.asLaunched(), g.conf()
	if r, err := g.buildOf(running); err == nil {
		secrets = secretsOf(r)
	}
	if next != running {
		if r, err := g.buildOf(next); err == nil {
			secrets = append(secrets, secretsOf(r)...)
		}
	}
	return redact.New(secrets)
}

func redactorOf(r profile.Result) *redact.Redactor { return redact.New(secretsOf(r)) }

func secretsOf(r profile.Result) []string {
	secrets := slices.Clone(r.Secrets)
	for _, v := range r.Process.Env {
		if v.Secret {
			secrets = append(secrets, v.Value)
		}
	}
	return secrets
}
