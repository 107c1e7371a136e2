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

// Of turns the operator's words about a plugin into its table, and tells how it is shut in. held are the gateways of which it launched
// what runs, also when it is no longer their launcher: for them it goes on as one.
func Of(cfg *config.Config, name string, held []string) (pluginhost.Spec, control.Sandbox, error) {
	shut, told, err := sandboxOf(cfg, name)
	if err != nil {
		return pluginhost.Spec{}, told, err
	}
	p, uses := cfg.Plugins[name], Uses(cfg, name)
	if len(held) > 0 && !slices.Contains(uses, plugin.KindLauncher) {
		uses = append(uses, plugin.KindLauncher)
		if shut != nil {
			shut, told = nil, control.Sandbox{State: control.SandboxOff, Level: told.Level, Why: "it launched what runs of " + strings.Join(held, ", ")}
		}
	}
	return pluginhost.Spec{
		Sandbox: shut, Transport: p.Transport, Uses: uses,
		Name: name, Path: p.Path, Args: p.Args, Env: p.Env, SHA256: p.SHA256, Grants: p.Grant, StartTimeout: p.StartTimeout,
		CallTimeout: p.CallTimeout, MemoryMax: uint64(max(p.MemoryMax, 0)), //nolint:gosec // not negative
		Config: p.Config,
		Where: func(path string) string {
			if line := cfg.PluginLine(name, path); line > 0 {
				return fmt.Sprintf("%s:%d", cfg.Path, line)
			}
			return ""
		},
	}, told, nil
}

// Uses is what gateways use a plugin as.
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
