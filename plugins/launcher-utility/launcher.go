package launcherutility

import (
	"context"

	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/shimlauncher"
)

// Name and Version of the plugin.
const (
	Name    = "launcher-utility"
	Version = "0.1.0"
)

// Launcher runs gateways under gatehost-shim. All methods may be called concurrently; Configure comes first.
type Launcher struct{ *shimlauncher.Launcher }

// New makes a launcher that has to be configured.
func New() *Launcher { return &Launcher{shimlauncher.New(Name)} }

// Plugin is what main serves.
func (l *Launcher) Plugin() pluginkit.Plugin {
	return pluginkit.Plugin{
		Name: Name, Version: Version, Launcher: l, Configure: l.Configure,
		ConfigFields: []plugin.ConfigField{shimlauncher.ConfigField(), {
			Path: "exclusive_storage", Type: "boolean",
			Doc: "true: no other machine or container uses the state directory, so a launch of another one has ended",
		}},
	}
}

// settings is the plugin's own table.
type settings struct {
	Shim string `json:"shim"`
	// Exclusive: see shimlauncher.Launcher.Exclusive.
	Exclusive bool `json:"exclusive_storage"`
}

// Configure takes the table and the directories.
func (l *Launcher) Configure(ctx context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	s, diagnostics := pluginkit.DecodeConfig(req.Config, settings{})
	if len(diagnostics) > 0 {
		return diagnostics, nil
	}
	l.Exclusive(s.Exclusive)
	return l.Setup(ctx, s.Shim, req.Directories)
}
