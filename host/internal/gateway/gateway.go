package gateway

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/doctors"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/unloader"
)

// Gateway is one supervised gateway: its settings, its engine, and the ports by which both reach everything else. Use
// New, then Begin once. Its other methods are safe for concurrent use.
type Gateway struct {
	core

	doctors  *doctors.Doctors
	lastGood *lastgood.Watcher
	config   *configFile
	health   *health.Monitor
	lines    lineTotals
	sessions sessionTotals
	shutdown shutdownAnswer

	end func() // ends the engine and waits for it; Begin sets it, and the owner of reloads calls it
}

// New makes a gateway that does nothing until Begin. Error: its directories cannot be used.
func New(env Env, s Settings) (*Gateway, error) {
	g := &Gateway{core: core{name: s.Name, env: env, log: env.Log.Named("gateway." + s.Name)}}
	c := &g.core
	c.unloader = func(plugin string) unloader.Unloader { return env.Plugins.Unloader(plugin) }
	c.settings.Store(&s)
	var err error
	g.lastGood, err = lastgood.New(lastgood.Options{
		Dir: env.Store.GoodDir(), Gateway: g.name, Log: g.log,
		ConfigPath: func() string { return c.facts().ConfigPath },
		Session:    func() (engine.Session, bool) { return c.engine.Session() },
	})
	if err != nil {
		return nil, err
	}
	g.doctors = doctors.New(doctors.Options{
		Gateway: g.name, Target: doctorTarget{c}, RepairDir: env.Store.RepairDir(), LastGood: g.lastGood.Store, Log: g.log,
		Doctor: func(name string) doctor.Doctor { return env.Plugins.Doctor(name) },
	})
	g.config = newConfigFile(c)
	g.health = newHealth(c)
	o := observer{core: c, health: g.health, lastGood: g.lastGood}
	g.engine = engine.New(g.name, policyOf(s.Gateway), engine.Ports{
		Launcher: c.launcher(), Services: services{c}, Probe: port{c}, Hooks: hooks{c},
		Launches: launches{core: c, build: c.build, align: g.config.align, launching: g.lastGood.Launching},
		Sessions: sessions{core: c, calls: calls{c, g.health}, totals: &g.sessions, received: o.received},
		Control:  newInProcess(c, &g.shutdown), Output: outputs{core: c, lines: &g.lines}, Doctors: g.doctors, Observer: o,
		Preflight: preflight{core: c, configuration: g.doctors.Preflight},
		Plugins:   c.plugins, Files: c.fileConditions, Observe: observeSettings(s.Gateway),
		VerifyMethod: s.Liveness.VerifyMethod, VerifyTimeout: s.Liveness.VerifyTimeout,
	}, g.log)
	return g, nil
}

// Begin runs the engine until ctx is done or End is called. It does not block; tasks then waits for the engine.
func (g *Gateway) Begin(ctx context.Context, tasks *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	var own sync.WaitGroup
	own.Go(func() {
		defer g.health.Close()
		if err := g.engine.Run(ctx); err != nil {
			g.log.Error("engine ended", "error", err)
		}
	})
	own.Go(func() { g.lastGood.Run(ctx) })
	g.end = func() {
		cancel()
		own.Wait()
	}
	tasks.Go(func() {
		own.Wait()
		cancel()
	})
}

// End ends what Begin started and waits for it. It does not touch the gateway's process. Call it after Begin only.
func (g *Gateway) End() { g.end() }

// Close releases what New took, for a gateway that never began.
func (g *Gateway) Close() { g.health.Close() }

// Name returns the gateway's name.
func (g *Gateway) Name() string { return g.name }

// Log returns the logger for everything about the gateway.
func (g *Gateway) Log() hclog.Logger { return g.log }

// Engine returns the engine, which takes commands to the gateway; see engine.Engine.
func (g *Gateway) Engine() *engine.Engine { return g.engine }

// Autostart starts the gateway, or only adopts its running process when autostart is off. It does nothing when an
// operator, or the end of the host, gave a command before. It waits for the outcome.
func (g *Gateway) Autostart(ctx context.Context) {
	if g.State().Epoch > 0 {
		return
	}
	start := g.conf().Autostart
	if start {
		g.Commanded(control.CommandData{Action: string(control.ActionStart), By: "host", Reason: "autostart"})
	}
	o, err := g.engine.Autostart(ctx, !start)
	if err != nil || o.Problem != nil && o.Kind == lifecycle.OutcomeFailed {
		g.log.Error("gateway did not start", "outcome", o.Kind, "error", view.OutcomeError(o, err))
	}
}

// PluginChanged is called when the state of a plugin has changed; running is the plugin's name when it runs now, else
// "". It never blocks.
func (g *Gateway) PluginChanged(running string) {
	g.engine.Look()
	if running != "" && g.asLaunched().Launcher == running && launcherFailed(g.State()) {
		go g.retry()
	}
}

// retry starts a gateway whose launcher is back, as an operator would. Otherwise it would wait for its next slow
// attempt.
func (g *Gateway) retry() {
	g.Commanded(control.CommandData{Action: string(control.ActionStart), By: "host", Reason: "its launcher is back"})
	o, err := g.engine.Start(context.Background()) // it ends with the engine
	if err != nil || o.Kind == lifecycle.OutcomeFailed {
		g.log.Error("gateway did not start after its launcher came back", "outcome", o.Kind,
			"error", view.OutcomeError(o, err))
	}
}

// launcherFailed reports whether the gateway should run and is in error only because its launcher could not be reached.
func launcherFailed(s lifecycle.State) bool {
	return s.Phase == lifecycle.PhaseError && s.Up && s.Err != nil &&
		slices.Contains([]string{string(fault.PluginDown), string(fault.PluginGone)}, s.Err.Code)
}

// PersonActs is called when a person starts or restarts the gateway: what was left to a person is the host's again.
func (g *Gateway) PersonActs() { g.doctors.Resume() }

// Doctor carries out a doctor request. It sends findings, the plan, progress and one result to tell; see
// doctors.Doctors.
func (g *Gateway) Doctor(ctx context.Context, req control.DoctorRequest, tell func(control.DoctorMessage)) error {
	return g.doctors.Request(ctx, req, tell)
}

// Editor returns the editor of the gateway's own configuration.
func (g *Gateway) Editor() *gatewayconfig.Editor { return g.config.editor }

// Edited logs and publishes an edit of the gateway's own configuration: paths, never values.
func (g *Gateway) Edited(edit control.ConfigEdit, r gatewayconfig.Result) { g.config.edited(edit, r) }
