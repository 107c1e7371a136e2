package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Reload reads the configuration file again and puts it in force, without touching a gateway that runs: tables of plugins are taken up,
// exchanged and ended, settings of gateways count from now on, what concerns a process counts with its next one, and what concerns the host
// itself with the next host. One goes after the other, and each reads the file when its turn comes. Whatever does not work is as it was
// before, and is told in the answer. Errors, with nothing changed: a *control.Problem, CodeBadConfig with all faults of the file,
// CodeGatewaysGone, or that the host is not up. The end of ctx ends the waiting, and what has not begun.
func (h *Host) Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	ctx, leave, err := h.reloads.enter(ctx)
	if err != nil {
		h.log.Warn("configuration was not reloaded", "reason", err)
		return control.Reload{}, err
	}
	defer leave()
	began := time.Now()
	out, err := h.reload(ctx, req)
	out.TookMs = time.Since(began).Milliseconds()
	if !req.DryRun {
		h.tellReload(out, err)
	}
	return out, err
}

func (h *Host) reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	path := h.config().Path
	out := control.Reload{Config: path}
	file, err := config.LoadAgain(path)
	if err != nil {
		return out, badConfig(err)
	}
	out.Config = file.Path
	p, err := h.planFor(file)
	if err != nil {
		return out, badConfig(err)
	}
	switch {
	case len(p.gone) > 0 && !req.Remove:
		return out, p.refusal()
	case req.DryRun:
		out.Changes, out.Outcome = p.foreseen(ctx), control.ReloadPlanned
	default:
		out.Changes, err = h.putInForce(ctx, p)
		out.Outcome = outcomeOf(out.Changes)
	}
	if len(out.Changes) == 0 {
		out.Outcome = control.ReloadUnchanged
	}
	return out, err
}

func outcomeOf(changes []control.ReloadChange) string {
	if slices.ContainsFunc(changes, func(c control.ReloadChange) bool { return c.Result == control.ReloadFailed }) {
		return control.ReloadPartly
	}
	return control.ReloadApplied
}

// badConfig is a file that cannot hold, with everything that is wrong with it.
func badConfig(err error) error {
	p := &control.Problem{
		Status: http.StatusUnprocessableEntity, Code: control.CodeBadConfig, Title: http.StatusText(http.StatusUnprocessableEntity), Detail: err.Error(),
		Hint: "correct the file and reload again; what held before is in force, nothing was changed", Faults: []string{err.Error()},
	}
	if faults, ok := errors.AsType[config.Faults](err); ok {
		p.Faults = nil
		for _, f := range faults {
			p.Faults = append(p.Faults, f.String())
		}
	}
	return p
}

// putInForce does what a plan says. Plugins come first, so that what gateways are to use is there; then gateways, then what nobody needs
// any more goes. An error means that the host stops.
func (h *Host) putInForce(ctx context.Context, p *plan) ([]control.ReloadChange, error) {
	next := &current{cfg: p.to, gateways: map[string]*gateway{}, sandboxes: maps.Clone(p.from.sandboxes)}
	h.takePlugins(ctx, p, next)
	arrivals := h.welcome(p, next)
	departures := h.dismiss(ctx, p, next)
	if ctx.Err() != nil {
		return nil, restarting()
	}
	for _, s := range p.stay {
		next.gateways[s.g.name] = s.g
	}
	for name, g := range next.gateways {
		g.last.Store(p.to.Gateways[name])
	}
	h.current.Store(next)
	h.log.SetLevel(hclog.LevelFromString(p.to.Log.Level))
	for _, name := range p.gone {
		if next.gateways[name] == nil {
			p.from.gateways[name].end()
		}
	}
	h.dropPlugins(p, next)

	out := slices.Clone(p.host)
	for _, s := range p.plugins {
		out = append(out, s.ReloadChange)
	}
	out = append(append(out, departures...), arrivals...)
	for _, s := range p.stay {
		out = append(out, s.changes()...)
		s.g.reconfigure(ctx)
	}
	for _, name := range p.came {
		if g := next.gateways[name]; g != nil {
			h.begin(g)
			go g.start(context.WithoutCancel(ctx)) // as the autostart: it ends with the engine
		}
	}
	return out, nil
}

