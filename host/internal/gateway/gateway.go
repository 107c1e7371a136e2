package gateway

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/doctors"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Env is what the gateways of one host share.
type Env struct {
	Version string // of the host
	Log     hclog.Logger
	Store   *store.Store
	Journal *journal.Journal
	Hub     *events.Hub
	Metrics *metrics.Recorder
	Plugins *pluginhost.Host
	// Device is this host's identity towards gateways; nil: it has none.
	Device func() *session.Device
	// LaunchOver is told of a launch of which nothing is left, with the plugin that held it; "" when none is known to. It must not block.
	LaunchOver func(launcher string)
}

// Settings is what a configuration says about one gateway. It is a value that is never changed; Configure puts another one in its place.
type Settings struct {
	*config.Gateway

	ForeignTokens []string        // variables of the host that hold the tokens of other gateways
	Frames        bool            // log the frames of sessions
	Content       map[string]bool // the doctors that may read the gateway's configuration
}

// SettingsOf is what a configuration says about a gateway that it has.
func SettingsOf(cfg *config.Config, name string) Settings {
	own := cfg.Gateways[name]
	s := Settings{Gateway: own, Frames: cfg.Log.Frames, Content: map[string]bool{}}
	for other, g := range cfg.Gateways {
		if env := g.Token.Env; other != name && env != "" && env != own.Token.Env {
			s.ForeignTokens = append(s.ForeignTokens, env)
		}
	}
	slices.Sort(s.ForeignTokens)
	for _, name := range own.Doctors {
		p := cfg.Plugins[name]
		s.Content[name] = p != nil && slices.Contains(p.Grant, plugin.GrantGatewayConfig)
	}
	return s
}

// Gateway is one supervised gateway: its settings, its engine, and what both reach the world through. Use New, then Begin once.
type Gateway struct {
	name string
	env  Env
	log  hclog.Logger

	settings atomic.Pointer[Settings]
	engine   *engine.Engine
	doctors  *doctors.Doctors
	lastGood *lastgood.Watcher
	config   *gatewayconfig.Editor
	health   *health.Monitor

	launches launchTable
	lines    lineTotals
	sessions sessionTotals
	shutdown shutdownAnswer
	cause    atomic.Uint64 // cursor of the newest event about the state; what follows is caused by it

	lastLaunch atomic.Pointer[string] // the newest launch in words, without secrets

	end func() // ends the engine and waits for it; set by Begin, for the owner of reloads
}

// New makes a gateway that does nothing until Begin. Error: its directories cannot be used.
func New(env Env, s Settings) (*Gateway, error) {
	g := &Gateway{name: s.Name, env: env, log: env.Log.Named("gateway." + s.Name)}
	g.settings.Store(&s)
	var err error
	g.lastGood, err = lastgood.New(lastgood.Options{
		Dir: env.Store.GoodDir(), Gateway: g.name, Log: g.log,
		ConfigPath: func() string { return g.facts().ConfigPath },
		Session:    func() (engine.Session, bool) { return g.engine.Session() },
	})
	if err != nil {
		return nil, err
	}
	g.doctors = doctors.New(doctors.Options{
		Gateway: g.name, Target: doctorTarget{g}, RepairDir: env.Store.RepairDir(), LastGood: g.lastGood.Good, Log: g.log,
		Doctor: func(name string) doctor.Doctor { return env.Plugins.Doctor(name) },
	})
	g.config = g.newConfigEditor()
	g.health = g.newHealth()
	g.engine = engine.New(g.name, policyOf(s.Gateway), engine.Ports{
		Launcher: g.launcher(), Services: services{g}, Probe: port{g}, Launches: launches{g, g.build},
		Sessions: sessions{g}, Hooks: hooks{g}, Control: newInProcess(g), Output: outputs{g}, Doctors: g.doctors, Observer: observer{g},
		Plugins: g.plugins, Observe: observeSettings(s.Gateway),
		VerifyMethod: s.Liveness.VerifyMethod, VerifyTimeout: s.Liveness.VerifyTimeout,
	}, g.log)
	return g, nil
}

// Begin lets the engine run until ctx is done, or End is called; tasks then has it.
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

// End ends what Begin began and waits for it. The process of the gateway is not touched.
func (g *Gateway) End() { g.end() }

// Close gives back what New took, of a gateway that never began.
func (g *Gateway) Close() { g.health.Close() }

// Name is the gateway's name.
func (g *Gateway) Name() string { return g.name }

// Log is where everything about the gateway is logged.
func (g *Gateway) Log() hclog.Logger { return g.log }

// Settings is what holds now.
func (g *Gateway) Settings() Settings { return *g.settings.Load() }

// conf is the gateway's part of the configuration that holds now.
func (g *Gateway) conf() *config.Gateway { return g.settings.Load().Gateway }

// State is the state after the last step.
func (g *Gateway) State() lifecycle.State { return g.engine.Snapshot().State }

// Engine gives commands to the gateway; see engine.Engine.
func (g *Gateway) Engine() *engine.Engine { return g.engine }

// Autostart starts the gateway, or only adopts what runs of it where autostart is off. It does nothing when an operator, or the end of the
// host, was first.
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

// PluginChanged is told that the state of a plugin has changed; running is the plugin's name when it runs now, else "". It never blocks.
func (g *Gateway) PluginChanged(running string) {
	g.engine.Look()
	if running != "" && g.asLaunched().Launcher == running && launcherFailed(g.State()) {
		go g.retry()
	}
}

// retry starts a gateway whose launcher is back, as an operator would, instead of letting it wait for its next slow attempt.
func (g *Gateway) retry() {
	g.Commanded(control.CommandData{Action: string(control.ActionStart), By: "host", Reason: "its launcher is back"})
	o, err := g.engine.Start(context.Background()) // it ends with the engine
	if err != nil || o.Kind == lifecycle.OutcomeFailed {
		g.log.Error("gateway did not start after its launcher came back", "outcome", o.Kind, "error", view.OutcomeError(o, err))
	}
}

// launcherFailed: the gateway is wanted and in error for no other reason than that its launcher could not be asked.
func launcherFailed(s lifecycle.State) bool {
	return s.Phase == lifecycle.PhaseError && s.Up && s.Err != nil &&
		slices.Contains([]string{string(fault.PluginDown), string(fault.PluginGone)}, s.Err.Code)
}
