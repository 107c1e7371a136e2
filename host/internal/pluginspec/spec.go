package pluginspec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Of turns the configuration of a plugin into its specification, and says how the plugin is sandboxed. held are the
// gateways with a running process that this plugin launched, also when it is no longer their launcher: for them it
// stays a launcher. Error: the configuration demands a sandbox that this platform does not have.
func Of(cfg *config.Config, name string, held []string) (pluginhost.Spec, control.Sandbox, error) {
	box, sandboxed, err := sandboxOf(cfg, name)
	if err != nil {
		return pluginhost.Spec{}, sandboxed, err
	}
	p, uses := cfg.Plugins[name], Uses(cfg, name)
	if len(held) > 0 && !slices.Contains(uses, plugin.KindLauncher) {
		uses = append(uses, plugin.KindLauncher)
		if box != nil {
			box, sandboxed = nil, control.Sandbox{
				State: control.SandboxOff, Level: sandboxed.Level,
				Why: "it launched running processes of " + strings.Join(held, ", "),
			}
		}
	}
	return pluginhost.Spec{
		Sandbox: box, Transport: p.Transport, Uses: uses,
		Name: name, Path: p.Path, Args: p.Args, Env: p.Env, SHA256: p.SHA256, Grants: p.Grant, StartTimeout: p.StartTimeout,
		CallTimeout: p.CallTimeout, MemoryMax: uint64(max(p.MemoryMax, 0)), //nolint:gosec // not negative
		Config: p.Config,
		Where: func(path string) string {
			if line := cfg.PluginLine(name, path); line > 0 {
				return fmt.Sprintf("%s:%d", cfg.Path, line)
			}
			return ""
		},
	}, sandboxed, nil
}

// Uses returns the kinds as which gateways use a plugin.
func Uses(cfg *config.Config, name string) []plugin.Kind {
	used := map[plugin.Kind]bool{}
	for _, g := range cfg.Gateways {
		used[plugin.KindLauncher] = used[plugin.KindLauncher] || g.Launcher == name
		used[plugin.KindUnloader] = used[plugin.KindUnloader] || slices.Contains(g.Unload, name)
		used[plugin.KindDoctor] = used[plugin.KindDoctor] || slices.Contains(g.Doctors, name)
		used[plugin.KindClassifier] = used[plugin.KindClassifier] || slices.Contains(g.Classifiers, name)
	}
	return slices.DeleteFunc(plugin.Kinds(), func(k plugin.Kind) bool { return !used[k] })
}
