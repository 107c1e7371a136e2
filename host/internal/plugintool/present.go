package plugintool

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Missing looks for what a configuration names and this machine does not have: programs of gateways, files of plugins
// that gateways use, and plugins that do not serve as what they are used as. To see that, it starts each plugin without
// a manifest once, as a host does. It returns all faults.
func Missing(ctx context.Context, cfg *config.Config) config.Faults {
	var out config.Faults
	home, _ := os.UserHomeDir() // without one the profile has no default places
	for _, name := range cfg.GatewayNames() {
		g := cfg.Gateways[name]
		err := profile.Check(profile.Launch{Launch: g.Launch, Port: g.Port, Home: home, Inherited: os.Environ()})
		if err != nil {
			out = append(out, pluginspec.ProgramFault(cfg, name, err, fault.HintOf(err)))
		}
	}
	for _, name := range cfg.UsedPlugins() {
		out = append(out, missingPlugin(ctx, cfg, name)...)
	}
	return out
}

func missingPlugin(ctx context.Context, cfg *config.Config, name string) config.Faults {
	spec, _, err := pluginspec.Of(cfg, name, nil)
	if err == nil {
		err = pluginhost.Check(ctx, spec, cfg.PluginDir)
	}
	if err != nil {
		key := []string{"plugins", name, "path"}
		return config.Faults{{
			File: cfg.Path, Line: cfg.Line(key...), Key: strings.Join(key, "."), Message: err.Error(), Hint: fault.HintOf(err),
		}}
	}
	serves, known := kindsOf(ctx, cfg, spec)
	if !known {
		return nil // it does not say; its start will
	}
	return pluginspec.WrongUses(cfg, name, serves)
}

// kindsOf returns what a plugin serves as, by its manifest or by its own words; false when it does not say.
func kindsOf(ctx context.Context, cfg *config.Config, spec pluginhost.Spec) (kinds []plugin.Kind, known bool) {
	path := spec.Path
	if !strings.ContainsAny(path, `/\`) {
		path = filepath.Join(cfg.PluginDir, path)
	}
	if m, err := manifest.Read(path); err == nil {
		for _, k := range m.Kinds {
			kinds = append(kinds, plugin.Kind(k))
		}
		return kinds, true
	}
	root, err := os.MkdirTemp("", "ghc") // short: sockets live under it
	if err != nil {
		return nil, false
	}
	defer func() { _ = os.RemoveAll(root) }()
	options := pluginhost.Options{
		Log: hclog.NewNullLogger(), Version: version.Version(), PluginDir: cfg.PluginDir,
		DataDir: filepath.Join(root, "data"), RunDir: filepath.Join(root, "run"), RuntimeDir: filepath.Join(root, "s"),
	}
	for _, dir := range []string{options.DataDir, options.RunDir, options.RuntimeDir} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, false
		}
	}
	p, err := pluginhost.NewProbe(options, spec)
	if err != nil {
		return nil, false
	}
	info, err := p.Describe(ctx)
	if err != nil {
		return nil, false
	}
	return slices.DeleteFunc(plugin.Kinds(), func(k plugin.Kind) bool { return !info.Serves(k) }), true
}
