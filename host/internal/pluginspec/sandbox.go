package pluginspec

import (
	"fmt"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/control"
)

// Sandbox decides whether a plugin is sandboxed, by its table, by whether it starts processes, and by what the platform
// has. It returns nil when the plugin is not sandboxed, and the words for status. Error: the table demands a sandbox
// and the platform has none.
func Sandbox(
	p config.Sandbox, name string, startsProcesses bool, here sandbox.Support,
) (*sandbox.Spec, control.Sandbox, error) {
	out := control.Sandbox{State: control.SandboxOff, Level: here.String(), Gaps: sandbox.Support{}.Gaps(false)}
	switch {
	case p.Mode == config.SandboxOff:
		out.Why = "plugins." + name + ".sandbox.mode is off"
		return nil, out, nil
	case startsProcesses:
		out.Why = "it launches or unloads: what it starts would be in the same sandbox"
		return nil, out, nil
	case !here.OK() && p.Mode == config.SandboxOn:
		return nil, out, fmt.Errorf("cannot sandbox plugin %q: this platform has no landlock; "+
			"set plugins.%s.sandbox.mode = \"off\" to run it without", name, name)
	case !here.OK():
		out.State, out.Why = control.SandboxNone, "this platform has no landlock"
		return nil, out, nil
	}
	out.State = control.SandboxOn
	out.Read, out.Write, out.Network, out.Gaps = p.Read, p.Write, p.Network, here.Gaps(p.Network)
	return &sandbox.Spec{
		Read: p.Read, Write: p.Write, Network: p.Network,
		OpenFiles: uint64(p.OpenFiles), FileSize: uint64(p.FileSize), //nolint:gosec // checked by package config
	}, out, nil
}

// sandboxOf decides by the configuration whether a plugin is sandboxed, and returns the words for status.
func sandboxOf(c *config.Config, name string) (*sandbox.Spec, control.Sandbox, error) {
	return sandboxWith(c, name, sandbox.Supported())
}

func sandboxWith(c *config.Config, name string, here sandbox.Support) (*sandbox.Spec, control.Sandbox, error) {
	return Sandbox(c.Plugins[name].Sandbox, name, c.StartsProcesses(name), here)
}
