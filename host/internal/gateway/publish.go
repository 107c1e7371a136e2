package gateway

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/control"
)

// slowSpawn is how long a process may take until it accepts a connect; a longer time is logged as a warning (B301).
const slowSpawn = 30 * time.Second

// observer follows the steps of the engine and turns facts into events, metrics and log lines. The engine's owner calls
// it: it does not block.
type observer struct {
	core     *core
	health   *health.Monitor
	lastGood *lastgood.Watcher
}

// Stepped implements engine.Observer.
func (o observer) Stepped(c observe.Change) {
	o.core.launches.follow(c)
	opened, ok := lifecycle.ReportOf[lifecycle.SessionOpened](c.Input)
	// another program may run with any configuration
	if ok && c.After.Session == opened.Session && c.After.Owner() == lifecycle.OwnerOwned {
		o.lastGood.Opened(c.After.Launch)
	}
}

// Observed implements engine.Observer.
func (o observer) Observed(facts []observe.Fact) {
	for _, f := range facts {
		o.publish(f)
	}
}

func (o observer) publish(f observe.Fact) {
	c, m := o.core, o.core.env.Metrics
	switch f := f.(type) {
	case observe.StateChanged:
		if f.From != "" {
			c.log.Debug("state changed", "from", f.From, "to", f.State, "phase", f.Phase, "pid", f.PID)
		}
		f.Port = cmp.Or(f.Port, c.asLaunched().Port)
		c.because(events.GatewayState, f.StateData)
	case observe.ProcessEnded:
		if f.Counted {
			m.Exit(c.name, f.Code, f.Signal, f.Expected)
		}
		c.because(events.GatewayExit, f.ExitData)
	case observe.SessionOpened:
		c.publish(events.GatewaySessionOpened, f.SessionData)
	case observe.SessionLost:
		m.SessionLost(c.name, f.Code)
		c.because(events.GatewaySessionLost, f.SessionData)
	case observe.SessionChanged:
		if f.Closed {
			o.health.Closed(f.Code)
		}
		if f.Opened {
			o.health.Opened()
		}
	case observe.ConditionChanged:
		c.publish(events.GatewayCondition, f.ConditionData)
	case observe.ReconnectChanged:
		o.reconnect(f)
	case observe.Restarted:
		outcome := metrics.Executed
		if f.Suppressed {
			outcome = metrics.Suppressed
		}
		m.Restart(c.name, f.Cause, outcome)
	case observe.StartEnded:
		o.startEnded(f)
	case observe.SlowStage:
		c.log.Warn("a stage of the gateway's start was slow", "stage", f.Name, "took", f.Took)
	}
}

func (o observer) reconnect(f observe.ReconnectChanged) {
	c := o.core
	if f.Outcome == control.ReconnectScheduled {
		what := "the gateway is down; trying again"
		if f.Kind == observe.ByTransport {
			what = "there is no session with the gateway; trying again"
		}
		c.log.Warn(what, "attempt", f.Attempt, "delay", f.Delay, "reason", f.Reason)
		c.env.Metrics.ReconnectDelay(c.name, f.Delay)
	} else {
		c.env.Metrics.Reconnect(c.name, f.Kind, f.Cause, f.Outcome)
	}
	c.publish(events.GatewayReconnect, f.ReconnectData)
}

func (o observer) startEnded(f observe.StartEnded) {
	c, w := o.core, f.Waterfall
	c.env.Metrics.StartEnded(c.name, w, f.SpawnToReady)
	if p := f.Problem; p != nil {
		c.log.Info("the start failed", "code", p.Code, "port", c.asLaunched().Port, "attempt", f.Attempt,
			"launch", c.newestLaunch())
	}
	if f.SpawnToReady >= slowSpawn {
		c.log.Warn("the gateway was slow to become ready", "took", f.SpawnToReady.Round(time.Millisecond))
	}
}

// plugins returns the state of all plugins of the host, for the record.
func (c *core) plugins() []observe.Plugin {
	var out []observe.Plugin
	for _, p := range c.env.Plugins.Plugins() {
		one := observe.Plugin{
			Name: p.Name, Since: p.Since, Running: p.State == pluginhost.Running,
			FirstStart: p.State == pluginhost.Starting && p.Restarts == 0 && p.Err == nil,
		}
		if p.Err != nil {
			one.Problem = p.Err.Error()
		}
		out = append(out, one)
	}
	return out
}

// received publishes an event that the gateway sent by itself (B172 to B179), which is clean.
func (o observer) received(e session.Event) {
	kind := e.Kind()
	if kind == session.KindTick {
		return
	}
	if e.Name == "config.changed" { // the running gateway applied a new configuration
		o.lastGood.Look()
	}
	o.core.publish(events.Type(kind), sentEvent{bounded(e.Name, e.Payload)})
}

// Bounds of what a gateway sends by itself, as it is kept.
const (
	maxPayload   = 64 << 10
	maxEventName = 256
)

// sentEvent is the data of an event that the gateway sent.
type sentEvent struct{ control.GatewayEventData }

// EventSize implements events.Sized.
func (e sentEvent) EventSize() int { return len(e.Event) + len(e.Payload) }

// bounded cuts what is larger than it may be. A payload that was cut is a string: the beginning of its text. Its
// secrets are redacted already, so that the cut cannot part one.
func bounded(name string, payload json.RawMessage) control.GatewayEventData {
	out := control.GatewayEventData{Event: name, Payload: payload}
	if len(name) > maxEventName {
		out.Event, out.Cut = strings.ToValidUTF8(name[:maxEventName], ""), true
	}
	if len(payload) <= maxPayload {
		return out
	}
	out.Cut, out.Bytes = true, len(payload)
	for n := maxPayload; ; n /= 2 { // quotes take two bytes each in a string
		quoted, err := json.Marshal(strings.ToValidUTF8(string(payload[:n]), ""))
		if err == nil && len(quoted) <= maxPayload {
			out.Payload = quoted
			return out
		}
	}
}
