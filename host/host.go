package host

import (
	"context"
	"errors"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"

	"github.com/gatehost/gatehost/host/internal/api"
	"github.com/gatehost/gatehost/host/internal/conditions"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/pluginspec"
	"github.com/gatehost/gatehost/host/internal/registry"
	"github.com/gatehost/gatehost/host/internal/reload"
	"github.com/gatehost/gatehost/host/internal/sdnotify"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/internal/version"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Host supervises the gateways of one configuration. Use New, then Run once.
type Host struct {
	log        hclog.Logger
	version    string
	registry   *registry.Registry
	turn       *reload.Turn
	hub        *events.Hub
	metrics    *metrics.Recorder
	conditions *conditions.Set
	secrets    *redact.Known
	started    time.Time
	manager    *sdnotify.Notifier
	watchdog   time.Duration // within which the service manager wants to hear that all works; 0: it does not

	// Run sets these before anything uses them, and does not change them later.
	store   *store.Store
	journal *journal.Journal
	plugins *pluginhost.Host
	reload  *reload.Reloader
	api     *api.Service
	begin   func(*gateway.Gateway) // makes its engine run

	dropped func() uint64 // counts lines that the log could not write

	unstopped error // of the actor of the engines: which gateways live on although they should not

	kill     chan struct{} // closed by Kill
	killOnce sync.Once
}

// New makes a host that does nothing until Run.
func New(cfg *Config, log hclog.Logger) *Host {
	h := &Host{
		log: log, version: version.Version(), registry: registry.New(cfg), turn: reload.NewTurn(),
		hub: events.NewHub(events.Options{}), secrets: &redact.Known{}, started: time.Now(), kill: make(chan struct{}),
		dropped: func() uint64 { return 0 },
	}
	h.conditions = conditions.New(func(c control.ConditionData) {
		h.hub.Publish(events.Event{Type: events.HostCondition, Data: c})
	})
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "warning", w.String())
	}
	h.manager, h.watchdog = sdnotify.New(log)
	h.metrics = metrics.New(func() metrics.Snapshot { return h.api.Scrape() })
	return h
}

// CountDropped gives the host a function that counts the lines that its log could not write; status and metrics show
// the number. Call it before Run. The function is called from any goroutine.
func (h *Host) CountDropped(lines func() uint64) { h.dropped = lines }

