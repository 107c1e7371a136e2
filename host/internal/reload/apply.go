package reload

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// application is a plan that is being applied: the next set in force, and the result of each step. A step that fails
// puts its part of the next set back as it was.
type application struct {
	*plan

	next    *registry.Set
	steps   []pluginStep // those of the plan, with their results
	staying []*gatewayStep
}

func newApplication(p *plan) *application {
	a := &application{plan: p, staying: slices.Clone(p.staying)}
	cfg := *p.to
	cfg.Plugins, cfg.Gateways = maps.Clone(p.to.Plugins), maps.Clone(p.to.Gateways)
	a.next = &registry.Set{Config: &cfg, Gateways: map[string]*gateway.Gateway{}, Sandboxes: maps.Clone(p.from.Sandboxes)}
	for _, s := range p.plugins {
		a.steps = append(a.steps, *s)
	}
	return a
}

// apply carries out a plan. Plugins come first, so that gateways find what they are to use; then gateways; then it ends
// what is no longer needed. An error means that the host stops.
func (r *Reloader) apply(ctx context.Context, p *plan) ([]control.ReloadChange, error) {
	a := newApplication(p)
	r.takePlugins(ctx, a)
	departures := r.removeGateways(ctx, a) // before the others come: they must know the tokens of those that stay
	arrivals := r.addGateways(a)
	if ctx.Err() != nil {
		return nil, control.HostRestarting()
	}
	for _, s := range a.staying {
		a.next.Gateways[s.g.Name()] = s.g
	}
	r.o.Registry.Replace(a.next)
	r.o.Log.SetLevel(hclog.LevelFromString(a.next.Config.Log.Level))
	var stayed []control.ReloadChange
	for _, s := range a.staying { // before plugins end that only the former settings need
		stayed = append(stayed, s.changes()...)
		s.g.Configure(ctx, gateway.SettingsOf(a.next.Config, s.g.Name()))
	}
	for _, name := range p.removed {
		if a.next.Gateways[name] == nil {
			p.from.Gateways[name].End()
		}
	}
	r.dropPlugins(a)

	out := slices.Clone(p.host)
	for _, s := range a.steps {
		out = append(out, s.ReloadChange)
	}
	out = append(append(append(out, departures...), arrivals...), stayed...)
	for _, name := range p.added {
		if g := a.next.Gateways[name]; g != nil {
			r.o.Begin(g)
			go g.Autostart(context.WithoutCancel(ctx)) // it ends with the engine
		}
	}
	return out, nil
}

// takePlugins starts and changes plugins, all at the same time. A changed plugin that fails keeps its former table; the
// host tries to start a new one again.
func (r *Reloader) takePlugins(ctx context.Context, a *application) {
	var under sync.WaitGroup
	for i := range a.steps {
		if s := &a.steps[i]; s.Action != control.ChangeRemoved {
			under.Go(func() { r.takePlugin(ctx, s) })
		}
	}
	under.Wait()
	for i := range a.steps {
		if s := &a.steps[i]; s.Action == control.ChangeAdded && s.Result != control.ReloadFailed {
			r.misused(a, s)
		}
	}
	for _, s := range a.steps {
		switch former := a.from.Config.Plugins[s.Name]; {
		case s.Action == control.ChangeRemoved:
		case s.Result == control.ReloadFailed && s.Action != control.ChangeAdded && former != nil:
			a.next.Config.Plugins[s.Name] = former
		default:
			a.next.Sandboxes[s.Name] = s.sandbox
		}
	}
}

func (r *Reloader) takePlugin(ctx context.Context, s *pluginStep) {
	var err error
	if s.Action == control.ChangeAdded {
		if err = r.o.Plugins.Add(s.spec); err == nil {
			err = r.o.Plugins.Await(ctx, s.Name)
		}
		if err != nil {
			s.Detail = "the host tries it again"
		}
	} else {
		var how pluginhost.ChangeKind
		if how, err = r.o.Plugins.Change(ctx, s.spec); err == nil {
			s.Action = actionOf(how)
		} else {
			s.Detail = "its former table stays in force"
		}
	}
	if err != nil {
		s.Result, s.Error = control.ReloadFailed, view.Failure(err)
	}
}

