package lifecycle

import (
	"slices"
)

// start handles the request that the gateway be up (B020..B026).
func (t *turn) start(in StartRequested) {
	if in.Auto && t.s.Epoch > 0 {
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeSuperseded, Problem: &Problem{
			Code: "superseded", Message: "superseded: an operator was first",
		}}})
		return
	}
	w := Waiter{Command: in.Command, kind: waitStart, outcome: OutcomeApplied}
	switch t.s.Phase {
	case PhaseStopped, PhaseError:
		t.s.Epoch++
		t.s.Up = true
		t.resetAttempts()
		t.wait(w)
		t.begin(FlowStart)
		t.s.adopting = in.Adopt
	case PhaseRunning, PhaseVerifying, PhaseReloading:
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
	case PhaseBackoff:
		t.resetAttempts()
		t.wait(w)
		t.startNow()
	case PhaseClearing, PhaseDraining:
		t.s.Up = true
		if t.s.After == AfterRest { // stopping: its turn comes after the stop
			t.s.Epoch++
			w.held, w.due, w.outcome = true, t.now, OutcomeDeferred
		} else {
			w.outcome = OutcomeJoined
		}
		t.wait(w)
	default:
		t.join(w)
		// a request waits for no timer (B025)
		if probe, waits := t.s.pendingOf(TimerProbe); waits && t.s.Flow == FlowRejoin {
			t.resetAttempts()
			t.cancel(probe)
			t.probeReady()
		}
	}
}

// join makes a command part of the flow under way. An automatic flow becomes an operator's: its failure has to be
// answered.
func (t *turn) join(w Waiter) {
	if t.s.Flow == FlowRevive {
		t.s.Flow, t.s.Attempt = FlowStart, 1
	}
	t.s.adopting = false
	w.outcome = OutcomeJoined
	t.wait(w)
}

// stop handles the request that the gateway be down (B034..B038, B210..B219). It works in every state.
func (t *turn) stop(in StopRequested) {
	if in.External && t.s.Attached && t.s.Session == 0 {
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_connected", Message: "cannot ask the gateway to shut down: there is no session with it",
			Hint: "end it where it was started; `gatehost stop` without --external detaches from it",
		}}})
		return
	}
	t.s.Epoch++
	if t.s.Phase == PhaseStopped && t.s.leftoversKnown {
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
		return
	}
	t.s.Up = false
	t.supersede("a stop was requested")
	t.disarm(TimerRefresh)
	w := Waiter{Command: in.Command, kind: waitStop, outcome: OutcomeApplied}
	joining := (t.s.Phase == PhaseClearing || t.s.Phase == PhaseDraining) && t.s.After == AfterRest
	if joining {
		w.outcome = OutcomeJoined
	}
	w.extern = in.External && t.s.Attached
	if t.s.Attached && !w.extern { // it runs on: no stop may be claimed
		w.outcome = OutcomeDetached
	}
	if !w.extern { // a request to detach is the later one, and supersedes
		t.replyWhere(func(w Waiter) bool { return w.extern }, superseded("a stop without --external was requested"))
	}
	t.wait(w)
	grace := t.p.Grace
	if in.Now {
		grace = 0
	}
	switch {
	case w.extern && joining: // it has been asked
	case w.extern:
		t.askShutdown()
	case joining && !in.Now && (in.Drain || t.s.Phase == PhaseClearing): // the stop under way does it
	case joining && t.s.Phase == PhaseClearing:
		t.terminate(0)
	case in.Drain && !in.Now && t.s.Session != 0 && !t.s.Attached:
		t.drain()
	default:
		t.bringDown(AfterRest, Problem{}, grace)
	}
}

// restart handles the request for a new process (B230..B236).
func (t *turn) restart(in RestartRequested) {
	w := Waiter{Command: in.Command, kind: waitRestart, outcome: OutcomeApplied, force: in.Force}
	switch {
	case t.s.Attached:
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_owned", Message: "cannot restart the gateway: gatehost did not start it",
			Hint: "restart it where it was started, or stop it there and run `gatehost start`",
		}}})
	case in.Delay > 0 && !t.s.Up:
		// A change is read by the next start; it is no request to start (B245).
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
	case t.s.Phase == PhaseStopped, t.s.Phase == PhaseError && t.s.Launch == "":
		t.s.Epoch++
		t.s.Up = true
		t.resetAttempts()
		t.wait(w)
		t.begin(FlowStart)
	case t.s.Phase == PhaseBackoff && in.Delay == 0:
		t.resetAttempts()
		t.wait(w)
		t.startNow()
	case (t.s.Phase == PhaseClearing || t.s.Phase == PhaseDraining) && t.s.After == AfterRest:
		t.s.Epoch++
		t.s.Up = true
		w.held, w.due, w.outcome = true, t.now, OutcomeDeferred
		t.wait(w)
	case t.s.Phase == PhaseClearing && in.Delay == 0:
		w.outcome = OutcomeJoined // the next process is newer than the request
		t.wait(w)
	case t.s.Phase == PhaseError:
		t.wait(w)
		t.restartNow(Problem{})
	case in.Delay == 0 && (t.s.Flow == FlowRejoin || t.s.Phase == PhaseReloading):
		w.held, w.due = true, t.now
		t.wait(w)
		t.restartChecked(Problem{})
	case t.canRefresh() || in.Delay > 0:
		t.ask(w, in.Delay)
	case t.s.Launch == "": // no process yet: the next one covers the request (B233)
		t.join(w)
	default:
		w.outcome = OutcomeDeferred
		t.ask(w, 0)
	}
}

