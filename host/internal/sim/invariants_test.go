package sim_test

import (
	"slices"
	"strings"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// books are what the simulator counts for itself, beside the state.
type books struct {
	upSince   time.Time
	fast      int         // fast automatic attempts since the last stable period or command
	spent     int         // the same, whatever was commanded
	launches  int         // of this flow of automatic attempts
	sessions  []time.Time // opened within the last minute, but for those after a restart that was announced
	announced bool        // one was
	repairs   int         // in this start flow
	unknown   bool        // what one of them did
	forced    bool        // a restart that was forced may be waiting
	freed     int         // how often a stranger gave the port back while its error was shown: each is a new start
	plan      lc.PlanID   // that the last diagnosis of this start proposed
}

// sessionsAMinute is more than a gateway that drops each session without a word leads to, and what operators do beside
// it.
const sessionsAMinute = 30

// observer checks the invariants after every step of one host. It runs in the owner's goroutine, while the driver
// waits.
type observer struct {
	w *world
	h *host
}

// Stepped is part of engine.Observer.
func (o observer) Stepped(c observe.Change) {
	w, h := o.w, o.h
	w.mu.Lock()
	defer w.mu.Unlock()
	h.state = c.After
	h.steps++
	w.noteLocked("STEP %s", step{c})
	if h.steps > maxSteps {
		w.failLocked("8", "%d steps: it runs in circles", h.steps)
		h.cancel()
	}
	o.commands(c)
	o.replies(c)
	o.intents(c)
	o.late(c)
	o.attempts(c)
	o.repairs(c)
	o.pending(c)
	o.sessions(c)
	o.adoption(c)
	o.preflights(c)
}

// preflights: a gateway that works is ended for a restart only when a preflight has passed, or a person forces it.
func (o observer) preflights(c observe.Change) {
	got, checked := lc.ReportOf[lc.Preflighted](c.Input)
	if in, ok := c.Input.(lc.RestartRequested); ok && in.Force {
		o.h.books.forced = true
	}
	if !c.After.Up || c.Before.Launch == "" || c.After.Launch == "" {
		o.h.books.forced = o.h.books.forced && c.After.Launch != "" && c.After.Up
	}
	ended := slices.ContainsFunc(c.Effects, func(e lc.Effect) bool { _, ok := e.(lc.Terminate); return ok })
	switch {
	case checked && got.Result != lc.OK && ended && !o.h.books.forced:
		o.w.failLocked("preflight", "the process is ended, and the next start would fail")
	case ended && c.Before.Public() == lc.Running && c.After.After == lc.AfterRestart &&
		!(checked && got.Result == lc.OK) && !o.h.books.forced:
		o.w.failLocked("preflight", "a gateway that works is restarted unchecked")
	}
}

// Observed is part of engine.Observer. A reader of the facts must know the same conditions as a reader of the
// snapshot.
func (o observer) Observed(facts []observe.Fact) {
	w, h := o.w, o.h
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range facts {
		if c, ok := f.(observe.ConditionChanged); ok {
			key := conditionKey(c.Code, c.Message)
			if !c.Active && !h.conditions[key] {
				w.failLocked("conditions", "%s goes and had not come", key)
			}
			h.conditions[key] = c.Active
		}
	}
	shown := map[string]bool{}
	for _, c := range h.engine.Snapshot().Record.Conditions() {
		shown[conditionKey(c.Code, c.Message)] = true
	}
	for code, active := range h.conditions {
		if active != shown[code] {
			w.failLocked("conditions", "by its events %s is active: %t; the snapshot says %t", code, active, shown[code])
		}
		delete(shown, code)
	}
	for code := range shown {
		w.failLocked("conditions", "%s is shown and came without an event", code)
	}
}

// conditionKey tells conditions apart: of one code there may be several, one for each plugin.
func conditionKey(code, message string) string {
	if code == observe.CodePluginDown {
		return message
	}
	return code
}

// commands learns the ids of commands.
func (o observer) commands(c observe.Change) {
	var id lc.CommandID
	var kind string
	switch in := c.Input.(type) {
	case lc.StartRequested:
		id, kind = in.Command, cmdStart
		switch {
		case in.Adopt:
			kind = cmdAdopt
		case in.Auto:
			kind = cmdAuto
		}
	case lc.RestartRequested:
		id, kind = in.Command, cmdRestart
		switch {
		case in.Delay > 0:
			kind = cmdChanged
		case in.Force:
			kind = cmdForce
		}
	case lc.ReloadRequested:
		id, kind = in.Command, cmdReload
		if in.Delay > 0 {
			kind = cmdEdited
		}
	case lc.StopRequested:
		id, kind = in.Command, cmdStop
		switch {
		case in.Now:
			kind = cmdStopNow
		case in.Drain:
			kind = cmdDrain
		case in.External:
			kind = cmdExternal
		}
	default:
		return
	}
	for _, cmd := range o.w.commands {
		if cmd.gen == o.h.gen && cmd.kind == kind && cmd.id == 0 {
			cmd.id = id
			o.h.asked[id] = cmd
			return
		}
	}
	o.w.failLocked("4", "command %d (%s) was never given", id, kind)
}

// replies is invariants 2 and 4.
func (o observer) replies(c observe.Change) {
	for _, eff := range c.Effects {
		r, ok := eff.(lc.Reply)
		if !ok {
			continue
		}
		cmd := o.h.asked[r.Command]
		if cmd == nil {
			o.w.failLocked("4", "command %d is answered, and was never given", r.Command)
			continue
		}
		if cmd.replies++; cmd.replies > 1 {
			o.w.failLocked("4", "command %d (%s) is answered again", cmd.n, cmd.kind)
		}
		if r.Outcome.Kind == lc.OutcomeFailed || r.Outcome.Kind == lc.OutcomeSuperseded {
			if r.Outcome.Problem == nil {
				o.w.failLocked("4", "command %d (%s) is answered %s without a reason", cmd.n, cmd.kind, r.Outcome.Kind)
			}
			continue
		}
		switch cmd.kind {
		case cmdStop, cmdStopNow, cmdDrain, cmdExternal:
			o.stopped(cmd)
		case cmdReload, cmdEdited, cmdAdopt: // an adoption may have found nothing
		case cmdChanged:
			if c.After.Up {
				o.newer(c, cmd, r.Outcome.Kind)
			}
		case cmdStart, cmdAuto, cmdRestart, cmdForce:
			if before := c.Before.Public(); !comesUp(c) && before != lc.Running {
				o.w.failLocked(
					"4", "command %d (%s) is answered %s in %s", cmd.n, cmd.kind, r.Outcome.Kind, c.After.Phase,
				)
			}
			if cmd.kind == cmdRestart || cmd.kind == cmdForce {
				o.newer(c, cmd, r.Outcome.Kind)
			}
		}
	}
	if len(c.After.Waiters) > 0 && c.After.Final() {
		o.w.failLocked("4", "commands wait in %s: %+v", c.After.Phase, c.After.Waiters)
	}
}

// comesUp: a session was opened, or one goes on whose gateway, which is not ours, was asked to shut down and refused.
func comesUp(c observe.Change) bool {
	answer, ok := c.Input.(lc.Answer)
	if !ok {
		return false
	}
	switch in := answer.Report.(type) {
	case lc.SessionOpened:
		return true
	case lc.ShutdownAsked:
		return in.Result != lc.OK && c.After.Public() == lc.Running && c.After.Session != 0 &&
			c.After.Session == c.Before.Session
	default:
		return false
	}
}

// newer: a restart is answered when there is a process that is younger than the request.
func (o observer) newer(c observe.Change, cmd *command, kind lc.OutcomeKind) {
	launch := c.After.Launch
	if p := o.w.procs[string(launch)]; !c.After.Attached && p != nil && p.started.Before(cmd.at) {
		o.w.failLocked("4", "command %d (%s) is answered %s, and %s is older", cmd.n, cmd.kind, kind, launch)
	}
}

// stopped is invariant 2: nothing of ours is alive, and nothing is under way that could bring something to life or
// write its files.
func (o observer) stopped(cmd *command) {
	for _, p := range o.w.live() {
		o.w.failLocked("2", "command %d (%s) is answered while %s lives", cmd.n, cmd.kind, p.id)
	}
	for _, c := range o.w.running {
		if !c.closed &&
			(c.kind == callLaunch && !c.did || c.kind == callRepair || c.kind == callHooks || c.kind == callAlign) {
			o.w.failLocked("2", "command %d (%s) is answered while %s %s is under way", cmd.n, cmd.kind, c.kind, c.id)
		}
	}
}

// intents is invariant 6, one half: what is not wanted is not started.
func (o observer) intents(c observe.Change) {
	if c.After.Up {
		return
	}
	for _, eff := range c.Effects {
		switch eff.(type) {
		case lc.PrepareLaunch, lc.AlignConfig, lc.Launch, lc.OpenSession, lc.Diagnose, lc.Repair, lc.ClearServices,
			lc.RunHooks, lc.Reload:
			o.w.failLocked("6", "%T after a stop", eff)
		}
	}
}

// late is the other half: an answer to no pending operation changes nothing; what it created is cleaned up.
func (o observer) late(c observe.Change) {
	answer, ok := c.Input.(lc.Answer)
	if !ok {
		return
	}
	if _, pending := c.Before.Pending[answer.Op]; pending {
		return
	}
	if c.After.Phase != c.Before.Phase || c.After.Launch != c.Before.Launch || c.After.Session != c.Before.Session {
		o.w.failLocked("6", "%T acts, and its operation is not pending", answer.Report)
	}
	for _, eff := range c.Effects {
		switch eff.(type) {
		case lc.Ignored, lc.Release, lc.CloseSession:
		default:
			o.w.failLocked("6", "%T has the effect %T, and its operation is not pending", answer.Report, eff)
		}
	}
}

// attempts is invariant 5.
func (o observer) attempts(c observe.Change) {
	w, b := o.w, &o.h.books
	switch in := c.Input.(type) {
	case lc.StartRequested:
		b.fast, b.launches = 0, 0
	case lc.SessionClosed:
		b.announced = in.Announce == lc.AnnounceRestart
	case lc.SymptomSeen:
		if c.After.Reconnects > c.Before.Reconnects { // a restart in place that failed: what its repair leads to
			b.spent++
		}
	}
	if in, ok := lc.ReportOf[lc.PortProbed](c.Input); ok && in.Holder == lc.HolderNone &&
		c.Before.Phase == lc.PhaseError && c.After.Phase != lc.PhaseError {
		b.freed++
	}
	if _, ok := lc.ReportOf[lc.SessionOpened](c.Input); ok {
		b.sessions = slices.DeleteFunc(b.sessions, func(at time.Time) bool { return c.At.Sub(at) > time.Minute })
		if !b.announced {
			b.sessions = append(b.sessions, c.At)
		}
		b.announced = false
		if n := len(b.sessions); n > sessionsAMinute {
			w.failLocked("5", "%d sessions were opened within a minute", n)
		}
		if c.After.Public() == lc.Running && c.Before.Public() != lc.Running {
			b.upSince = c.At
		}
	}
	if c.After.Epoch != c.Before.Epoch { // an operator's request, maybe an earlier one
		b.fast, b.launches = 0, 0
	}
	if c.Before.Public() == lc.Running && c.After.Public() != lc.Running {
		if c.At.Sub(b.upSince) >= w.policy.StableAfter {
			b.fast, b.spent, b.launches = 0, 0, 0
		}
	}
	if c.After.Phase == lc.PhaseBackoff && c.Before.Phase != lc.PhaseBackoff {
		b.spent++
		if b.fast++; b.fast > w.policy.ReconnectAttempts {
			w.failLocked("5", "fast automatic attempt %d; the cap is %d", b.fast, w.policy.ReconnectAttempts)
		}
	}
	for _, eff := range c.Effects {
		if _, ok := eff.(lc.Launch); ok {
			// Each attempt has one launch, and one more after a repair; an operator's has StartAttempts.
			b.launches++
			slow := 2 * b.freed
			if w.policy.SlowRetry > 0 {
				slow += 2 * int(c.At.Sub(w.t0)/w.policy.SlowRetry)
			}
			if most := w.policy.StartAttempts + 1 + 2*w.policy.ReconnectAttempts + slow; b.launches > most {
				w.failLocked("5", "launch %d since the last command or stable period; %d are allowed", b.launches, most)
			}
		}
	}
	if c.After.Phase != lc.PhaseError || c.Before.Phase == lc.PhaseError {
		if c.Before.Phase == lc.PhaseError && c.After.Phase != lc.PhaseError && c.Before.Err.Fatal {
			if _, timer := lc.ReportOf[lc.TimerFired](c.Input); timer {
				w.failLocked("5", "a fatal error is tried again")
			}
		}
		return
	}
	if e := c.After.Err; strings.HasPrefix(e.Message, "gave up fast attempts") && b.spent < w.policy.ReconnectAttempts {
		w.failLocked("5", "gave up after %d fast attempts; the cap is %d", b.spent, w.policy.ReconnectAttempts)
	}
}

// repairs is invariant 7.
func (o observer) repairs(c observe.Change) {
	if in, ok := lc.ReportOf[lc.Repaired](c.Input); ok && in.Result == lc.Unknown {
		o.h.books.unknown = true
	}
	if in, ok := lc.ReportOf[lc.Diagnosed](c.Input); ok && c.After.Phase != c.Before.Phase {
		o.h.books.plan = in.Plan
	}
	for _, eff := range c.Effects {
		switch eff := eff.(type) {
		case lc.SetTimer:
			if eff.After == o.w.policy.StartTimeout { // a new start flow
				o.h.books.repairs, o.h.books.unknown, o.h.books.plan = 0, false, ""
			}
		case lc.Repair:
			if eff.Plan == "" || eff.Plan != o.h.books.plan {
				o.w.failLocked(
					"7", "plan %q is decided on, the diagnosis of this start proposed %q", eff.Plan, o.h.books.plan,
				)
			}
			most := 1
			if o.h.books.unknown { // it may have done nothing
				most = 2
			}
			if o.h.books.repairs++; o.h.books.repairs > most {
				o.w.failLocked("7", "repair %d in one start flow", o.h.books.repairs)
			}
			if o.w.policy.Repair != lc.RepairAuto {
				o.w.failLocked("7", "a repair, and repair.mode is %s", o.w.policy.Repair)
			}
		}
	}
}

// pending is invariant 8.
func (o observer) pending(c observe.Change) {
	if s := c.After; !s.Final() && len(s.Pending) == 0 {
		o.w.failLocked("8", "phase %s has nothing pending", s.Phase)
	}
	if m := c.After.Cause.Message; len(m) > 40 && strings.Count(m, m[:40]) > 1 {
		o.w.failLocked("words", "a cause holds itself: %s", m)
	}
	if s := c.After; s.Phase == lc.PhaseRunning && s.Owner() == lc.OwnerNone {
		o.w.failLocked("8", "running without an owner")
	}
}

// sessions: the engine has one session, that of its state, and forgets none.
func (o observer) sessions(c observe.Change) {
	open := 0
	for _, s := range o.w.sessions {
		if s.h.gen == o.h.gen && s.handed && !s.over && !s.closed {
			open++
		}
	}
	most := 0
	if c.After.Session != 0 {
		most = 1
	}
	if open > most {
		o.w.failLocked("6", "%d sessions are open, the state has %d", open, most)
	}
}

// adoption: what lives, watched and alone, is adopted and not ended.
func (o observer) adoption(c observe.Change) {
	in, ok := lc.ReportOf[lc.Recovered](c.Input)
	if !ok || in.Result != lc.OK || c.Before.Phase != lc.PhaseRecovering {
		return
	}
	for _, cmd := range o.h.asked {
		if (cmd.kind == cmdRestart || cmd.kind == cmdForce || cmd.kind == cmdChanged) && cmd.replies == 0 {
			return // a new process is wanted
		}
	}
	var live []lc.Instance
	for _, i := range in.Instances {
		if i.Live {
			live = append(live, i)
		}
	}
	if len(live) != 1 || !live[0].Watched {
		return
	}
	for _, eff := range c.Effects {
		if e, ok := eff.(lc.Terminate); ok {
			o.w.failLocked("needless", "%s lives alone and watched, and is ended instead of adopted", e.Launch)
		}
	}
}

// checkRead: in the calm no line of a gateway is lost when its launch is released.
func (w *world) checkRead(p *proc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.calm && p.watched && w.journal[p.id] < p.end {
		w.failLocked("output", "%s is released; its output was read to %d of %d", p.id, w.journal[p.id], p.end)
	}
}
