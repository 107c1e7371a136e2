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
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/unloader"
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
	Secrets *redact.Known // every secret that the host has read; gateways teach it theirs
	// Device returns this host's identity towards gateways; nil when it has none.
	Device func() *session.Device
	// LaunchOver is called when nothing of a launch is left, with the plugin that held it; "" when that is not known. It
	// must not block.
	LaunchOver func(launcher string)
}

// core is what all parts of one gateway share: its name, its settings, what it was launched with, and how its events
// are published. The parts know the core and not each other; New puts them together.
type core struct {
	name string
	env  Env
	log  hclog.Logger

	settings   atomic.Pointer[Settings]
	launches   launchTable
	lastLaunch atomic.Pointer[string] // the newest launch in words, without secrets
	cause      atomic.Uint64          // cursor of the newest event about the state: the cause of those that follow

	unused atomic.Pointer[lifecycle.Condition] // the token of config.toml is not used; nil: it is

	engine   *engine.Engine                        // set by New, after the ports that need it
	unloader func(plugin string) unloader.Unloader // the plugin of that name
}

// Settings returns the settings in force.
func (c *core) Settings() Settings { return *c.settings.Load() }

// conf returns the gateway's part of the configuration in force.
func (c *core) conf() *config.Gateway { return c.settings.Load().Gateway }

// State returns the state after the last step.
func (c *core) State() lifecycle.State { return c.engine.Snapshot().State }

// publish publishes an event, with the newest event about the state as its cause.
func (c *core) publish(t events.Type, data any) uint64 {
	return c.env.Hub.Publish(events.Event{Gateway: c.name, Type: t, Cause: c.cause.Load(), Data: data})
}

// because publishes an event that is the cause of those that follow.
func (c *core) because(t events.Type, data any) { c.cause.Store(c.publish(t, data)) }

// Commanded publishes a command. Call it before the command is given to the engine.
func (c *core) Commanded(d control.CommandData) { c.because(events.GatewayCommand, d) }
