package lifecycle_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"pgregory.net/rapid"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// world is a small model of everything around the machine: processes, sessions, the port, doctors. It answers effects
// in any order, late, twice, or not as hoped, and checks the invariants of docs/architecture.md after every step.
type world struct {
	t      *rapid.T
	p      lc.Policy
	s      lc.State
	now    time.Time
	calm   bool // answers are good and nothing happens by itself
	queue  []lc.Effect
	timers map[lc.OpID]time.Time

	nextLaunch   int
	generation   int
	nextCommand  lc.CommandID
	procs        map[lc.LaunchID]bool // alive
	known        map[lc.LaunchID]bool // has a trace
	ours         map[lc.LaunchID]bool // identities that were made durable
	aligned      map[lc.LaunchID]bool // whose AlignConfig has been answered
	sessions     map[lc.SessionID]bool
	asked        map[lc.CommandID]string
	replies      map[lc.CommandID]int
	plans        int
	proposed     lc.PlanID // by the diagnosis that was answered last
	repairs      int       // in this start flow
	cutOff       int       // repairs of this start flow whose outcome is unknown
	backoffs     int       // fast automatic attempts since the last stable period or command
	runningSince time.Time
	history      []string
}

func newWorld(t *rapid.T) *world {
	p := lc.DefaultPolicy()
	p.ReconnectAttempts = 1 // soon reached
	p.OnShimLoss = rapid.SampledFrom([]lc.ShimLossMode{lc.ShimLossRestart, lc.ShimLossKeep}).Draw(t, "on shim loss")
	return &world{
		t: t, p: p, s: lc.New(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		timers: map[lc.OpID]time.Time{}, procs: map[lc.LaunchID]bool{}, known: map[lc.LaunchID]bool{},
		ours:     map[lc.LaunchID]bool{},
		aligned:  map[lc.LaunchID]bool{},
		sessions: map[lc.SessionID]bool{}, asked: map[lc.CommandID]string{}, replies: map[lc.CommandID]int{},
	}
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nstate: %+v\nhistory:\n%s", fmt.Sprintf(format, args...), w.s, joinLast(w.history, 60))
}

func joinLast(lines []string, n int) string {
	out := ""
	for _, l := range lines[max(0, len(lines)-n):] {
		out += "  " + l + "\n"
	}
	return out
}

func (w *world) feed(in lc.Input) {
	before := w.s
	frozen := fmt.Sprintf("%+v", before)
	s, out := lc.Step(w.p, w.s, in, w.now)
	w.history = append(
		w.history, fmt.Sprintf("%s %T%+v -> %s/%s %v", w.now.Format("15:04:05.0"), in, in, s.Phase, s.Flow, names(out)),
	)
	if got := fmt.Sprintf("%+v", before); got != frozen {
		w.failf("Step changed the state that it was given:\n%s\n%s", frozen, got)
	}
	if again, _ := lc.Step(w.p, before, in, w.now); !reflect.DeepEqual(again, s) {
		w.failf("Step is not deterministic for %T%+v", in, in)
	}
	w.count(before, s, in)
	w.s = s
	for _, e := range out {
		w.perform(e)
	}
	w.check(in)
}

// answer feeds the answer to an operation.
func (w *world) answer(op lc.OpID, r lc.Report) { w.feed(lc.Answer{Op: op, Report: r}) }

// count keeps the model's own books for invariant 5.
func (w *world) count(before, after lc.State, in lc.Input) {
	if _, ok := lc.ReportOf[lc.SessionOpened](in); ok && after.Phase == lc.PhaseRunning {
		w.runningSince = w.now
	}
	if before.Public() == lc.Running && after.Public() != lc.Running && w.now.Sub(w.runningSince) >= w.p.StableAfter {
		w.backoffs = 0
	}
	if before.Phase != lc.PhaseBackoff && after.Phase == lc.PhaseBackoff {
		if w.backoffs++; w.backoffs > w.p.ReconnectAttempts {
			w.failf("fast automatic attempt %d, the cap is %d", w.backoffs, w.p.ReconnectAttempts)
		}
	}
}

func names(out []lc.Effect) []string {
	var n []string
	for _, e := range out {
		n = append(n, fmt.Sprintf("%T%+v", e, e))
	}
	return n
}

func (w *world) perform(e lc.Effect) {
	switch e := e.(type) {
	case lc.SetTimer:
		w.timers[e.Op] = w.now.Add(e.After)
		if e.After == w.p.StartTimeout {
			w.repairs, w.cutOff = 0, 0 // a new start flow
		}
	case lc.Cancel:
		if _, ok := w.timers[e.Op]; ok && rapid.Bool().Draw(w.t, "cancel wins") {
			delete(w.timers, e.Op)
		}
	case lc.CloseSession:
		delete(w.sessions, e.Session)
	case lc.Release:
		if w.procs[e.Launch] {
			w.failf("released a live launch %s", e.Launch)
		}
		delete(w.known, e.Launch)
	case lc.Reply:
		w.replies[e.Command]++
		if w.replies[e.Command] > 1 {
			w.failf("command %d was answered twice", e.Command)
		}
		if w.asked[e.Command] == "stop" && e.Outcome.Kind != lc.OutcomeFailed {
			w.checkNothingAlive()
			w.checkNoWriter("a stop was answered")
		}
	case lc.Launch:
		w.checkNoWriter("a launch began")
		if !w.aligned[e.Launch] {
			w.failf("%s is launched, and its configuration was not aligned", e.Launch)
		}
		w.queue = append(w.queue, e)
	case lc.Repair:
		w.repairs++
		if w.repairs > 1+min(w.cutOff, 1) { // one that was cut off and had done nothing is made up for, once
			w.failf("repair %d in one start flow, %d of them cut off", w.repairs, w.cutOff)
		}
		if e.Plan == "" || e.Plan != w.proposed {
			w.failf("plan %q is executed, the last diagnosis proposed %q", e.Plan, w.proposed)
		}
		w.queue = append(w.queue, e)
	case lc.Watch, lc.Unwatch, lc.Ignored:
	case lc.Terminate:
		if !w.ours[e.Launch] { // invariant 3
			w.failf("terminates %q, which this world never launched", e.Launch)
		}
		w.queue = append(w.queue, e)
	default:
		w.queue = append(w.queue, e)
	}
}

// checkNoWriter: an effect that may still write the gateway's files has to be known to have ended (B035).
func (w *world) checkNoWriter(what string) {
	for _, e := range w.queue {
		switch e.(type) {
		case lc.Repair, lc.AlignConfig:
			w.failf("%s while %T is under way", what, e)
		default:
		}
	}
}

// checkNothingAlive is invariant 2.
func (w *world) checkNothingAlive() {
	for id := range w.procs {
		w.failf("a stop was answered while %s lives", id)
	}
}

func (w *world) check(in lc.Input) {
	w.checkOneProcess()
	if !w.s.Final() && len(w.s.Pending) == 0 && w.s.Phase != lc.PhaseRunning {
		w.failf("phase %s has nothing pending after %T", w.s.Phase, in)
	}
	if w.s.Phase == lc.PhaseRunning && w.s.Owner() == lc.OwnerNone {
		w.failf("running without an owner")
	}
	if w.s.Phase == lc.PhaseStopped && len(w.s.Waiters) != 0 {
		w.failf("stopped with commands unanswered: %+v", w.s.Waiters)
	}
	if w.s.Phase == lc.PhaseError && len(w.s.Waiters) != 0 {
		w.failf("error with commands unanswered: %+v", w.s.Waiters)
	}
}

// result draws how an effect ends; in a calm world it ends well.
func (w *world) result() lc.Result {
	if w.calm {
		return lc.OK
	}
	switch rapid.IntRange(0, 15).Draw(w.t, "result") { // mostly good, or the later phases would hardly be reached
	case 0:
		return lc.Failed
	case 1:
		return lc.Unknown
	default:
		return lc.OK
	}
}

func (w *world) problem() lc.Problem {
	return lc.Problem{Code: "x", Message: "drawn", Fatal: !w.calm && rapid.IntRange(0, 9).Draw(w.t, "fatal") == 0}
}

func (w *world) live(id lc.LaunchID) lc.Instance {
	return lc.Instance{
		Launch: id, Live: w.procs[id], Watched: w.calm || rapid.IntRange(0, 7).Draw(w.t, "shim lives") > 0,
		Process: lc.Process{PID: 42, StartedAt: w.now},
		Exit:    lc.Exit{Known: true},
	}
}

// answerOne answers the queued effect i.
func (w *world) answerOne(i int) {
	e := w.queue[i]
	w.queue = slices.Delete(w.queue, i, i+1)
	switch e := e.(type) {
	case lc.Recover:
		r := w.result()
		if r == lc.Unknown {
			r = lc.Failed
		}
		var found []lc.Instance
		for _, id := range slices.Sorted(maps.Keys(w.known)) {
			found = append(found, w.live(id))
		}
		w.answer(e.Op, lc.Recovered{Result: r, Instances: found, Problem: w.problem()})
	case lc.ClearServices:
		w.answer(e.Op, lc.ServicesCleared{Result: min(w.result(), lc.Failed), Problem: w.problem()})
	case lc.ProbePort:
		h := lc.HolderNone
		if !w.calm {
			h = []lc.Holder{1: lc.HolderGateway, 2: lc.HolderStranger, 11: 0}[rapid.IntRange(0, 11).Draw(w.t, "holder")]
			if h == 0 {
				h = lc.HolderNone
			}
		}
		w.answer(e.Op, lc.PortProbed{Holder: h, Problem: w.problem()})
	case lc.Preflight:
		w.answer(e.Op, lc.Preflighted{Result: min(w.result(), lc.Failed), Problem: w.problem()})
	case lc.RunHooks:
		w.answer(e.Op, lc.HooksDone{Result: w.result(), Problem: w.problem()})
	case lc.Reload:
		w.answer(e.Op, lc.Reloaded{Result: w.result(), Problem: w.problem()})
	case lc.Drain:
		w.answer(e.Op, lc.Drained{Problem: w.problem()})
	case lc.Shutdown:
		w.answer(e.Op, lc.ShutdownAsked{Result: min(w.result(), lc.Failed), Problem: w.problem()})
	case lc.PrepareLaunch:
		w.nextLaunch++
		id := lc.LaunchID(fmt.Sprintf("L%d", w.nextLaunch))
		w.ours[id] = true
		w.answer(e.Op, lc.LaunchPrepared{Result: min(w.result(), lc.Failed), Launch: id, Problem: w.problem()})
	case lc.AlignConfig:
		w.aligned[e.Launch] = true
		w.answer(e.Op, lc.ConfigAligned{Result: min(w.result(), lc.Failed), Problem: w.problem()})
	case lc.Launch:
		w.answerLaunch(e)
	case lc.Inspect:
		r := min(w.result(), lc.Failed)
		w.answer(e.Op, lc.Inspected{
			Result: r, Found: w.known[e.Launch], Instance: w.live(e.Launch), Problem: w.problem(),
		})
	case lc.ProbeReady:
		r := lc.ReadinessReady
		if !w.calm {
			r = lc.Readiness(rapid.IntRange(1, 4).Draw(w.t, "readiness"))
		}
		w.answer(e.Op, lc.ReadyProbed{Readiness: r})
	case lc.OpenSession:
		if w.result() == lc.OK {
			w.sessions[e.Session] = true
			if rapid.Bool().Draw(w.t, "new generation") {
				w.generation++
			}
			w.answer(e.Op, lc.SessionOpened{Session: e.Session, Hello: lc.Hello{BootID: fmt.Sprint(w.generation)}})
			return
		}
		w.answer(e.Op, lc.SessionRefused{
			Session: e.Session, Retryable: rapid.Bool().Draw(w.t, "retryable"), Problem: w.problem(),
		})
	case lc.VerifySession:
		w.answer(e.Op, lc.Verified{Session: e.Session, Alive: w.result() == lc.OK})
	case lc.Terminate:
		r := w.result()
		if r == lc.OK || r == lc.Unknown {
			delete(w.procs, e.Launch)
		}
		w.answer(e.Op, lc.Terminated{Result: r, Launch: e.Launch, Exit: lc.Exit{Known: true}, Problem: w.problem()})
	case lc.Diagnose:
		d := lc.Diagnosed{Problem: w.problem()}
		if !w.calm {
			d.Found = rapid.IntRange(0, 3).Draw(w.t, "unknown") > 0
			if rapid.IntRange(0, 3).Draw(w.t, "beyond repair") > 0 {
				w.plans++
				d.Plan = lc.PlanID(fmt.Sprintf("P%d", w.plans))
			}
			d.OtherOwner = rapid.IntRange(0, 5).Draw(w.t, "other owner") == 0
		}
		w.proposed = d.Plan
		w.answer(e.Op, d)
	case lc.Repair:
		r := w.result()
		if r == lc.Unknown {
			w.cutOff++
		}
		w.answer(e.Op, lc.Repaired{Result: r, Problem: w.problem()})
	default:
		w.failf("the world does not know %T", e)
	}
}

func (w *world) answerLaunch(e lc.Launch) {
	r := w.result()
	started := r == lc.OK || r == lc.Unknown && rapid.Bool().Draw(w.t, "started")
	if started {
		w.procs[e.Launch], w.known[e.Launch] = true, true
		w.checkOneProcess()
	}
	w.answer(e.Op, lc.Launched{Result: r, Instance: w.live(e.Launch), Problem: w.problem()})
}

// checkOneProcess is invariant 1, at the moment when a process comes to life.
func (w *world) checkOneProcess() {
	if len(w.procs) > 1 {
		w.failf("a second process was launched while the first lives: %v", slices.Collect(maps.Keys(w.procs)))
	}
}

// fireNext lets time pass to the next timer.
func (w *world) fireNext() bool {
	var next lc.OpID
	for _, id := range slices.Sorted(maps.Keys(w.timers)) {
		if next == 0 || w.timers[id].Before(w.timers[next]) {
			next = id
		}
	}
	if next == 0 {
		return false
	}
	if at := w.timers[next]; at.After(w.now) {
		w.now = at
	}
	delete(w.timers, next)
	w.answer(next, lc.TimerFired{})
	return true
}

func (w *world) command(kind string) lc.CommandID {
	w.nextCommand++
	w.asked[w.nextCommand] = kind
	if kind != "stop" {
		w.backoffs = 0
	}
	return w.nextCommand
}
