package host

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Config is a loaded configuration.
type Config = config.Config

// LoadConfig reads and checks a configuration; "" is the default place, or the defaults when there is no file. Errors list every
// fault with its line.
func LoadConfig(path string) (*Config, error) { return config.Load(path) }

// Sockets lists where the host of a configuration may be listening, best first; for clients. No host need be running.
func Sockets(path string) []string { return config.Sockets(path) }

// Host supervises the gateways of one configuration. Use New, then Run once.
type Host struct {
	log     hclog.Logger
	version string
	current atomic.Pointer[current] // exchanged by the owner of reloads
	reloads *reloads
	hub     *events.Hub
	metrics *metrics.Recorder
	started time.Time

	// Set by Run before anything uses them, and not changed after.
	store   *store.Store
	journal *journal.Journal
	plugins *pluginhost.Host
	begin   func(*gateway) // makes its engine run

	conditions hostConditions
	calls      calls

	kill     chan struct{} // closed by Kill
	killOnce sync.Once

	deviceOnce sync.Once
	deviceID   *session.Device
}

// New makes a host that does nothing until Run.
func New(cfg *Config, log hclog.Logger) *Host {
	h := &Host{
		log: log, version: version.Version(), hub: events.NewHub(events.Options{}), started: time.Now(), kill: make(chan struct{}),
		reloads: newReloads(),
	}
	h.current.Store(&current{cfg: cfg})
	h.metrics = metrics.New(h.scrape)
	return h
}

// Run supervises until ctx is done, then stops everything in order: gateways, plugins, the control socket. Kill makes
// the gateways end without their grace. Errors: another host has the state directory, or the control socket can't be had.
//
// run.Group interrupts every actor at once and waits for none in between, so the order is made here: what others still need ends
// only after they have (enginesDone), whoever is interrupted first.
func (h *Host) Run(ctx context.Context) error {
	st, err := store.Open(h.config().StateDir)
	if err != nil {
		return err
	}
	h.store = st
	defer func() { _ = st.Close() }()
	h.openJournal()
	runtimeDir, err := h.config().RuntimeDir()
	if err != nil {
		return err
	}
	if err := h.assemble(runtimeDir); err != nil {
		return err
	}
	sweep := time.AfterFunc(sweepAfter, h.sweep)
	defer sweep.Stop()
	enginesDone := make(chan struct{})
	var g run.Group
	h.addLifetime(ctx, &g)
	if err := h.addControl(ctx, &g, enginesDone); err != nil {
		return err
	}
	h.addPlugins(ctx, &g, enginesDone)
	h.addEngines(ctx, &g, enginesDone)
	h.hub.Publish(events.Event{Type: events.HostStarted})
	err = g.Run()
	h.hub.Close()
	return errors.Join(err, h.journal.Close())
}

// sweepAfter is when nothing of an earlier host can be about to launch any more: its plugins have ended with it.
const sweepAfter = 30 * time.Second

// sweep forgets launches that a host prepared and was killed before it made them.
func (h *Host) sweep() {
	n, err := h.store.SweepLaunches(h.started)
	switch {
	case err != nil:
		h.log.Warn("launches that never came are left", "error", err)
	case n > 0:
		h.log.Info("forgot launches that an earlier host had prepared and never made", "number", n)
	}
}

// assemble plugs everything together; nothing runs yet.
func (h *Host) assemble(runtimeDir string) error {
	cfg := h.config()
	h.plugins = pluginhost.New(pluginhost.Options{
		Log: h.log, Version: h.version, PluginDir: cfg.PluginDir, DataDir: h.store.PluginDir(), RunDir: h.store.RunDir(),
		RuntimeDir: runtimeDir, OnState: h.pluginState, OnCall: h.pluginCalled,
	})
	next := &current{cfg: cfg, gateways: map[string]*gateway{}, sandboxes: map[string]control.Sandbox{}}
	for _, name := range cfg.UsedPlugins() {
		spec, told, err := h.specOf(cfg, name, nil)
		if err != nil {
			return err
		}
		if err := h.plugins.Add(spec); err != nil {
			return err
		}
		next.sandboxes[name] = told
	}
	for _, name := range cfg.GatewayNames() {
		g, err := newGateway(h, cfg.Gateways[name])
		if err != nil {
			return err
		}
		next.gateways[name] = g
	}
	h.current.Store(next)
	return nil
}

// addLifetime ends the group when the host is to end.
func (h *Host) addLifetime(ctx context.Context, g *run.Group) {
	stop := make(chan struct{})
	g.Add(func() error {
		select {
		case <-ctx.Done():
			h.log.Info("stopping", "reason", context.Cause(ctx))
		case <-h.kill:
		case <-stop:
		}
		return nil
	}, func(error) { close(stop) })
}

// addPlugins runs the plugins; they end after the engines, whose last effect may be a call to one.
func (h *Host) addPlugins(ctx context.Context, g *run.Group, enginesDone <-chan struct{}) {
	g.Add(func() error {
		h.plugins.Start(ctx)
		<-enginesDone
		h.plugins.Close()
		return nil
	}, func(error) {}) // see enginesDone
}

// addEngines runs the engines. Interrupted, it stops every gateway that is not to be kept, and only then ends the engines.
func (h *Host) addEngines(ctx context.Context, g *run.Group, enginesDone chan<- struct{}) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the end of ctx begins an orderly stop, it does not cut
	stopping := make(chan struct{})
	var engines sync.WaitGroup
	h.begin = func(gw *gateway) { gw.begin(ctx, &engines) }
	g.Add(func() error {
		defer close(enginesDone)
		defer cancel()
		for _, gw := range h.ordered() {
			h.begin(gw)
		}
		go h.autostart(ctx)
		h.reloads.open()
		<-stopping
		h.reloads.close()
		h.hub.Publish(events.Event{Type: events.HostStopping})
		h.calls.drain(h.kill)
		h.stopAll(ctx)
		cancel()
		engines.Wait()
		return nil
	}, func(error) { close(stopping) })
}

