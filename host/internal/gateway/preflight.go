package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/fault"
)

// preflight looks for what would make the next start fail, in the order of a start: what needs no program first, the
// gateway's own validator last.
type preflight struct {
	core *core
	// configuration returns the fault of the gateway's own configuration; nil when the gateway would accept it, or when
	// the host would repair it by itself.
	configuration func(context.Context) error
}

// Check implements engine.Preflight.
func (p preflight) Check(ctx context.Context) error {
	for _, check := range []func(context.Context) error{p.plugins, p.program, p.port, p.disk, p.configuration} {
		if err := check(ctx); err != nil {
			return p.refusal(err)
		}
	}
	return nil
}

// refusal adds to a finding how a person restarts all the same.
func (p preflight) refusal(err error) error {
	force := "`gatehost restart " + p.core.name + " --force` restarts it all the same"
	hint := fault.HintOf(err)
	if hint != "" {
		hint += "; "
	}
	return fault.Wrap(fault.CodeOf(err), "", err).WithHint(hint + force)
}

// plugins checks what a start cannot do without: the launcher and the unloaders, their files and their checksums.
func (p preflight) plugins(ctx context.Context) error {
	cfg := p.core.conf()
	states := p.core.env.Plugins.Plugins()
	for _, name := range slices.Concat([]string{cfg.Launcher}, cfg.Unload) {
		i := slices.IndexFunc(states, func(s pluginhost.State) bool { return s.Name == name })
		if i < 0 {
			return fault.New(fault.NotFound, fmt.Sprintf("there is no plugin %q", name)).
				WithHint("run `gatehost plugin list` to see the plugins")
		}
		if s := states[i]; s.State == pluginhost.Failed || s.State == pluginhost.BackingOff {
			return fault.Wrap(fault.PluginDown, fmt.Sprintf("plugin %q is %s", name, s.State), s.Err).
				WithHint(fault.HintOf(s.Err))
		}
		if err := p.core.env.Plugins.Check(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// program builds the launch and looks for its program.
func (p preflight) program(context.Context) error {
	r, err := p.core.buildOf(p.core.conf())
	if err != nil {
		return err
	}
	return profile.Program(r.Process)
}

// port looks for another program on the port. The running gateway has its own: only another port can be taken.
func (p preflight) port(ctx context.Context) error {
	running := cmp.Or(p.core.State().Process.Port, p.core.asLaunched().Port)
	return portTaken(ctx, p.core.name, p.core.conf().Port, running)
}

func portTaken(ctx context.Context, name string, port, running int) error {
	if port == running {
		return nil
	}
	holders, err := probe.Holders(ctx, port)
	if err != nil || len(holders) == 0 {
		return nil //nolint:nilerr // what cannot be found out keeps no restart back
	}
	return fault.New(fault.Conflict, fmt.Sprintf("port %d is held by %s", port, holders[0])).
		WithHint(fmt.Sprintf("end that process, or set another gateways.%s.port", name))
}

// disk writes the record of a launch as a start does, and removes it again.
func (p preflight) disk(context.Context) error {
	if err := p.core.env.Store.TryLaunch(p.core.name); err != nil {
		return fault.Wrap(fault.Unavailable, "cannot store the record of a launch", err).
			WithHint("free space in the state directory, and make it writable for the host's user")
	}
	return nil
}