// takePlugins starts and changes plugins, all at the same time. One that fails keeps its former table; one that is new is tried again.
func (h *Host) takePlugins(ctx context.Context, p *plan, next *current) {
	var under sync.WaitGroup
	for _, s := range p.plugins {
		if s.Action != control.ChangeRemoved {
			under.Go(func() { h.takePlugin(ctx, s) })
		}
	}
	under.Wait()
	for _, s := range p.plugins {
		switch former := p.from.cfg.Plugins[s.Name]; {
		case s.Action == control.ChangeRemoved:
		case s.Result == control.ReloadFailed && s.Action != control.ChangeAdded && former != nil:
			p.to.Plugins[s.Name] = former
		default:
			next.sandboxes[s.Name] = s.told
		}
	}
}

func (h *Host) takePlugin(ctx context.Context, s *pluginStep) {
	var err error
	if s.Action == control.ChangeAdded {
		if err = h.plugins.Add(s.spec); err == nil {
			err = h.plugins.Await(ctx, s.Name)
		}
		if err != nil {
			s.Detail = "it is tried again"
		}
	} else {
		var how pluginhost.How
		if how, err = h.plugins.Change(ctx, s.spec); err == nil {
			s.Action = actionOf(how)
		} else {
			s.Detail = "its former table stays in force"
		}
	}
	if err != nil {
		s.Result, s.Error = control.ReloadFailed, failureOf(err)
	}
}

// welcome makes the gateways that came.
func (h *Host) welcome(p *plan, next *current) []control.ReloadChange {
	var out []control.ReloadChange
	for _, name := range p.came {
		c := p.arrival(name)
		g, err := newGateway(h, p.to.Gateways[name])
		if err != nil {
			c.Result, c.Error, c.Detail = control.ReloadFailed, failureOf(err), ""
			delete(p.to.Gateways, name)
		} else {
			next.gateways[name] = g
		}
		out = append(out, c)
	}
	return out
}

// dismiss stops the gateways that are to go. One that cannot be stopped stays, with what it needs.
func (h *Host) dismiss(ctx context.Context, p *plan, next *current) []control.ReloadChange {
	out := make([]control.ReloadChange, len(p.gone))
	var stops sync.WaitGroup
	for i, name := range p.gone {
		out[i] = departure(name)
		stops.Go(func() {
			g := p.from.gateways[name]
			g.watch.command(control.CommandData{Action: string(control.ActionStop), By: "host", Reason: "the configuration no longer has it"})
			o, err := g.engine.Retire(ctx)
			if err != nil || o.Kind == lifecycle.OutcomeFailed {
				out[i].Result, out[i].Error = control.ReloadFailed, cmp.Or(failure(o.Problem), &control.Failure{Code: "internal", Message: errorOf(o, err)})
				out[i].Detail = "it stays"
			}
		})
	}
	stops.Wait()
	for i, name := range p.gone {
		if out[i].Result != control.ReloadFailed {
			continue
		}
		g := p.from.gateways[name]
		p.to.Gateways[name], next.gateways[name] = p.from.cfg.Gateways[name], g
		for of, table := range p.from.cfg.Plugins {
			if p.to.Plugins[of] == nil {
				p.to.Plugins[of] = table
			}
		}
		p.stay = append(p.stay, &gatewayStep{g: g})
	}
	return out
}

// dropPlugins ends the plugins that nobody needs any more; what was begun in them ends first.
func (h *Host) dropPlugins(p *plan, next *current) {
	used := next.cfg.UsedPlugins()
	for _, s := range p.plugins {
		if s.Action != control.ChangeRemoved || s.Result != control.ReloadNow {
			continue
		}
		if slices.Contains(used, s.Name) {
			s.Result, s.Detail = control.ReloadFailed, "a gateway that could not be stopped uses it"
			continue
		}
		if _, err := h.plugins.Remove(s.Name); err != nil {
			s.Result, s.Error = control.ReloadFailed, failureOf(err)
		}
	}
}