// autostart starts what is to be started, a few at a time. Of what is not, it takes up what runs: an operator started it before the host
// was replaced.
func (h *Host) autostart(ctx context.Context) {
	slots := make(chan struct{}, max(h.config().Host.StartParallel, 1)) // so many at once
	for _, gw := range h.ordered() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		go func() {
			defer func() { <-slots }()
			gw.start(ctx)
		}()
	}
}

// begin lets the engine run until ctx is done, or end is called.
func (g *gateway) begin(ctx context.Context, engines *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	var own sync.WaitGroup
	own.Go(func() {
		defer g.health.Close()
		if err := g.engine.Run(ctx); err != nil {
			g.log.Error("engine ended", "error", err)
		}
	})
	own.Go(func() { g.keeper.run(ctx) })
	g.end = func() {
		cancel()
		own.Wait()
	}
	engines.Go(func() {
		own.Wait()
		cancel()
	})
}

// start is the autostart: nothing when an operator, or the end of the host, was first.
func (g *gateway) start(ctx context.Context) {
	if g.engine.Snapshot().State.Epoch > 0 {
		return
	}
	wanted := g.conf().Autostart
	if wanted {
		g.watch.command(control.CommandData{Action: string(control.ActionStart), By: "host", Reason: "autostart"})
	}
	o, err := g.engine.Autostart(ctx, !wanted)
	if err != nil || o.Problem != nil && o.Kind == lifecycle.OutcomeFailed {
		g.log.Error("gateway did not start", "outcome", o.Kind, "error", errorOf(o, err))
	}
}

func errorOf(o lifecycle.Outcome, err error) string {
	if err != nil {
		return err.Error()
	}
	if o.Problem == nil {
		return ""
	}
	return o.Problem.Message
}

// stopAll stops the gateways at the same time; on_host_exit = "keep" leaves a gateway to its shim. Kill makes it quick.
func (h *Host) stopAll(ctx context.Context) {
	var stops sync.WaitGroup
	for _, gw := range h.ordered() {
		if gw.conf().OnHostExit == "keep" {
			gw.log.Info("leaving the gateway running for the next host", "pid", gw.engine.Snapshot().State.Process.PID)
			continue
		}
		stops.Go(func() { h.stopOne(ctx, gw) })
	}
	stops.Wait()
}

func (h *Host) stopOne(ctx context.Context, gw *gateway) {
	gw.watch.command(control.CommandData{Action: string(control.ActionStop), By: "host", Reason: "the host stops"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		o, err := gw.engine.Stop(ctx, engine.StopOptions{})
		if err != nil || o.Kind == lifecycle.OutcomeFailed {
			gw.log.Error("gateway could not be stopped", "error", errorOf(o, err))
		}
	}()
	select {
	case <-done:
		return
	case <-h.kill:
	}
	if _, err := gw.engine.Stop(ctx, engine.StopOptions{Now: true}); err != nil {
		gw.log.Error("gateway could not be killed", "error", err)
	}
	<-done
}

// Kill makes the stop immediate: gateways are killed without their grace. Safe from any goroutine, also before Run.
func (h *Host) Kill() { h.killOnce.Do(func() { close(h.kill) }) }

// device is this host's identity towards gateways, made on first use. Without one the session goes on with fewer scopes on old
// releases (B028).
func (h *Host) device() *session.Device {
	h.deviceOnce.Do(func() {
		d, err := session.LoadDevice(h.store.DeviceFile())
		if err != nil {
			h.log.Warn("going on without a device identity; older releases of OpenClaw grant no scopes then (docs/compatibility.md)", "error", err)
			return
		}
		h.deviceID = d
	})
	return h.deviceID
}

// pluginState is told of every change of a plugin.
func (h *Host) pluginState(s pluginhost.State) {
	h.hub.Publish(events.Event{Plugin: s.Name, Type: events.PluginState, Data: pluginData(s)})
	if s.State == pluginhost.Running {
		for _, g := range h.now().gateways {
			if g.asLaunched().Launcher == s.Name && launcherFailed(g.engine.Snapshot().State) {
				go g.again()
			}
		}
	}
}

// launcherFailed: the gateway is wanted and in error for no other reason than that its launcher could not be asked.
func launcherFailed(s lifecycle.State) bool {
	return s.Phase == lifecycle.PhaseError && s.Up && s.Err != nil &&
		slices.Contains([]string{string(fault.PluginDown), string(fault.PluginGone)}, s.Err.Code)
}

// again starts a gateway whose launcher is back, as an operator would, instead of letting it wait for its next slow attempt.
func (g *gateway) again() {
	g.watch.command(control.CommandData{Action: string(control.ActionStart), By: "host", Reason: "its launcher is back"})
	o, err := g.engine.Start(context.Background()) // it ends with the engine
	if err != nil || o.Kind == lifecycle.OutcomeFailed {
		g.log.Error("gateway did not start after its launcher came back", "outcome", o.Kind, "error", errorOf(o, err))
	}
}

// peerIsPlugin reports whether a process is one of our plugins, for the control socket.
func (h *Host) peerIsPlugin(pid int) bool {
	return pid != os.Getpid() && slices.Contains(h.plugins.Pids(), pid)
}