// Run supervises the gateways until ctx is done, then stops everything in order: gateways, plugins, the control socket.
// Kill makes it end the gateways without their grace. Errors: another host uses the state directory, the control socket
// cannot be opened, or a gateway could not be stopped.
//
// run.Group interrupts all actors at once and does not wait for one before the next. So Run makes the order itself: an
// actor that the engines need ends only when enginesDone is closed, whichever actor ends first.
func (h *Host) Run(ctx context.Context) error {
	st, err := store.Open(h.registry.Config().StateDir)
	if err != nil {
		return err
	}
	h.store = st
	defer func() { _ = st.Close() }()
	h.openJournal()
	runtimeDir, moved, err := h.registry.Config().RuntimeDir()
	if err != nil {
		return err
	}
	if moved != nil {
		h.conditions.Set(control.Condition{
			Code: "runtime-directory-moved", Message: "sockets are in " + runtimeDir + ": " + moved.Error(),
			Hint: "gatehost finds them there; to choose the place, set runtime_dir in config.toml to a directory of your own",
		}, true)
	}
	if err := h.assemble(runtimeDir); err != nil { //nolint:contextcheck // its callbacks have contexts of their own
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
	h.addServiceManager(ctx, &g, enginesDone)
	h.hub.Publish(events.Event{Type: events.HostStarted})
	err = g.Run()
	h.hub.Close()
	return errors.Join(err, h.unstopped, h.journal.Close())
}

// sweepAfter is the time after which no plugin of an earlier host can still be about to launch: plugins end with their
// host.
const sweepAfter = 30 * time.Second

// sweep deletes launch records that a host prepared and did not use, because it was killed before it launched.
func (h *Host) sweep() {
	n, err := h.store.SweepLaunches(h.started)
	switch {
	case err != nil:
		h.log.Warn("could not delete launch records that were never started", "error", err)
	case n > 0:
		h.log.Info("deleted launch records that an earlier host had prepared and never started", "number", n)
	}
}

// assemble makes the parts of the host and connects them; nothing runs yet. It is the only composition root.
func (h *Host) assemble(runtimeDir string) error {
	cfg := h.registry.Config()
	h.plugins = pluginhost.New(pluginhost.Options{
		Log: h.log, Version: h.version, PluginDir: cfg.PluginDir, DataDir: h.store.PluginDir(), RunDir: h.store.RunDir(),
		RuntimeDir: runtimeDir, Secrets: h.secrets, OnState: h.pluginChanged, OnCall: h.pluginCalled,
	})
	env := gateway.Env{
		Version: h.version, Log: h.log, Store: h.store, Journal: h.journal, Hub: h.hub, Metrics: h.metrics,
		Plugins: h.plugins, Secrets: h.secrets, Device: sync.OnceValue(h.device),
		LaunchOver: func(launcher string) { h.reload.LaunchOver(launcher) },
	}
	newGateway := func(s gateway.Settings) (*gateway.Gateway, error) { return gateway.New(env, s) }
	h.reload = reload.New(reload.Options{
		Registry: h.registry, Plugins: h.plugins, Turn: h.turn, Conditions: h.conditions, Log: h.log,
		Publish: func(e events.Event) { h.hub.Publish(e) }, New: newGateway, Begin: func(g *gateway.Gateway) { h.begin(g) },
	})
	h.api = api.New(api.Options{
		Version: h.version, Started: h.started, Log: h.log, Registry: h.registry, Plugins: h.plugins,
		Conditions: h.conditions, Hub: h.hub, Journal: h.journal, Metrics: h.metrics, LogDropped: h.dropped,
	})
	next := &registry.Set{Config: cfg, Gateways: map[string]*gateway.Gateway{}, Sandboxes: map[string]control.Sandbox{}}
	for _, name := range cfg.UsedPlugins() {
		spec, sandbox, err := pluginspec.Of(cfg, name, nil)
		if err != nil {
			return err
		}
		if err := h.plugins.Add(spec); err != nil {
			return err
		}
		next.Sandboxes[name] = sandbox
	}
	for _, name := range cfg.GatewayNames() {
		g, err := newGateway(gateway.SettingsOf(cfg, name))
		if err != nil {
			return err
		}
		next.Gateways[name] = g
	}
	h.registry.Replace(next)
	return nil
}

// addLifetime adds the actor that ends the group when the host has to end.
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

// addPlugins adds the actor that runs the plugins. They end after the engines: the last effect of an engine may call a
// plugin.
func (h *Host) addPlugins(ctx context.Context, g *run.Group, enginesDone <-chan struct{}) {
	g.Add(func() error {
		h.plugins.Start(ctx)
		<-enginesDone
		h.plugins.Close()
		return nil
	}, func(error) {}) // see enginesDone
}

// addEngines adds the actor that runs the engines. When it is interrupted, it stops every gateway that does not outlive
// the host, and only then ends the engines.
func (h *Host) addEngines(ctx context.Context, g *run.Group, enginesDone chan<- struct{}) {
	// the end of ctx begins an orderly stop, it does not end the engines
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopping := make(chan struct{})
	var engines sync.WaitGroup
	h.begin = func(g *gateway.Gateway) { g.Begin(ctx, &engines) }
	g.Add(func() error {
		defer close(enginesDone)
		defer cancel()
		for _, gw := range h.registry.Now().Ordered() {
			h.begin(gw)
		}
		go h.registry.Autostart(ctx)
		h.turn.Open()
		h.manager.Ready()
		<-stopping
		defer h.stoppingUntil(ctx)()
		h.turn.Close()
		h.hub.Publish(events.Event{Type: events.HostStopping})
		h.api.Drain(h.kill)
		h.unstopped = h.registry.StopAll(ctx, h.kill)
		cancel()
		engines.Wait()
		return nil
	}, func(error) { close(stopping) })
}

// addControl adds the actor that serves the control API. It ends after the engines, so that a client that follows a
// stop sees its end.
func (h *Host) addControl(ctx context.Context, g *run.Group, enginesDone <-chan struct{}) error {
	l, err := httpapi.ListenLasting(httpapi.Lasting{ //nolint:contextcheck // it bounds its own dial
		Path: func() (string, error) {
			cfg := h.registry.Config()
			if _, _, err := cfg.RuntimeDir(); err != nil { // plugins and shims need it, also with a control.socket elsewhere
				return "", err
			}
			return cfg.SocketPath()
		},
		Bound: h.announce, Log: h.log,
	})
	if err != nil {
		return err
	}
	server := h.api.Server(h, h.isPlugin)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.Add(func() error {
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, l) }()
		select {
		case err := <-served:
			return err
		case <-enginesDone:
			cancel()
			return <-served
		}
	}, func(error) {}) // see enginesDone
	return nil
}

// announce writes into the lock of the state directory where the host is, so that clients find it from any
// XDG_RUNTIME_DIR.
func (h *Host) announce(socket string) {
	h.log.Info("control socket is open", "path", socket)
	began, err := process.StartTime(os.Getpid())
	if err == nil {
		err = h.store.Announce(store.Holder{PID: os.Getpid(), Socket: socket, StartTime: began})
	}
	if err != nil {
		h.log.Warn("clients with another XDG_RUNTIME_DIR will not find this host", "error", err)
	}
}

// Reload reads the configuration file again and puts it in force; see reload.Reloader. It fails while the host starts
// or stops. It is safe for concurrent use.
func (h *Host) Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error) {
	ctx, leave, err := h.turn.Enter(ctx)
	if err != nil {
		h.log.Warn("configuration was not reloaded", "reason", err)
		return control.Reload{}, err
	}
	defer leave()
	h.manager.Reloading()
	defer h.manager.Ready()
	return h.reload.Reload(ctx, req)
}

// Kill makes Run end at once: it kills gateways without their grace. It is safe for concurrent use, also before Run.
func (h *Host) Kill() { h.killOnce.Do(func() { close(h.kill) }) }

// Events yields the events that the hub still has after a cursor, and then new ones, until the host ends or ctx is
// done. It is for the process that runs the host; other programs use the control API.
func (h *Host) Events(ctx context.Context, after uint64) iter.Seq[control.Event] {
	return httpapi.Follow(ctx, h.hub, after)
}

// device loads this host's identity towards gateways. Without one, a session has fewer scopes on old releases of
// OpenClaw (B028).
func (h *Host) device() *session.Device {
	d, err := session.LoadDevice(h.store.DeviceFile())
	if err != nil {
		h.log.Warn(
			"cannot load the device identity; without it, older releases of OpenClaw grant no scopes (docs/compatibility.md)",
			"error", err,
		)
		return nil
	}
	return d
}