// reconfigure lets a gateway that stays go by what holds now.
func (g *gateway) reconfigure(ctx context.Context) {
	cfg := g.conf()
	chain := g.classifiers()
	g.lines.each(func(p *output.Pipeline) { p.SetChain(chain) })
	g.frames.each(func(s *openSession) { s.SetPing(cfg.Liveness.Ping, cfg.Liveness.PongTimeout) })
	err := g.engine.Configure(ctx, engine.Settings{
		Policy: policyOf(cfg), VerifyMethod: cfg.Liveness.VerifyMethod, VerifyTimeout: cfg.Liveness.VerifyTimeout, Drift: g.drift(),
	})
	if err != nil && !errors.Is(err, engine.ErrStopped) {
		g.log.Error("gateway does not go by its new settings", "error", err)
	}
}

// launchOver is told of a launch of which nothing is left. A plugin that only that was for may go, or change, now.
func (h *Host) launchOver(by string) {
	if by == "" || slices.Contains(usesOf(h.config(), by), plugin.KindLauncher) {
		return
	}
	go func() { // bounded by the turn: whoever has it ends with the host
		ctx, leave, err := h.reloads.enter(context.Background())
		if err != nil {
			return
		}
		defer leave()
		h.settlePlugins(ctx)
	}()
}

// settlePlugins lets plugins be as the configuration that holds says, where something kept one from it.
func (h *Host) settlePlugins(ctx context.Context) {
	p, err := h.planFor(h.config())
	if err != nil || len(p.gone)+len(p.came) > 0 {
		return // of what holds already: it cannot be
	}
	next := &current{cfg: p.to, gateways: p.from.gateways, sandboxes: maps.Clone(p.from.sandboxes)}
	h.takePlugins(ctx, p, next)
	h.current.Store(next)
	h.dropPlugins(p, next)
	for _, s := range p.plugins {
		h.log.Info("plugin is no longer needed for what ran", "plugin", s.Name, "action", s.Action, "result", s.Result, "reason", s.Detail)
	}
}

// tellReload says in log, events and status what became of a reload.
func (h *Host) tellReload(r control.Reload, err error) {
	var failed []string
	for _, c := range r.Changes {
		log := h.log.Info
		if c.Result == control.ReloadFailed {
			log = h.log.Error
			failed = append(failed, strings.TrimSpace(c.Scope+" "+c.Name))
		}
		log("configuration change", "scope", c.Scope, "name", c.Name, "action", c.Action, "keys", strings.Join(c.Keys, " "), "result", c.Result, "reason", reasonOf(c))
	}
	refused := control.Condition{Code: "config-refused", Hint: "correct the file and run `gatehost config reload`"}
	if err != nil {
		r.Outcome = control.ReloadRefused
		r.Faults = strings.Split(err.Error(), "\n")
		if p, ok := errors.AsType[*control.Problem](err); ok && len(p.Faults) > 0 {
			r.Faults = p.Faults
		}
		refused.Message = fmt.Sprintf("%s was refused, the former configuration holds: %s", cmp.Or(r.Config, "the configuration"), r.Faults[0])
		if more := len(r.Faults) - 1; more > 0 {
			refused.Message += fmt.Sprintf(" (and %d more)", more)
		}
		h.log.Error("configuration was not reloaded; the former one holds", "path", r.Config, "error", err)
	} else {
		h.log.Info("configuration was reloaded", "path", r.Config, "outcome", r.Outcome, "changes", len(r.Changes), "failed", strings.Join(failed, ", "))
	}
	h.hub.Publish(events.Event{Type: events.ConfigReloaded, Data: r})
	h.condition(refused, err != nil)
	if err == nil {
		h.condition(control.Condition{
			Code: "config-partly", Message: "a part of the configuration is not in force: " + strings.Join(failed, ", "),
			Hint: "`gatehost config reload` tries it again and says why it failed",
		}, len(failed) > 0)
		keys := hostRestartKeys(r)
		h.condition(control.Condition{
			Code: "host-restart-needed", Message: "the configuration says otherwise than this host was started with: " + strings.Join(keys, ", "),
			Hint: "restart the host when that suits; with on_host_exit = \"keep\" gateways run on meanwhile",
		}, len(keys) > 0)
	}
}

func reasonOf(c control.ReloadChange) string {
	if c.Error != nil {
		return c.Error.Message
	}
	return c.Detail
}

func hostRestartKeys(r control.Reload) []string {
	var out []string
	for _, c := range r.Changes {
		if c.Result == control.ReloadHostRestart {
			out = append(out, c.Keys...)
		}
	}
	return out
}
