package pluginspec

import (
	"fmt"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/control"
)

// sandboxOf decides whether a plugin is shut in, as the operator said it, and what is told of it.
func sandboxOf(c *config.Config, name string) (*sandbox.Spec, control.Sandbox, error) {
	return sandboxWith(c, name, sandbox.Supported())
}

func sandboxWith(c *config.Config, name string, here sandbox.Support) (*sandbox.Spec, control.Sandbox, error) {
	return Sandbox(c.Plugins[name].Sandbox, name, c.StartsProcesses(name), here)
}

// Sandbox is sandboxOf by a table and what is known of the plugin.
func Sandbox(p config.Sandbox, name string, startsProcesses bool, here sandbox.Support) (*sandbox.Spec, control.Sandbox, error) {
	told := control.Sandbox{State: control.SandboxOff, Level: here.String(), Gaps: sandbox.Support{}.Gaps()}
	switch {
	case p.Mode == config.SandboxOff:
		told.Why = "plugins." + name + ".sandbox.mode is off"
		return nil, told, nil
	case startsProcesses:
		told.Why = "it launches or unloads: what it starts would be shut in with it"
		return nil, told, nil
	case !here.OK() && p.Mode == config.SandboxOn:
		return nil, told, fmt.Errorf("cannot shut plugin %q in: this platform has no landlock; it is in plugins.%s.sandbox.mode to do without",
			name, name)
	case !here.OK():
		told.State, told.Why = control.SandboxNone, "this platform has no landlock"
		return nil, told, nil
	}
	told.State = control.SandboxOn
	told.Read, told.Write, told.Network, told.Gaps = p.Read, p.Write, p.Network, here.Gaps()
	return &sandbox.Spec{
		Read: p.Read, Write: p.Write, Network: p.Network,
		OpenFiles: uint64(p.OpenFiles), FileSize: uint64(p.FileSize), //nolint:gosec // checked when they were read
	}, told, nil
}
