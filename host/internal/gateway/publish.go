package gateway

import (
	"cmp"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/control"
)

// slowSpawn is how long a process may take until it accepts a connect before that is worth a warning (B301).
const slowSpawn = 30 * time.Second

// publish makes an event of what happened, caused by the newest event about the state.
func (g *Gateway) publish(t events.Type, data any) uint64 {
	return g.env.Hub.Publish(events.Event{Gateway: g.name, Type: t, Cause: g.cause.Load(), Data: data})
}

// because publishes what causes what follows.
func (g *Gateway) because(t events.Type, data any) { g.cause.Store(g.publish(t, data)) }

// Commanded publishes a command; it is called before the command is given to the engine.
func (g *Gateway) Commanded(c control.CommandData) { g.because(events.GatewayCommand, c) }

// observer follows the steps of the engine and turns facts into events, metrics and log lines. The engine's owner calls it: it does not block.
type observer struct{ g *Gateway }

// Stepped implements engine.Observer.
func (o observer) Stepped(c observe.Change) {
	o.g.launches.follow(c)
	opened, ok := lifecycle.ReportOf[lifecycle.SessionOpened](c.Input)
	if ok && c.After.Session == opened.Session && c.After.Owner() == lifecycle.OwnerOwned { // any other may have any configuration
		o.g.lastGood.Opened(c.After.Launch)
	}
}

// Observed implements engine.Observer.
func (o observer) Observed(facts []observe.Fact) {
	for _, f := range facts {
		o.publish(f)
	}
}

func (o observer) publish(f observe.Fact) {
	g, m := o.g, o.g.env.Metrics
	switch f := f.(type) {
	case observe.StateChanged:
		if f.From != "" {
			g.log.Debug("state changed", "from", f.From, "to", f.State, "phase", f.Phase, "pid", f.PID)
		}
		f.Port = cmp.Or(f.Port, g.asLaunched().Port)
		g.because(events.GatewayState, f.StateData)
	case observe.ProcessEnded:
		if f.Counted {
			m.Exit(g.name, f.Code, f.Signal, f.Expected)
		}
		g.because(events.GatewayExit, f.ExitData)
	case observe.SessionOpened:
		g.publish(events.GatewaySessionOpened, f.SessionData)
	case observe.SessionLost:
		m.SessionLost(g.name, f.Code)
		g.because(events.GatewaySessionLost, f.SessionData)
	case observe.SessionChanged:
		if f.Closed {
			g.health.Closed(f.Code)
		}
		if f.Opened {
			g.health.Opened()
		}
	case observe.ConditionChanged:
		g.publish(events.GatewayCondition, f.ConditionData)
	case observe.ReconnectChanged:
		o.reconnect(f)
	case observe.Restarted:
		outcome := metrics.Executed
		if f.Suppressed {
			outcome = metrics.Suppressed
		}
		m.Restart(g.name, f.Cause, outcome)
	case observe.StartEnded:
		o.startEnded(f)
	case observe.SlowStage:
		g.log.Warn("a stage of the gateway's start was slow", "stage", f.Name, "took", f.Took)
	}
}

func (o observer) reconnect(f observe.ReconnectChanged) {
	g := o.g
	if f.Outcome == control.ReconnectScheduled {
		what := "the gateway is down; trying again"
		if f.Kind == observe.ByTransport {
			what = "there is no session with the gateway; trying again"
		}
		g.log.Warn(what, "attempt", f.Attempt, "delay", f.Delay, "reason", f.Reason)
		g.env.Metrics.ReconnectDelay(g.name, f.Delay)
	} else {
		g.env.Metrics.Reconnect(g.name, f.Kind, f.Cause, f.Outcome)
	}
	g.publish(events.GatewayReconnect, f.ReconnectData)
}

func (o observer) startEnded(f observe.StartEnded) {
	g, w := o.g, f.Waterfall
	g.env.Metrics.StartEnded(g.name, w, f.SpawnToReady)
	if p := f.Problem; p != nil {
		g.log.Info("the start failed", "code", p.Code, "port", g.asLaunched().Port, "attempt", f.Attempt, "launch", g.newestLaunch())
	}
	if f.SpawnToReady >= slowSpawn {
		g.log.Warn("the gateway was slow to become ready", "took", f.SpawnToReady.Round(time.Millisecond))
	}
}

// plugins is how all plugins of the host are now, for the record.
func (g *Gateway) plugins() []observe.Plugin {
	var out []observe.Plugin
	for _, p := range g.env.Plugins.Plugins() {
		one := observe.Plugin{
			Name: p.Name, State: p.State, Since: p.Since, Running: p.State == pluginhost.Running,
			Begins: p.State == pluginhost.Starting && p.Restarts == 0 && p.Err == nil,
		}
		if p.Err != nil {
			one.Problem = p.Err.Error()
		}
		out = append(out, one)
	}
	return out
}

// received publishes an event that the gateway sent by itself (B172 to B179), with the secrets in it hidden.
func (g *Gateway) received(e session.Event, redactor *redact.Redactor) {
	kind := e.Kind()
	if kind == session.KindTick {
		return
	}
	if e.Name == "config.changed" { // it took a new configuration while it runs
		g.lastGood.Look()
	}
	payload := e.Payload
	if len(payload) > 0 {
		payload = frame.Redact(payload, redactor)
	}
	g.publish(events.Type(kind), control.GatewayEventData{Event: e.Name, Payload: payload})
}
