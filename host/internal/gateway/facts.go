package gateway

import (
	"runtime"
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/plugin"
)

// present is what runs was made with; false when nothing runs.
func (c *core) present() (launched, bool) {
	if c.engine == nil {
		return launched{}, false
	}
	return c.launches.present(c.engine.Snapshot().State)
}

// asLaunched is the configuration of what runs, as it was made; when nothing runs, of what would be launched now.
func (c *core) asLaunched() *config.Gateway {
	if l, ok := c.present(); ok {
		return l.cfg
	}
	return c.conf()
}

// drift is what the configuration says otherwise now than what runs was made with.
func (c *core) drift() []string {
	l, ok := c.present()
	if !ok {
		return nil
	}
	now := c.conf()
	if l.labels == nil {
		if l.cfg == now {
			return nil
		}
		l.labels = c.labelsOf(l.cfg)
	}
	return driftOf(l.labels, c.labelsOf(now))
}

// facts is what plugins may know about the gateway now.
func (c *core) facts() plugin.GatewayFacts {
	cfg := c.asLaunched()
	r, err := c.buildOf(cfg)
	if err != nil { // it will say so where it is launched; the rest is known all the same
		r = profile.Result{}
	}
	return c.factsOf(cfg, r)
}

// factsOf is facts for a launch that has been built; the zero Result leaves out what only a build tells.
func (c *core) factsOf(cfg *config.Gateway, r profile.Result) plugin.GatewayFacts {
	f := plugin.GatewayFacts{
		Name: c.name, Port: cfg.Port, Command: slices.Clone(cfg.Launch.Command), Cwd: cfg.Launch.Cwd, Profile: cfg.Launch.Profile,
		Host: plugin.HostInfo{Version: c.env.Version, OS: runtime.GOOS, Arch: runtime.GOARCH},
	}
	f.StateDir, f.ConfigPath = r.StateDir, r.ConfigPath
	if argv := r.Process.Argv; len(argv) > 0 {
		f.Args = argv[len(f.Command):]
	}
	if c.engine != nil {
		s := c.engine.Snapshot().State
		f.State = string(s.Public())
		if s.LastHello != nil {
			f.Version = s.LastHello.Version
		}
	}
	return f
}

// redactor knows the gateway's secrets: of what runs, and of what would be launched. When they cannot be read it knows none: there is no
// process then that could print them.
func (c *core) redactor() *redact.Redactor {
	var secrets []string
	running, next := c.asLaunched(), c.conf()
	if r, err := c.buildOf(running); err == nil {
		secrets = secretsOf(r)
	}
	if next != running {
		if r, err := c.buildOf(next); err == nil {
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
