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
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/control"
)

// observer turns what happens to one gateway into events. It is told by the engine's owner, the session's reader and the
// pipeline's worker; it never blocks them.
type observer struct {
	g *gateway

	mu    sync.Mutex // guards all below
	since time.Time  // of the present start or stop, for elapsed times
	cause uint64     // cursor of the newest event about the state; what follows is caused by it
	ended lastEnd
}

// lastEnd is the last exit that was told, with the lines that came last before it: those of the next launch are others (B297).
type lastEnd struct {
	launch lifecycle.LaunchID
	exit   *lifecycle.Exit
	tail   []string
}

// crashLines is how many lines are kept of a process that ended.
const crashLines = 20

func newObserver(g *gateway) *observer { return &observer{g: g} }

func (o *observer) publish(t events.Type, data any) uint64 {
	if done, ok := data.(*control.DoctorResult); ok && t == events.GatewayDoctorFinished {
		o.g.host.metrics.Repair(o.g.name, done.Outcome)
	}
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
	o.g.launches.follow(c)
	o.g.trace.follow(c)
	o.g.count(c)
	if after.LastExit != nil && after.LastExit != before.LastExit {
		o.exit(before, after, c.At)
	}
	o.sessionChange(c)
	o.g.keeper.stepped(c)
	o.conditions(before, after)
	o.reconnect(c)
	if before.Phase != after.Phase || before.Public() != after.Public() {
		o.state(c)
	}
	o.g.attend(c)
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
		PID: after.Process.PID, Port: cmp.Or(after.Process.Port, o.g.asLaunched().Port), Owner: string(after.Owner()), Adopted: after.Adopted, Error: failure(after.Err),
		LaunchID: string(after.Launch),
	}
	if c.Waterfall.Outcome != "" && c.Ended {
		data.Start = o.g.startOf(c.Waterfall, after)
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

func (o *observer) exit(before, after lifecycle.State, now time.Time) {
	o.mu.Lock()
	same := before.Launch != "" && before.Launch == o.ended.launch // the watch tells of it, and so does the stop
	known := same && o.ended.exit.Known
	if !same {
		o.ended.tail = o.g.engine.Snapshot().Tail(crashLines)
	}
	o.ended.launch, o.ended.exit = before.Launch, after.LastExit
	tail := o.ended.tail
	o.mu.Unlock()
	if same && (known || !after.LastExit.Known) {
		return
	}
	data := control.ExitData{
		Exit: exitOf(after.LastExit, tail), LaunchID: string(before.Launch), PID: before.Process.PID,
		Expected: before.Phase == lifecycle.PhaseClearing || before.Phase == lifecycle.PhaseDraining,
	}
	if before.Launch != "" && !same { // one that an earlier host left is not of our time
		o.g.host.metrics.Exit(o.g.name, data.Code, data.Signal, data.Expected)
		o.g.ends.take(after.LastExit, now)
	}
	o.because(events.GatewayExit, data)
}

// tailOf is the last lines of the process that ended so; nil when it was not told yet.
func (o *observer) tailOf(x *lifecycle.Exit) ([]string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended.tail, o.ended.exit == x
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

// reconnect tells of automatic attempts: when one is scheduled, and how it ended.
func (o *observer) reconnect(c engine.Change) {
	for _, d := range o.g.tries.follow(c, o.g.conf().Reconnect.Attempts) {
		if d.Outcome == control.ReconnectScheduled {
			delay := time.Duration(*d.DelayMs) * time.Millisecond
			what := "the gateway is down; trying again"
			if d.Kind == byTransport {
				what = "there is no session with the gateway; trying again"
			}
			o.g.log.Warn(what, "attempt", d.Attempt, "delay", delay, "reason", c.After.Cause.Message)
			o.g.host.metrics.ReconnectDelay(o.g.name, delay)
		} else {
			o.g.host.metrics.Reconnect(o.g.name, d.Kind, d.Cause, d.Outcome)
		}
		o.publish(events.GatewayReconnect, d)
	}
}

// gatewayEvent publishes an event that the gateway sent (B172 to B179), with the secrets in it hidden.
func (o *observer) gatewayEvent(e session.Event, redactor *redact.Redactor) {
	kind := e.Kind()
	if kind == session.KindTick {
		return
	}
	if e.Name == "config.changed" { // it took a new configuration while it runs
		o.g.keeper.look()
	}
	payload := e.Payload
	if len(payload) > 0 {
		payload = frame.Redact(payload, redactor)
	}
	o.publish(events.Type(kind), control.GatewayEventData{Event: e.Name, Payload: payload})
}
