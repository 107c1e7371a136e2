package gateway

import (
	"runtime"
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/plugin"
)

// present returns what the running process was launched with; false when nothing runs.
func (c *core) present() (launched, bool) {
	if c.engine == nil {
		return launched{}, false
	}
	return c.launches.present(c.engine.Snapshot().State)
}

// asLaunched returns the configuration with which the running process was launched; when nothing runs, the one with
// which the next would be.
func (c *core) asLaunched() *config.Gateway {
	if l, ok := c.present(); ok {
		return l.cfg
	}
	return c.conf()
}

// drift names the differences between the configuration and what the running process was launched with.
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

// facts returns what plugins may know about the gateway now.
func (c *core) facts() plugin.GatewayFacts {
	cfg := c.asLaunched()
	r, err := c.buildOf(cfg)
	if err != nil { // the launch reports it; the other facts are known all the same
		r = profile.Result{}
	}
	return c.factsOf(cfg, r)
}

// factsOf returns the facts for a launch that has been built. With the zero Result it leaves out what only a build
// knows.
func (c *core) factsOf(cfg *config.Gateway, r profile.Result) plugin.GatewayFacts {
	f := plugin.GatewayFacts{
		Name: c.name, Port: cfg.Port, Command: slices.Clone(cfg.Launch.Command), Cwd: cfg.Launch.Cwd,
		Profile: cfg.Launch.Profile, Host: plugin.HostInfo{Version: c.env.Version, OS: runtime.GOOS, Arch: runtime.GOARCH},
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

// redactor knows the gateway's secrets, those of the running process and those of the next launch, and all other
// secrets that the host has read: one gateway may print what belongs to another.
func (c *core) redactor() *redact.Redactor {
	running, next := c.asLaunched(), c.conf()
	_, _ = c.buildOf(running) // it teaches; a build that fails knows no secrets, and then no process has them
	if next != running {
		_, _ = c.buildOf(next)
	}
	return c.env.Secrets.Redactor()
}

// secretsOf returns the secrets of a launch.
func secretsOf(r profile.Result) []string {
	secrets := slices.Clone(r.Secrets)
	for _, v := range r.Process.Env {
		if v.Secret {
			secrets = append(secrets, v.Value)
		}
	}
	return secrets
}
