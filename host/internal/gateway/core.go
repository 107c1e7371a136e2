package gateway

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/shared/control"
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

// core is what all parts of one gateway share: what it is called, what holds for it, what it was launched with, and how its events are published.
// The parts know the core and not each other; package gateway puts them together in New.
type core struct {
	name string
	env  Env
	log  hclog.Logger

	settings   atomic.Pointer[Settings]
	launches   launchTable
	lastLaunch atomic.Pointer[string] // the newest launch in words, without secrets
	cause      atomic.Uint64          // cursor of the newest event about the state; what follows is caused by it

	engine *engine.Engine // set by New, after the ports that need it
}

// Settings is what holds now.
func (c *core) Settings() Settings { return *c.settings.Load() }

// conf is the gateway's part of the configuration that holds now.
func (c *core) conf() *config.Gateway { return c.settings.Load().Gateway }

// State is the state after the last step.
func (c *core) State() lifecycle.State { return c.engine.Snapshot().State }

// publish makes an event of what happened, caused by the newest event about the state.
func (c *core) publish(t events.Type, data any) uint64 {
	return c.env.Hub.Publish(events.Event{Gateway: c.name, Type: t, Cause: c.cause.Load(), Data: data})
}

// because publishes what causes what follows.
func (c *core) because(t events.Type, data any) { c.cause.Store(c.publish(t, data)) }

// Commanded publishes a command; it is called before the command is given to the engine.
func (c *core) Commanded(d control.CommandData) { c.because(events.GatewayCommand, d) }