// drain begins a stop that lets work in flight end. A second stop without it ends the gateway at once.
func (t *turn) drain() {
	t.s.reload = nil
	t.cancelAll()
	t.s.After = AfterRest
	t.enter(PhaseDraining)
	t.emit(Drain{Op: t.open(Op{Kind: OpDrain, Session: t.s.Session}), Session: t.s.Session})
}

// askShutdown begins the stop of an attached gateway. It is asked, never signalled.
func (t *turn) askShutdown() {
	t.s.reload = nil
	t.cancelAll()
	t.s.After = AfterRest
	t.enter(PhaseDraining)
	t.emit(Shutdown{Op: t.open(Op{Kind: OpShutdown, Session: t.s.Session}), Session: t.s.Session})
}

// shutdownAsked handles the answer to askShutdown: a gateway that ends is detached. One that does not is kept, and the
// request has failed.
func (t *turn) shutdownAsked(in ShutdownAsked) {
	if in.Result == OK {
		t.bringDown(AfterRest, Problem{}, t.p.Grace)
		return
	}
	p := in.Problem
	t.replyWhere(
		func(w Waiter) bool { return w.extern },
		func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
	t.s.Up, t.s.After = true, AfterNothing
	t.enter(PhaseRunning)
	t.arm(TimerSilence, t.p.Silence)
	t.releaseHeld()
	t.succeed(waitStart)
}

// drained ends the gateway, whether its work has ended or could not be waited for.
func (t *turn) drained(in Drained) {
	if in.Problem.Message != "" {
		t.condition(Condition{
			Code: "not-drained", Message: "work in flight was not waited for: " + in.Problem.Message,
			Hint: in.Problem.Hint,
		})
	}
	t.bringDown(AfterRest, Problem{}, t.p.Grace)
}

// startNow turns a waiting automatic attempt into the operator's start.
func (t *turn) startNow() {
	t.s.Epoch++
	t.s.Up = true
	t.cancelAll()
	if t.s.Attached {
		t.rejoin(t.p.RejoinWithin)
		return
	}
	t.begin(FlowStart)
}

func (t *turn) wait(w Waiter) { t.s.Waiters = append(t.s.Waiters, w) }

// replyWhere answers the waiters that match, and removes them.
func (t *turn) replyWhere(match func(Waiter) bool, outcome func(Waiter) Outcome) {
	t.s.Waiters = slices.DeleteFunc(t.s.Waiters, func(w Waiter) bool {
		if !match(w) {
			return false
		}
		t.emit(Reply{w.Command, outcome(w)})
		return true
	})
}

func (t *turn) supersede(why string) {
	t.replyWhere(func(w Waiter) bool { return w.kind != waitStop }, superseded(why))
}

func superseded(why string) func(Waiter) Outcome {
	return func(Waiter) Outcome {
		return Outcome{Kind: OutcomeSuperseded, Problem: &Problem{Code: "superseded", Message: "superseded: " + why}}
	}
}

// succeed answers the waiters whose request is fulfilled. Held ones keep waiting for their turn.
func (t *turn) succeed(kinds ...waiterKind) {
	t.replyWhere(
		func(w Waiter) bool { return slices.Contains(kinds, w.kind) && !w.held },
		func(w Waiter) Outcome { return Outcome{Kind: w.outcome} })
}

// refuse answers the waiters whose request failed, while the gateway runs on. Held ones keep their turn.
func (t *turn) refuse(p Problem, kinds ...waiterKind) {
	t.replyWhere(
		func(w Waiter) bool { return slices.Contains(kinds, w.kind) && !w.held },
		func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
}

// fail answers all waiters with a failure.
func (t *turn) fail(p Problem) {
	t.replyWhere(
		func(Waiter) bool { return true },
		func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
}

// releaseHeld gives held waiters their turn and reports whether there were any.
func (t *turn) releaseHeld() bool {
	found := false
	for i := range t.s.Waiters {
		if t.s.Waiters[i].held {
			t.s.Waiters[i].held, found = false, true
		}
	}
	return found
}

// resetAttempts forgets earlier automatic attempts: an operator requested something, or the gateway was stable.
func (t *turn) resetAttempts() { t.s.Reconnects, t.s.pace = 0, pace{} }
