package observe

import (
	"cmp"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// breakerSpan is the time span in which OpenClaw's crash-loop breaker counts (docs/openclaw.md §4).
const breakerSpan = 300 * time.Second

// cleanCodes are the exit codes of a gateway that ended in order, or that did not start because of a configuration
// error.
var cleanCodes = []int{0, 78}

// Record is everything that is derived from the steps of one gateway. It is a value; New makes the first, and readers
// on any goroutine may share one.
type Record struct {
	settings   Settings
	state      lifecycle.State // after the last step
	launcher   string
	waterfall  Waterfall
	since      time.Time // begin of the present start or stop, for elapsed times
	ended      ended
	reconnects reconnects
	trace      startTrace
	unclean    []time.Time // unclean ends within the breaker's span; never changed after it is stored
	mismatches mismatches
	replaced   replaced
	heap       heap
	pings      Pings
	plugins    []Plugin
	files      []lifecycle.Condition // about the gateway's own files
	conditions []condition
}

// ended is the last exit that was published, with the last lines before it: those of the next launch are others (B297).
type ended struct {
	launch lifecycle.LaunchID
	known  bool
	tail   []string
}

// New returns the record of a gateway that has done nothing yet.
func New(s Settings, state lifecycle.State) Record { return Record{settings: s, state: state} }

// Step returns the record after one step of the lifecycle, and the facts that the step showed.
func (r Record) Step(c Change) (Record, []Fact) {
	before, after := c.Before, c.After
	under := r.waterfall.Outcome == ""
	r.waterfall = r.waterfall.follow(before, after, c.At)
	finished := under && r.waterfall.Outcome != ""
	r.state, r.launcher = after, c.Launcher
	r.trace = r.trace.follow(c, r.waterfall)
	r.replaced = r.replaced.follow(after)

	facts := r.counted(c, finished)
	if after.LastExit != nil && after.LastExit != before.LastExit {
		facts = append(facts, r.exit(c)...)
	}
	facts = append(facts, session(c)...)
	facts = append(facts, r.reconcile(c.At)...)
	facts = append(facts, r.reconnect(c)...)
	if before.Phase != after.Phase || before.Public() != after.Public() {
		facts = append(facts, r.changed(c, finished))
	}
	if change, ok := sessionChanged(c); ok {
		facts = append(facts, change)
	}
	return r, facts
}

// See returns the record after something that was seen beside the steps, and the facts that follow.
func (r Record) See(s Sight, now time.Time) (Record, []Fact) {
	switch s := s.(type) {
	case Configured:
		r.settings = s.Settings
	case Plugins:
		r.plugins = s.All
	case Files:
		r.files = s.Conditions
	case Pings:
		r.pings = s
	case ClientRefused:
		r.mismatches = r.mismatches.take(s.Launch, s.At, s.Number)
	case InstallReplaced:
		r.replaced = r.replacedUnder(s)
	case HeapExhausted:
		r.heap = r.exhausted(s)
	case StageReported:
		next, slow := r.trace.take(string(s.Launch), s.Stage)
		r.trace = next
		if !slow {
			return r, nil
		}
		return r, []Fact{SlowStage{Name: s.Stage.Name, Took: time.Duration(s.Stage.DurationMs * float64(time.Millisecond))}}
	case Passed:
	}
	facts := r.reconcile(now)
	return r, facts
}

// Due returns the time at which See(Passed{}) would change the record; the zero time while nothing ends by time alone.
func (r Record) Due() time.Time {
	var due time.Time
	for _, c := range r.conditions {
		over := time.Time{}
		switch c.Code {
		case codeTokenMismatch:
			over = r.mismatches.over()
		case codeOutOfMemory:
			over = r.heap.at.Add(heapFor + 1)
		}
		if !over.IsZero() && (due.IsZero() || over.Before(due)) {
			due = over
		}
	}
	return due
}

// counted returns the facts that are counted and logged, and are no events.
func (r *Record) counted(c Change, finished bool) []Fact {
	var facts []Fact
	before, after := c.Before, c.After
	if finished {
		spawn, _ := milestones(r.waterfall, after)
		end := StartEnded{Waterfall: r.waterfall, SpawnToReady: spawn, Attempt: after.Attempt}
		if r.waterfall.Outcome == string(lifecycle.Error) {
			end.Problem = after.Err
		}
		facts = append(facts, end)
	}
	if after.Restarts > before.Restarts {
		facts = append(facts, Restarted{Cause: restartCause(before, after)})
	}
	if after.Phase == lifecycle.PhaseError && before.Phase != lifecycle.PhaseError && after.Err != nil &&
		before.Flow == lifecycle.FlowRevive {
		facts = append(facts, Restarted{Cause: after.Err.Code, Suppressed: true})
	}
	return facts
}

// restartCause returns why a process is replaced. A restart counts when the old process has ended, a loss when it is
// noticed.
func restartCause(before, after lifecycle.State) string {
	if before.After == lifecycle.AfterRestart {
		return cmp.Or(before.Cause.Code, "command")
	}
	return after.Cause.Code
}

func (r *Record) exit(c Change) []Fact {
	before, after := c.Before, c.After
	same := before.Launch != "" && before.Launch == r.ended.launch // the watch reports the end, and so does the stop
	known := same && r.ended.known
	if !same {
		r.ended.tail = c.Tail
	}
	r.ended.launch, r.ended.known = before.Launch, after.LastExit.Known
	r.heap = r.heap.ends(before.Launch, after.LastExit)
	if same && (known || !after.LastExit.Known) {
		return nil
	}
	end := ProcessEnded{ExitData: control.ExitData{
		Exit: view.Exit(after.LastExit, r.ended.tail), LaunchID: string(before.Launch), PID: before.Process.PID,
		Expected: before.Phase == lifecycle.PhaseClearing || before.Phase == lifecycle.PhaseDraining,
	}}
	if before.Launch != "" && !same { // a process that an earlier host left does not count
		end.Counted = true
		if unclean(after.LastExit) {
			r.unclean = append(within(r.unclean, c.At), c.At)
		}
	}
	return []Fact{end}
}

func unclean(x *lifecycle.Exit) bool {
	return !x.Known || x.Signal != "" || !slices.Contains(cleanCodes, x.Code)
}

// within returns the unclean ends within the breaker's span, in a slice of its own.
func within(ends []time.Time, now time.Time) []time.Time {
	var out []time.Time
	for _, at := range ends {
		if now.Sub(at) < breakerSpan {
			out = append(out, at)
		}
	}
	return out
}

func session(c Change) []Fact {
	if opened, ok := lifecycle.ReportOf[lifecycle.SessionOpened](c.Input); ok && c.After.Session == opened.Session {
		h := opened.Hello
		return []Fact{SessionOpened{control.SessionData{
			Protocol: h.Protocol, ConnID: h.ConnID, BootID: h.BootID, Version: h.Version,
		}}}
	}
	if in, ok := c.Input.(lifecycle.SessionClosed); ok && c.Before.Session == in.Session && in.Session != 0 {
		return []Fact{SessionLost{control.SessionData{Code: in.Code}}}
	}
	return nil
}

func sessionChanged(c Change) (SessionChanged, bool) {
	before, after := c.Before.Session, c.After.Session
	out := SessionChanged{Closed: before != 0, Opened: after != 0, Code: 1000}
	if in, ok := c.Input.(lifecycle.SessionClosed); ok && in.Session == before {
		out.Code = in.Code
	}
	return out, before != after
}

func (r *Record) reconnect(c Change) []Fact {
	var facts []Fact
	next, changed := r.reconnects.follow(c, r.settings.ReconnectAttempts)
	r.reconnects = next
	for _, d := range changed {
		f := ReconnectChanged{ReconnectData: d, Reason: c.After.Cause.Message}
		if d.Outcome == control.ReconnectScheduled {
			f.Delay = time.Duration(*d.DelayMs) * time.Millisecond
		}
		facts = append(facts, f)
	}
	return facts
}

func (r *Record) changed(c Change, finished bool) Fact {
	before, after, w := c.Before, c.After, r.waterfall
	if before.Public() == lifecycle.Stopped || r.since.IsZero() ||
		after.Public() == lifecycle.Stopping && before.Public() != lifecycle.Stopping {
		r.since = c.At
	}
	elapsed := c.At.Sub(r.since)
	if w.Outcome != "" && after.Public() != lifecycle.Stopped && after.Public() != lifecycle.Stopping {
		elapsed = w.Total
	} else if !w.StartedAt.IsZero() && w.Outcome == "" {
		elapsed = c.At.Sub(w.StartedAt)
	}
	data := control.StateData{
		State: string(after.Public()), Phase: string(after.Phase), ElapsedMs: control.Ms(elapsed), Attempt: after.Attempt,
		PID: after.Process.PID, Port: after.Process.Port, Owner: string(after.Owner()), Adopted: after.Adopted,
		Error: view.Problem(after.Err), LaunchID: string(after.Launch),
	}
	if finished {
		data.Start = r.LastStart()
	}
	if before.Public() != after.Public() {
		data.From = string(before.Public())
	}
	if after.Err == nil {
		data.Detail = after.Cause.Message
	}
	if after.Hello != nil {
		data.Version = after.Hello.Version
	}
	return StateChanged{data}
}