// addGateways makes the gateways that are new.
func (r *Reloader) addGateways(a *application) []control.ReloadChange {
	var out []control.ReloadChange
	for _, name := range a.added {
		c := a.arrival(name)
		g, err := r.o.New(gateway.SettingsOf(a.next.Config, name))
		if err != nil {
			c.Result, c.Error, c.Detail = control.ReloadFailed, view.Failure(err), ""
			delete(a.next.Config.Gateways, name)
		} else {
			a.next.Gateways[name] = g
		}
		out = append(out, c)
	}
	return out
}

// removeGateways stops the gateways that the file no longer has. A gateway that cannot be stopped stays, with what it
// needs.
func (r *Reloader) removeGateways(ctx context.Context, a *application) []control.ReloadChange {
	out := make([]control.ReloadChange, len(a.removed))
	var stops sync.WaitGroup
	for i, name := range a.removed {
		out[i] = departure(name)
		stops.Go(func() {
			g := a.from.Gateways[name]
			g.Commanded(control.CommandData{
				Action: string(control.ActionStop), By: "host", Reason: "the configuration no longer has it",
			})
			o, err := g.Engine().Retire(ctx)
			if err != nil || o.Kind == lifecycle.OutcomeFailed {
				out[i].Result, out[i].Detail = control.ReloadFailed, "it stays"
				out[i].Error = cmp.Or(view.Problem(o.Problem),
					&control.Failure{Code: "internal", Message: view.OutcomeError(o, err)})
			}
		})
	}
	stops.Wait()
	for i, name := range a.removed {
		if out[i].Result == control.ReloadFailed {
			a.keep(name)
		}
	}
	return out
}

// keep leaves a gateway in force that could not be stopped, with the tables of its plugins.
func (a *application) keep(name string) {
	g, cfg := a.from.Gateways[name], a.next.Config
	cfg.Gateways[name], a.next.Gateways[name] = a.from.Config.Gateways[name], g
	for of, table := range a.from.Config.Plugins {
		if cfg.Plugins[of] == nil {
			cfg.Plugins[of] = table
		}
	}
	a.staying = append(a.staying, &gatewayStep{g: g})
}

// dropPlugins ends the plugins that are no longer needed; calls that run in them end first.
func (r *Reloader) dropPlugins(a *application) {
	used := a.next.Config.UsedPlugins()
	for i := range a.steps {
		s := &a.steps[i]
		if s.Action != control.ChangeRemoved || s.Result != control.ReloadNow {
			continue
		}
		if slices.Contains(used, s.Name) {
			s.Result, s.Detail = control.ReloadFailed, "a gateway that could not be stopped uses it"
			continue
		}
		if _, err := r.o.Plugins.Remove(s.Name); err != nil {
			s.Result, s.Error = control.ReloadFailed, view.Failure(err)
		}
	}
}

// LaunchOver is called when nothing of a launch is left, with the plugin that held it. A plugin that was needed for
// that launch only can now be removed or changed. It does not block.
func (r *Reloader) LaunchOver(by string) {
	if by == "" || slices.Contains(pluginspec.Uses(r.o.Registry.Config(), by), plugin.KindLauncher) {
		return
	}
	go func() { // bounded by the turn, which ends with the host
		ctx, leave, err := r.o.Turn.Enter(context.Background())
		if err != nil {
			return
		}
		defer leave()
		r.settlePlugins(ctx)
	}()
}

// settlePlugins applies the configuration in force to plugins that a launch kept from it.
func (r *Reloader) settlePlugins(ctx context.Context) {
	p, err := r.plan(r.o.Registry.Config())
	if err != nil || len(p.removed)+len(p.added) > 0 {
		return // cannot happen: the configuration is in force already
	}
	a := newApplication(p)
	a.next.Gateways = p.from.Gateways
	r.takePlugins(ctx, a)
	r.o.Registry.Replace(a.next)
	r.dropPlugins(a)
	for _, s := range a.steps {
		r.o.Log.Info("applied a change of a plugin that waited for a launch to end", "plugin", s.Name, "action", s.Action,
			"result", s.Result, "reason", s.Detail)
	}
}
