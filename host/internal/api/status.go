package api

import (
	"cmp"
	"context"
	"os"
	"slices"

	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// Status returns the present state of the host, its gateways and its plugins.
func (s *Service) Status() control.Status {
	cfg := s.o.Registry.Config()
	out := control.Status{Host: control.HostStatus{
		Version: s.o.Version, PID: os.Getpid(), StartedAt: control.At(s.o.Started), Config: cfg.Path, StateDir: cfg.StateDir,
		Conditions: s.o.Conditions.List(), LogDropped: s.o.LogDropped(),
	}}
	for _, g := range s.o.Registry.Now().Ordered() {
		out.Gateways = append(out.Gateways, g.Status())
	}
	out.Plugins = s.Plugins()
	return out
}

// Plugins returns the present state of the plugins, by name.
func (s *Service) Plugins() []control.Plugin {
	var out []control.Plugin
	now := s.o.Registry.Now()
	for _, p := range s.o.Plugins.Plugins() {
		spec, err := s.o.Plugins.Spec(p.Name)
		if err != nil {
			continue // it was removed at this moment
		}
		one := view.Plugin(p, spec.Path)
		if sandbox, ok := now.Sandboxes[p.Name]; ok {
			one.Sandbox = &sandbox
		}
		one.RSSBytes = s.o.Plugins.RSS(p.Name)
		if table := now.Config.Plugins[p.Name]; table != nil { // a new table is in force only when the plugin has taken it
			view.Trust(&one, p, table)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b control.Plugin) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Restart replaces a plugin's process.
func (s *Service) Restart(ctx context.Context, name string) error {
	return s.o.Plugins.Restart(ctx, name)
}
