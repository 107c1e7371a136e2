package host

import (
	"cmp"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/control"
)

// observer turns what happens to one gateway into events. It is told by the engine's owner, the session's reader and the
// pipeline's worker; it never blocks them.
type observer struct {
	g *gateway

	mu    sync.Mutex // guards since
	since time.Time  // of the present start or stop, for elapsed times
	cause uint64     // cursor of the newest event about the state; what follows is caused by it
}

func newObserver(g *gateway) *observer { return &observer{g: g} }

func (o *observer) publish(t events.Type, data any) uint64 {
	o.mu.Lock()
	cause := o.cause
	o.mu.Unlock()
	return o.g.host.hub.Publish(events.Event{Gateway: o.g.name, Type: t, Cause: cause, Data: data})
}

// because publishes what causes what follows.
func (o *observer) because(t events.Type, data any) {
	cursor := o.publish(t, data)
	o.mu.Lock()
	o.cause = cursor
	o.mu.Unlock()
}

// command is told before a command is given to the engine.
func (o *observer) command(c control.CommandData) { o.because(events.GatewayCommand, c) }

// Stepped implements engine.Observer.
func (o *observer) Stepped(c engine.Change) {
	before, after := c.Before, c.After
	if after.LastExit != nil && after.LastExit != before.LastExit {
		o.exit(before, after)
	}
	o.sessionChange(c)
	o.g.keeper.stepped(c)
	o.conditions(before, after)
	if before.Phase == after.Phase && before.Public() == after.Public() {
		return
	}
	if after.Phase == lifecycle.PhaseBackoff {
		o.reconnect(c)
	}
	o.state(c)
}

func (o *observer) state(c engine.Change) {
	before, after := c.Before, c.After
	o.mu.Lock()
	if before.Public() == lifecycle.Stopped || after.Public() == lifecycle.Stopping && before.Public() != lifecycle.Stopping || o.since.IsZero() {
		o.since = c.At
	}
	elapsed := c.At.Sub(o.since)
	o.mu.Unlock()
	if c.Waterfall.Outcome != "" && after.Public() != lifecycle.Stopped && after.Public() != lifecycle.Stopping {
		elapsed = c.Waterfall.Total
	} else if !c.Waterfall.StartedAt.IsZero() && c.Waterfall.Outcome == "" {
		elapsed = c.At.Sub(c.Waterfall.StartedAt)
	}
	data := control.StateData{
		State: string(after.Public()), Phase: string(after.Phase), ElapsedMs: control.Ms(elapsed), Attempt: after.Attempt,
		PID: after.Process.PID, Port: cmp.Or(after.Process.Port, o.g.cfg.Port), Owner: string(after.Owner()), Adopted: after.Adopted, Error: failure(after.Err),
		LaunchID: string(after.Launch),
	}
	if c.Waterfall.Outcome != "" && c.Ended {
		data.Start = startOf(c.Waterfall)
	}
	if before.Public() != after.Public() {
		data.From = string(before.Public())
		o.g.log.Debug("state changed", "from", before.Public(), "to", after.Public(), "phase", after.Phase, "pid", after.Process.PID)
	}
	if after.Err == nil {
		data.Detail = after.Cause.Message
	}
	if after.Hello != nil {
		data.Version = after.Hello.Version
	}
	o.because(events.GatewayState, data)
}

func (o *observer) exit(before, after lifecycle.State) {
	data := control.ExitData{
		Exit: exitOf(after.LastExit, o.g.engine.Snapshot().Tail(20)), LaunchID: string(before.Launch), PID: before.Process.PID,
		Expected: before.Phase == lifecycle.PhaseClearing,
	}
	o.because(events.GatewayExit, data)
}

func (o *observer) sessionChange(c engine.Change) {
	if in, ok := c.Input.(lifecycle.SessionOpened); ok && c.After.Session == in.Session {
		o.publish(events.GatewaySessionOpened, control.SessionData{
			Protocol: in.Hello.Protocol, ConnID: in.Hello.ConnID, BootID: in.Hello.BootID, Version: in.Hello.Version,
		})
	}
	if in, ok := c.Input.(lifecycle.SessionClosed); ok && c.Before.Session == in.Session {
		o.because(events.GatewaySessionLost, control.SessionData{Code: in.Code})
	}
}

func (o *observer) conditions(before, after lifecycle.State) {
	for _, c := range after.Conditions {
		if !hasCondition(before, c.Code) {
			o.publish(events.GatewayCondition, control.ConditionData{Condition: conditionOf(c), Active: true})
		}
	}
	for _, c := range before.Conditions {
		if !hasCondition(after, c.Code) {
			o.publish(events.GatewayCondition, control.ConditionData{Condition: conditionOf(c)})
		}
	}
}

func hasCondition(s lifecycle.State, code string) bool {
	for _, c := range s.Conditions {
		if c.Code == code {
			return true
		}
	}
	return false
}

func (o *observer) reconnect(c engine.Change) {
	for _, e := range c.Effects {
		if t, ok := e.(lifecycle.SetTimer); ok {
			o.g.log.Warn("the gateway is down; trying again", "attempt", c.After.Reconnects, "delay", t.After, "reason", c.After.Cause.Message)
			o.publish(events.GatewayReconnect, control.ReconnectData{Attempt: c.After.Reconnects, DelayMs: control.Ms(t.After)})
		}
	}
}

// gatewayEvent is what the gateway sent by itself (B172 to B179).
func (o *observer) gatewayEvent(e session.Event) {
	kind := e.Kind()
	if kind == session.KindTick {
		return
	}
	if e.Name == "config.changed" { // it took a new configuration while it runs
		o.g.keeper.look()
	}
	payload := e.Payload
	if len(payload) > 0 {
		payload = frame.Redact(payload)
	}
	o.publish(events.Type(kind), control.GatewayEventData{Event: e.Name, Payload: payload})
}
