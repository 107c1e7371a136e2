package host

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Status is everything that is known now.
func (h *Host) Status() control.Status {
	cfg := h.config()
	s := control.Status{Host: control.HostStatus{
		Version: h.version, PID: os.Getpid(), StartedAt: control.At(h.started), Config: cfg.Path, StateDir: cfg.StateDir,
		Conditions: h.conditions.list(),
	}}
	for _, g := range h.ordered() {
		s.Gateways = append(s.Gateways, g.status())
	}
	s.Plugins = h.pluginStatus()
	return s
}

func (h *Host) pluginStatus() []control.Plugin {
	var out []control.Plugin
	now := h.now()
	for _, p := range h.plugins.Plugins() {
		spec, err := h.plugins.Spec(p.Name)
		if err != nil {
			continue // it went this moment
		}
		one := pluginOf(p, spec.Path)
		if told, ok := now.sandboxes[p.Name]; ok {
			one.Sandbox = &told
		}
		one.RSSBytes = h.plugins.RSS(p.Name)
		if table := now.cfg.Plugins[p.Name]; table != nil { // it is not in force before it has been tried
			trust(&one, p, table)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b control.Plugin) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func pluginOf(p pluginhost.State, path string) control.Plugin {
	out := control.Plugin{
		Name: p.Name, Version: p.Version, PID: p.PID, State: p.State, Restarts: p.Restarts, Path: path,
	}
	for _, s := range p.Services {
		if s.Version > 0 {
			out.Services = append(out.Services, string(s.Kind))
		}
		out.Negotiated = append(out.Negotiated, negotiatedOf(s))
	}
	out.UnknownKinds = p.UnknownKinds
	if p.Err != nil {
		out.Error = failureOf(p.Err)
	}
	return out
}

func negotiatedOf(s pluginhost.Service) control.Negotiated {
	out := control.Negotiated{Service: string(s.Kind), Version: s.Version, Host: control.Versions(s.Host)}
	for _, v := range s.Plugin {
		out.Plugin = append(out.Plugin, control.Versions(v))
	}
	if s.Err != nil {
		out.Error = failureOf(s.Err)
	}
	return out
}

// status is the gateway's state in the API's words. Uptime is computed now, not when something was last written (B008).
func (g *gateway) status() control.Gateway {
	snap := g.engine.Snapshot()
	s, cfg, launched := snap.State, g.conf(), g.asLaunched()
	out := control.Gateway{
		Name: g.name, State: string(s.Public()), Phase: string(s.Phase), Ready: g.ready(s), Owner: string(s.Owner()),
		LaunchID: string(s.Launch), PID: s.Process.PID, Port: cmp.Or(s.Process.Port, launched.Port), ConnectedAt: control.At(s.ConnectedAt),
		ReconnectAttempts: attemptsAt(s, cfg.Reconnect.StableAfter, time.Now()), Restarts: s.Restarts, Adopted: s.Adopted, Drift: s.Drift, Error: failure(s.Err),
		Output: g.outputStatus(), Launcher: launched.Launcher, Doctors: cfg.Doctors, Classifiers: cfg.Classifiers, Unload: cfg.Unload,
	}
	if since := uptimeFrom(s); !since.IsZero() {
		out.UptimeMs = control.Ms(time.Since(since))
	}
	if s.Hello != nil {
		out.Version, out.BootID = s.Hello.Version, s.Hello.BootID
	}
	for _, c := range s.Conditions {
		out.Conditions = append(out.Conditions, conditionOf(c))
	}
	out.Conditions = append(out.Conditions, g.conditionsNow(s)...)
	if s.LastExit != nil {
		tail, told := g.watch.tailOf(s.LastExit)
		if !told {
			tail = snap.Tail(crashLines)
		}
		x := exitOf(s.LastExit, tail)
		out.LastExit = &x
	}
	if open, ok := g.engine.Session(); ok {
		st := open.Stats()
		out.Session = &control.Session{
			Protocol: st.Protocol, ConnID: st.ConnID, Scopes: st.Scopes, LastFrameAt: control.At(st.LastFrameAt),
			MissedPongs: st.MissedPongs, MissedTicks: st.MissedTicks, BadFrames: st.BadFrames,
		}
		if st.RTT > 0 {
			out.Session.RTTMs = control.Ms(st.RTT)
		}
	}
	out.Liveness = livenessOf(s, cfg.Liveness.Silence)
	if w := snap.Waterfall; !w.StartedAt.IsZero() {
		out.LastStart = g.startOf(w, s)
	}
	out.Reconnect, out.Health = g.tries.status(), g.healthStatus(s)
	return out
}

func livenessOf(s lifecycle.State, silence time.Duration) *control.Liveness {
	if s.LastAlive.IsZero() {
		return nil
	}
	out := &control.Liveness{LastAliveAt: control.At(s.LastAlive)}
	if s.Session != 0 {
		out.DeadlineAt = control.At(s.LastAlive.Add(silence))
	}
	if v := s.LastVerify; v != nil {
		out.VerifiedAt, out.Result = control.At(v.At), "alive"
		if !v.Alive {
			out.Result = string(v.Why)
		}
	}
	return out
}

// conditionsNow are those that follow from the moment instead of from what happened.
func (g *gateway) conditionsNow(s lifecycle.State) []control.Condition {
	var out []control.Condition
	cfg := g.conf()
	if s.Phase == lifecycle.PhaseVerifying {
		out = append(out, control.Condition{
			Code: "silent", Since: control.At(s.LastAlive), Message: "nothing has come from the gateway; one call decides whether it is alive",
		})
	}
	if open, ok := g.engine.Session(); ok {
		if st := open.Stats(); st.Unanswered >= 2 {
			out = append(out, control.Condition{
				Code: "unresponsive", Since: control.At(st.LastFrameAt),
				Message: fmt.Sprintf("%d pings in a row had no answer within %v", st.Unanswered, cfg.Liveness.PongTimeout),
				Hint:    fmt.Sprintf("a busy gateway answers later; after %v without a sign of life one call decides", cfg.Liveness.Silence),
			})
		}
	}
	if c, shown := g.refused.condition(string(s.Launch), time.Now()); shown {
		out = append(out, c)
	}
	used := slices.Concat([]string{cfg.Launcher, g.asLaunched().Launcher}, cfg.Unload, cfg.Doctors, cfg.Classifiers)
	for _, p := range g.host.plugins.Plugins() {
		if p.State == pluginhost.Running || !slices.Contains(used, p.Name) {
			continue
		}
		c := control.Condition{
			Code: "plugin-down", Since: control.At(p.Since), Message: fmt.Sprintf("plugin %s is %s", p.Name, p.State),
			Hint: "the gateway runs on; see `gatehost plugin info " + p.Name + "`",
		}
		if p.Err != nil {
			c.Message += ": " + p.Err.Error()
		}
		out = append(out, c)
	}
	return out
}

// startOf is a start in the API's words, with what the gateway itself told of it.
func (g *gateway) startOf(w engine.Waterfall, s lifecycle.State) *control.Start {
	start := &control.Start{Outcome: w.Outcome, Trace: g.trace.summary()}
	if spawn, connect := milestones(w, s); spawn > 0 {
		start.SpawnToReadyMs, start.ReadyToConnectMs = control.Ms(spawn), control.Ms(connect)
	}
	if w.Outcome != "" {
		start.TotalMs = control.Ms(w.Total)
	}
	for _, st := range w.Stages {
		stage := control.Stage{Name: st.Name, StartMs: st.Start.Milliseconds(), Detail: st.Detail}
		if st.Took > 0 {
			stage.Ms = control.Ms(st.Took)
		}
		start.Stages = append(start.Stages, stage)
	}
	if t := start.Trace; t != nil { // it speaks of the time until it was ready
		for i := len(start.Stages) - 1; i >= 0; i-- {
			if st := &start.Stages[i]; st.Name == string(lifecycle.PhaseReady) {
				st.Detail = fmt.Sprintf("%d stages of its own, the slowest %s with %.0f ms", t.Count, t.Slowest[0].Name, t.Slowest[0].Ms)
				break
			}
		}
	}
	return start
}

func conditionOf(c lifecycle.Condition) control.Condition {
	return control.Condition{Code: c.Code, Since: control.At(c.Since), Message: c.Message, Hint: c.Hint}
}

func exitOf(x *lifecycle.Exit, tail []string) control.Exit {
	out := control.Exit{Signal: x.Signal, At: control.At(x.At), Core: x.Core, Tail: tail}
	if x.Lasted > 0 {
		out.LastedMs = control.Ms(x.Lasted)
	}
	if x.Known && x.Signal == "" {
		out.Code = &x.Code
	}
	return out
}

func failure(p *lifecycle.Problem) *control.Failure {
	if p == nil {
		return nil
	}
	out := &control.Failure{Code: p.Code, Message: p.Message, Hint: p.Hint}
	if out.Code == "" {
		out.Code = string(fault.Internal)
	}
	if out.Hint == "" {
		out.Hint = "look at the gateway's output with `gatehost logs`"
	}
	return out
}

func failureOf(err error) *control.Failure {
	return &control.Failure{Code: string(fault.CodeOf(err)), Message: err.Error(), Hint: fault.HintOf(err)}
}
