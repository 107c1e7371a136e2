package lifecycle

import (
	"fmt"
	"time"
)

// A refresh is a wish that the gateway read its configuration again: a restart, or a reload within the process. It has a time when
// it is due: at once, after a debounce that each further wish of its kind begins anew (bounded), or when the cooldown since the last
// restart is over. Nothing is ever dropped (B235): a wish that is due is held until the gateway is up, and then run; a process that
// is spawned meanwhile covers every wish that was due before (B233). A restart absorbs the reloads that are due (B258).

// debounceBound is how many times its own length a debounce may be put off (B239).
const debounceBound = 5

// reload is a reload under way.
type reload struct {
	bootID    string // of the generation that was asked; a new one proves the reload
	asked     bool   // the gateway took the wish
	announced bool   // its session ended with the word that it restarts: the proof of a release without boot ids
}

// reloadRequested is the operator's wish that the gateway read its configuration again (B250..B260). It never starts a gateway (B245).
func (t *turn) reloadRequested(in ReloadRequested) {
	w := Waiter{Command: in.Command, kind: waitReload, outcome: OutcomeApplied}
	switch t.s.Phase {
	case PhaseStopped, PhaseError:
		if t.s.Launch == "" && !t.s.Attached { // it reads its configuration when it starts
			t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
			return
		}
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_connected", Message: "cannot reload the gateway: there is no session with it", Hint: "look at its error with `gatehost status`, or restart it",
		}}})
		return
	case PhaseClearing, PhaseDraining:
		if t.s.After == AfterRest {
			t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}}) // the next start reads it
			return
		}
	case PhaseReloading: // its configuration is read after this wish only if the restart has not begun yet
		if t.s.reload != nil && !t.s.reload.asked {
			w.outcome = OutcomeJoined
			t.wait(w)
			return
		}
	default:
	}
	t.ask(w, in.Delay)
}

// ask queues a refresh and runs it if it can be run now.
func (t *turn) ask(w Waiter, delay time.Duration) {
	w.held, w.delay, w.first, w.due = true, delay, t.now, t.now.Add(delay)
	if delay > 0 {
		for i, other := range t.s.Waiters {
			if !other.held || other.delay != delay || !other.due.After(t.now) {
				continue
			}
			w.first = other.first
			w.due = earlier(t.now.Add(delay), other.first.Add(debounceBound*delay))
			t.s.Waiters[i].due = w.due
		}
	}
	t.wait(w)
	t.refresh()
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// refresh runs what is due, if the gateway is up, and else arms the timer for what is not. Called when something becomes due, and
// whenever the gateway comes up.
func (t *turn) refresh() {
	t.disarm(TimerRefresh)
	var next time.Time
	restart, reload := false, false
	for _, w := range t.s.Waiters {
		switch {
		case !w.held:
		case w.due.After(t.now):
			if next.IsZero() || w.due.Before(next) {
				next = w.due
			}
		case w.kind == waitReload:
			reload = true
		default:
			restart = true
		}
	}
	if (restart || reload) && t.canRefresh() {
		at := t.s.RestartedAt.Add(t.p.RestartCooldown)
		if !restart {
			at = t.s.SpawnedAt.Add(t.p.ReloadMinAge) // it may be reading its configuration just now (B253)
		}
		if wait := at.Sub(t.now); wait > 0 && !t.s.Attached {
			t.postpone()
			t.arm(TimerRefresh, wait)
			return
		}
		if restart {
			t.restartNow(Problem{})
			return
		}
		t.reloadNow()
	}
	if !next.IsZero() {
		t.arm(TimerRefresh, next.Sub(t.now))
	}
}

// canRefresh: there is a gateway whose process has read what may have changed since.
func (t *turn) canRefresh() bool {
	return t.s.Phase == PhaseRunning || t.s.Phase == PhaseVerifying
}

// postpone makes the outcome of what is due say that it was put off.
func (t *turn) postpone() {
	for i := range t.s.Waiters {
		if w := &t.s.Waiters[i]; w.held && !w.due.After(t.now) {
			w.outcome = OutcomeDeferred
		}
	}
}

// cover makes held wishes that are due part of the process that is about to be spawned, or of the reload that is about to be asked for.
func (t *turn) cover(kinds ...waiterKind) {
	for i := range t.s.Waiters {
		w := &t.s.Waiters[i]
		for _, k := range kinds {
			if w.held && w.kind == k && !w.due.After(t.now) {
				w.held = false
			}
		}
	}
}

// restartNow replaces the process.
func (t *turn) restartNow(cause Problem) {
	t.s.worked = t.s.Public() == Running || t.s.Flow == FlowRejoin
	t.s.Epoch++
	t.s.Up = true
	t.fresh()
	t.s.Flow = FlowStart
	t.s.RestartedAt = t.now
	t.s.Cause = Problem{} // of what was before
	t.cover(waitRestart, waitReload)
	t.bringDown(AfterRestart, cause, t.p.Grace)
}

// reloadNow asks the gateway to restart within its process.
func (t *turn) reloadNow() {
	t.cover(waitReload)
	t.enter(PhaseReloading)
	t.s.reload = &reload{}
	if t.s.Hello != nil {
		t.s.reload.bootID = t.s.Hello.BootID
	}
	t.emit(Reload{Op: t.open(Op{Kind: OpReload, Session: t.s.Session}), Session: t.s.Session, Launch: t.s.Launch})
}

// reloaded is the gateway's answer to the wish. That it took it proves nothing: the proof is a new generation.
func (t *turn) reloaded(in Reloaded) {
	if t.s.reload == nil {
		t.ignore("answer to a reload that is over")
		return
	}
	if in.Result == Failed {
		t.reloadFailed("cannot reload the gateway within its process: " + in.Problem.Message)
		return
	}
	r := *t.s.reload // the state before keeps its own
	r.asked = true   // also when unknown: it may have been heard
	t.s.reload = &r
	t.arm(TimerReload, t.p.ReloadSettle)
}

// reloadFailed falls back to what always works, for a gateway that is ours (B255).
func (t *turn) reloadFailed(why string) {
	t.s.reload = nil
	t.disarm(TimerReload)
	if !t.s.Attached {
		t.restartNow(Problem{Code: "reload_failed", Message: why})
		return
	}
	t.refuse(Problem{Code: "not_owned", Message: why, Hint: "the gateway was started by somebody else: restart it there"}, waitReload)
	if t.s.Phase == PhaseReloading {
		t.enter(PhaseRunning)
	}
	t.refresh()
}

// reloadProven ends a reload whose gateway has come back, and reports whether it had to be replaced by a restart.
func (t *turn) reloadProven(hello Hello) bool {
	r := t.s.reload
	t.s.reload = nil
	switch {
	case r == nil, r.bootID != "" && hello.BootID != r.bootID, r.bootID == "" && r.announced:
		return false
	case r.bootID != "":
		t.reloadFailed(fmt.Sprintf("the gateway came back as the same generation %s: it has reloaded nothing", hello.BootID))
	default:
		t.reloadFailed("the session was lost and came back, and the gateway never said that it restarts: nothing shows that it has reloaded")
	}
	return !t.s.Attached
}
