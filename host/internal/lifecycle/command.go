package lifecycle

import (
	"slices"
)

// start is the operator's wish that the gateway be up (B020..B026).
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
		t.fresh()
		t.wait(w)
		t.begin(FlowStart)
		t.s.adopting = in.Adopt
	case PhaseRunning, PhaseVerifying, PhaseReloading:
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}})
	case PhaseBackoff:
		t.fresh()
		t.wait(w)
		t.hurry()
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
		if probe, waits := t.s.pendingOf(TimerProbe); waits && t.s.Flow == FlowRejoin { // nobody's wish waits for a timer (B025)
			t.fresh()
			t.cancel(probe)
			t.probeReady()
		}
	}
}

// join makes a command part of the flow under way. An automatic flow becomes an operator's: its failure has to be answered.
func (t *turn) join(w Waiter) {
	if t.s.Flow == FlowRevive {
		t.s.Flow, t.s.Attempt = FlowStart, 1
	}
	t.s.adopting = false
	w.outcome = OutcomeJoined
	t.wait(w)
}

// stop is the operator's wish that the gateway be down (B034..B038, B210..B219). It works in every state.
func (t *turn) stop(in StopRequested) {
	if in.External && t.s.Attached && t.s.Session == 0 {
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_connected", Message: "cannot ask the gateway to shut down: there is no session with it",
			Hint: "end it where it was started; `gatehost stop` without --external lets go of it",
		}}})
		return
	}
	t.s.Epoch++
	if t.s.Phase == PhaseStopped && t.s.swept {
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
	if !w.extern { // to let go of it is the later wish, and comes first
		t.replyWhere(func(w Waiter) bool { return w.extern }, superseded("the gateway is let go without being asked"))
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

// restart is the operator's wish for a new process (B230..B236).
func (t *turn) restart(in RestartRequested) {
	w := Waiter{Command: in.Command, kind: waitRestart, outcome: OutcomeApplied}
	switch {
	case t.s.Attached:
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeFailed, Problem: &Problem{
			Code: "not_owned", Message: "cannot restart the gateway: it was started by somebody else",
			Hint: "restart it where it was started, or stop it there and run `gatehost start`",
		}}})
	case in.Delay > 0 && !t.s.Up:
		t.emit(Reply{in.Command, Outcome{Kind: OutcomeApplied}}) // a change is read by the next start; it is no wish to start (B245)
	case t.s.Phase == PhaseStopped, t.s.Phase == PhaseError && t.s.Launch == "":
		t.s.Epoch++
		t.s.Up = true
		t.fresh()
		t.wait(w)
		t.begin(FlowStart)
	case t.s.Phase == PhaseBackoff && in.Delay == 0:
		t.fresh()
		t.wait(w)
		t.hurry()
	case (t.s.Phase == PhaseClearing || t.s.Phase == PhaseDraining) && t.s.After == AfterRest:
		t.s.Epoch++
		t.s.Up = true
		w.held, w.due, w.outcome = true, t.now, OutcomeDeferred
		t.wait(w)
	case t.s.Phase == PhaseClearing && in.Delay == 0:
		w.outcome = OutcomeJoined // the process that comes is newer than the wish
		t.wait(w)
	case t.s.Phase == PhaseError, in.Delay == 0 && (t.s.Flow == FlowRejoin || t.s.Phase == PhaseReloading):
		t.s.reload = nil
		t.wait(w)
		t.restartNow(Problem{})
	case t.canRefresh() || in.Delay > 0:
		t.ask(w, in.Delay)
	case t.s.Launch == "": // no process yet: the one that comes covers the wish (B233)
		t.join(w)
	default:
		w.outcome = OutcomeDeferred
		t.ask(w, 0)
	}
}

// drain begins a stop that lets work in flight end; a second stop without it goes on at once.
func (t *turn) drain() {
	t.s.reload = nil
	t.cancelAll()
	t.s.After = AfterRest
	t.enter(PhaseDraining)
	t.emit(Drain{Op: t.open(Op{Kind: OpDrain, Session: t.s.Session}), Session: t.s.Session})
}

// askShutdown begins the stop of a gateway that is not ours. It is asked, never signalled.
func (t *turn) askShutdown() {
	t.s.reload = nil
	t.cancelAll()
	t.s.After = AfterRest
	t.enter(PhaseDraining)
	t.emit(Shutdown{Op: t.open(Op{Kind: OpShutdown, Session: t.s.Session}), Session: t.s.Session})
}

// shutdownAsked: a gateway that goes is let go; one that stays is kept, and the wish has failed.
func (t *turn) shutdownAsked(in ShutdownAsked) {
	if in.Result == OK {
		t.bringDown(AfterRest, Problem{}, t.p.Grace)
		return
	}
	p := in.Problem
	t.replyWhere(func(w Waiter) bool { return w.extern }, func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
	t.s.Up, t.s.After = true, AfterNothing
	t.enter(PhaseRunning)
	t.arm(TimerSilence, t.p.Silence)
	t.releaseHeld()
	t.succeed(waitStart)
}

func (t *turn) drained(in Drained) {
	if in.Problem.Message != "" {
		t.condition(Condition{Code: "not-drained", Message: "work in flight was not waited for: " + in.Problem.Message, Hint: in.Problem.Hint})
	}
	t.bringDown(AfterRest, Problem{}, t.p.Grace)
}

// hurry turns a waiting automatic attempt into the operator's start.
func (t *turn) hurry() {
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

// replyWhere answers and forgets the waiters that match.
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

// succeed answers the waiters whose wish has come true; held ones wait for their turn.
func (t *turn) succeed(kinds ...waiterKind) {
	t.replyWhere(
		func(w Waiter) bool { return slices.Contains(kinds, w.kind) && !w.held },
		func(w Waiter) Outcome { return Outcome{Kind: w.outcome} })
}

// refuse answers the waiters whose wish cannot be done, while the gateway goes on; held ones keep their turn.
func (t *turn) refuse(p Problem, kinds ...waiterKind) {
	t.replyWhere(
		func(w Waiter) bool { return slices.Contains(kinds, w.kind) && !w.held },
		func(Waiter) Outcome { return Outcome{Kind: OutcomeFailed, Problem: &p} })
}

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

// fresh forgets earlier automatic attempts: an operator has asked.
func (t *turn) fresh() { t.s.Reconnects, t.s.slow, t.s.flaps, t.s.waited = 0, false, 0, 0 }
