package lifecycle

import (
	"fmt"
	"slices"
	"time"
)

// A refresh is a request that the gateway read its configuration again: a restart, or a reload within the process. It
// has a time when it is due: at once, after a debounce that each further request of its kind starts again (bounded), or
// when the cooldown since the last restart is over. No request is dropped (B235): one that is due is held until the
// gateway is up, and then run. A process that is spawned meanwhile covers every request that was due before (B233). A
// restart absorbs the reloads that are due (B258).

// debounceBound is how many times its own length a debounce may be put off (B239).
const debounceBound = 5

// reload is a reload under way.
type reload struct {
	bootID    string // of the generation that was asked; a new one proves the reload
	asked     bool   // the gateway accepted the request
	announced bool   // it announced a restart when its session ended: the proof for a release without boot ids
}

// reloadRequested handles the request that the gateway read its configuration again (B250..B260). It never starts a
// gateway (B245).
func (t *turn) reloadRequested(in ReloadRequested) {
	w := Waiter{Command: in.Command, kind: waitReload, outcome: OutcomeApplied}
	switch t.s.Phase {
	case PhaseStopped: // it reads its configuration when it starts
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
		return
	case PhaseError:
		if t.s.Launch == "" && !t.s.Attached {
			t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
				Code: "not_running", Message: "cannot reload the gateway: it is in error: " + t.s.Err.Message, Hint: t.s.Err.Hint,
			}}})
			return
		}
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_connected", Message: "cannot reload the gateway: there is no session with it",
			Hint: "look at its error with `gatehost status`, or restart it",
		}}})
		return
	case PhaseClearing, PhaseDraining:
		if t.s.After == AfterRest {
			t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}}) // the next start reads it
			return
		}
	case PhaseReloading: // its configuration is read after this request only if the restart has not begun yet
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

// refresh runs the requests that are due, if the gateway is up, and arms the timer for the others. It is called when a
// request becomes due, and whenever the gateway comes up.
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
	if _, asked := t.s.pendingOf(OpPreflight); asked { // its answer decides about all that are due
		if !next.IsZero() {
			t.arm(TimerRefresh, next.Sub(t.now))
		}
		if restart && t.forced() {
			t.restartNow(Problem{})
		}
		return
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
			t.restartChecked(Problem{})
			return
		}
		t.reloadNow()
	}
	if !next.IsZero() {
		t.arm(TimerRefresh, next.Sub(t.now))
	}
}

// canRefresh says whether a gateway runs, so that a restart or a reload can be done now.
func (t *turn) canRefresh() bool {
	return t.s.Phase == PhaseRunning || t.s.Phase == PhaseVerifying
}

// postpone marks the requests that are due as deferred.
func (t *turn) postpone() {
	for i := range t.s.Waiters {
		if w := &t.s.Waiters[i]; w.held && !w.due.After(t.now) {
			w.outcome = OutcomeDeferred
		}
	}
}

// cover releases held requests that are due: the process that is about to be spawned, or the reload that is about to be
// requested, fulfils them.
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

// forced reports whether a restart is due that no preflight keeps back.
func (t *turn) forced() bool {
	return slices.ContainsFunc(t.s.Waiters, func(w Waiter) bool {
		return w.kind == waitRestart && w.force && !(w.held && w.due.After(t.now))
	})
}

// restartChecked replaces the process when the next start would not fail.
func (t *turn) restartChecked(cause Problem) {
	if t.forced() {
		t.restartNow(cause)
		return
	}
	if cause.Code != "" {
		t.s.preflight = cause
	}
	if _, asked := t.s.pendingOf(OpPreflight); asked {
		return
	}
	t.s.preflight = cause
	t.emit(Preflight{Op: t.open(Op{Kind: OpPreflight})})
}

// preflighted makes the restart, or refuses it and lets the gateway run on.
func (t *turn) preflighted(in Preflighted) {
	cause := t.s.preflight
	t.s.preflight = Problem{}
	if !t.canRefresh() && t.s.Flow != FlowRejoin && t.s.Phase != PhaseReloading {
		t.ignore("preflight of a restart that is over")
		return
	}
	if in.Result == OK {
		t.restartNow(cause)
		return
	}
	p := in.Problem
	p.Message = "cannot restart the gateway, which runs on: the next start would fail: " + p.Message
	if cause.Message != "" {
		p.Message = cause.Message + "; " + p.Message
	}
	t.replyWhere(
		func(w Waiter) bool { return w.kind == waitRestart && !(w.held && w.due.After(t.now)) },
		func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
	if cause.Code == codeSuppressed {
		t.arm(TimerBreaker, breakerRefused)
	}
	t.refresh()
}

// restartNow replaces the process.
func (t *turn) restartNow(cause Problem) {
	t.s.ending.worked = t.s.Public() == Running || t.s.Flow == FlowRejoin
	t.s.Epoch++
	t.s.Up = true
	t.resetAttempts()
	t.s.Flow = FlowStart
	t.s.RestartedAt = t.now
	t.s.Cause = Problem{} // an earlier cause is over
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

// reloaded handles the gateway's answer to the request. Its consent proves nothing: the proof is a new generation.
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

// reloadFailed falls back to a restart, for an owned gateway (B255).
func (t *turn) reloadFailed(why string) {
	t.s.reload = nil
	t.disarm(TimerReload)
	if !t.s.Attached {
		for i := range t.s.Waiters {
			if w := &t.s.Waiters[i]; w.kind == waitReload && !w.held {
				w.kind, w.held, w.due = waitRestart, true, t.now
			}
		}
		t.runsOn()
		t.restartChecked(Problem{Code: "reload_failed", Message: why})
		return
	}
	t.refuse(Problem{
		Code: "not_owned", Message: why, Hint: "gatehost did not start this gateway: restart it where it was started",
	}, waitReload)
	t.runsOn()
	t.refresh()
}

// runsOn goes back to running after a reload that came to nothing. The reload may have begun while the silence was
// being verified, and that answer is lost: from now on silence counts again.
func (t *turn) runsOn() {
	if t.s.Phase != PhaseReloading {
		return
	}
	t.enter(PhaseRunning)
	if _, watched := t.s.pendingOf(TimerSilence); !watched {
		t.arm(TimerSilence, t.p.Silence)
	}
}

// reloadProven ends a reload when the gateway is back. Without a proof a restart replaces it.
func (t *turn) reloadProven(hello Hello) {
	r := t.s.reload
	t.s.reload = nil
	switch {
	case r == nil, r.bootID != "" && hello.BootID != r.bootID, r.bootID == "" && r.announced:
	case r.bootID != "":
		t.reloadFailed(fmt.Sprintf(
			"the gateway came back as the same generation %s: it has reloaded nothing", hello.BootID))
	default:
		t.reloadFailed("the session was lost and opened again, and the gateway did not announce a restart: " +
			"nothing shows that it has reloaded")
	}
}
