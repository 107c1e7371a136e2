package lifecycle

import (
	"cmp"
	"fmt"
	"time"
)

// killAttempts is how often a stop that failed or whose outcome is unknown is tried.
const killAttempts = 3

// bringDown ends all operations of the present flow, closes the session, ends the owned process, and then goes on with
// after. The cause is set for AfterFailed, AfterLost and AfterGiveUp.
func (t *turn) bringDown(after After, cause Problem, grace time.Duration) {
	t.s.After = after
	if cause.Code != "" {
		t.s.Cause = cause
	}
	t.s.reload = nil
	t.cancelAllBut(TimerStart, after == AfterFailed || after == AfterBegin)
	t.enter(PhaseClearing)
	t.dropSession()
	t.s.Failed = t.s.Launch
	t.s.ending.tries = 0
	if t.s.Launch != "" {
		t.terminate(grace)
		return
	}
	t.cleared()
}

func (t *turn) cancelAllBut(kind OpKind, keep bool) {
	for _, id := range t.pendingIDs() {
		if have := t.s.Pending[id].Kind; have == TimerRefresh || keep && have == kind {
			continue
		}
		t.cancel(id)
	}
}

func (t *turn) dropSession() {
	if t.s.Session != 0 {
		t.emit(CloseSession{Session: t.s.Session})
	}
	t.s.Session, t.s.Hello, t.s.ConnectedAt = 0, nil, time.Time{}
}

// terminate ends the owned launch, unless its start has not answered yet: it is ended when that answer comes.
func (t *turn) terminate(grace time.Duration) {
	for _, op := range t.s.Pending {
		if op.mayLaunch() {
			return
		}
	}
	if t.s.Launch == "" {
		t.cleared()
		return
	}
	t.disarm(TimerTerminate)
	t.emit(Terminate{
		Op: t.open(Op{Kind: OpTerminate, Launch: t.s.Launch}), Launch: t.s.Launch, Grace: grace,
	})
}

func (t *turn) terminated(op Op, in Terminated) {
	if in.Result == OK && op.Launch == t.s.Launch && t.s.Phase != PhaseClearing && t.s.Phase != PhaseError {
		// A stop that was given up has ended what was adopted since: its end is an exit like any other.
		t.processExited(ProcessExited{Launch: op.Launch, Exit: in.Exit})
		return
	}
	if in.Result == OK {
		if op.Launch == t.s.Launch {
			if in.Exit.Known {
				t.exited(in.Exit, t.s.Process)
			}
			t.emit(Unwatch{Launch: op.Launch, Ended: true})
			t.emit(Release{Launch: op.Launch})
			t.disown()
		}
		t.disarm(TimerTerminate)
		t.cleared()
		return
	}
	if op.Launch != t.s.Launch { // another stop of it succeeded meanwhile
		t.cleared()
		return
	}
	t.endAgain("cannot end the gateway's process: ", in.Problem)
}

// endAgain tries to end the owned process again after a second, at most killAttempts times.
func (t *turn) endAgain(what string, p Problem) {
	t.s.ending.tries++
	if t.s.ending.tries < killAttempts {
		t.arm(TimerTerminate, time.Second)
		return
	}
	p.Message = what + p.Message
	if t.s.After == AfterRestart && t.s.ending.worked {
		t.keepRunning(p)
		return
	}
	t.toError(p)
}

// keepRunning gives up a restart that cannot end the process: its waiters are answered, and the gateway, which worked,
// is connected to again at once.
func (t *turn) keepRunning(p Problem) {
	p.Hint = cmp.Or(
		p.Hint, "the gateway runs on as before; restart it when its launcher answers (see `gatehost plugin list`)",
	)
	t.refuse(p, waitRestart, waitReload)
	t.s.After, t.s.Cause = AfterNothing, p
	t.heldBack()
	t.rejoin(t.p.RejoinWithin)
}

// cleared goes on with State.After once no owned process is alive and no operation is pending that could change that.
func (t *turn) cleared() {
	if t.s.Phase != PhaseClearing || t.s.Launch != "" || !t.settled() {
		return
	}
	after := t.s.After
	if after == AfterRest && !t.s.leftoversKnown { // a stop also ends what an earlier host left (invariant 2)
		if _, asked := t.s.pendingOf(OpRecover); !asked {
			t.emit(Recover{Op: t.open(Op{Kind: OpRecover})})
		}
		return
	}
	t.s.After = AfterNothing
	switch after {
	case AfterNothing:
	case AfterRest:
		t.rest()
	case AfterRestart:
		t.s.Restarts++
		t.begin(FlowStart)
	case AfterBegin:
		t.attempt()
	case AfterFailed:
		t.judge()
	case AfterLost:
		t.backOff()
	case AfterGiveUp:
		t.toError(t.s.Cause)
	}
}

func (t *turn) rest() {
	t.cancelAll()
	t.enter(PhaseStopped)
	t.s.Flow, t.s.Attached, t.s.Err = FlowNone, false, nil
	t.resetAttempts()
	t.s.Conditions = nil
	t.succeed(waitStop)
	if t.s.Up && t.releaseHeld() {
		t.begin(FlowStart)
	}
}

// judge decides about a failed attempt. If there was a process, the doctors are asked; any other failure explains
// itself.
func (t *turn) judge() {
	if t.s.Cause.Fatal || t.s.Failed == "" {
		t.retryOrFail()
		return
	}
	t.diagnose()
}

func (t *turn) diagnose() {
	t.enter(PhaseDiagnosing)
	t.emit(Diagnose{
		Op: t.open(Op{Kind: OpDiagnose}),
		Incident: Incident{
			Launch: t.s.Failed, Exit: t.s.LastExit, Problem: t.s.Cause, Attempt: t.s.Attempt, Repaired: t.s.Repaired,
		},
	})
}

func (t *turn) diagnosed(in Diagnosed) {
	afterUnknownRepair := t.s.repair.unknown
	t.s.repair.unknown = false
	repairable := in.Plan != ""
	if afterUnknownRepair && in.Found && repairable && !in.OtherOwner && !t.s.repair.lost {
		t.s.repair.lost, t.s.Repaired = true, false // it did not happen: repair once more, and not again
	}
	switch {
	case !in.Found && afterUnknownRepair:
		t.attemptAgain()
	case !in.Found:
		t.retryOrFail()
	case in.OtherOwner:
		t.s.port = portSuspected
		t.toError(in.Problem)
	case repairable && t.s.Repaired: // one repair per start (B053, invariant 7)
		p := in.Problem
		p.Fatal = true
		p.Message += " (a repair was already done and did not help)"
		t.toError(p)
	case repairable && t.p.Repair == RepairAuto:
		t.s.Cause, t.s.Plan = in.Problem, in.Plan
		t.enter(PhaseRepairing)
		t.emit(Repair{Op: t.open(Op{Kind: OpRepair}), Plan: t.s.Plan})
	case repairable:
		p := in.Problem
		p.Fatal = true
		p.Hint = "run `gatehost doctor NAME --repair` (repair.mode is " + string(t.p.Repair) + "), or " + p.Hint
		t.toError(p)
	case in.Problem.Fatal:
		t.toError(in.Problem)
	default:
		t.s.Cause = in.Problem
		t.retryOrFail()
	}
}

func (t *turn) repaired(op Op, in Repaired) {
	t.s.Repaired = true
	if op.Abandoned {
		t.cleared()
		return
	}
	switch in.Result {
	case OK:
		t.attemptAgain()
	case Unknown: // find out what it did before going on (R21), when it can do no more
		t.s.repair.unknown = true
		t.arm(TimerRepair, t.p.RepairSettle)
	case Failed:
		p := t.s.Cause
		p.Fatal = true
		p.Message += "; the repair failed: " + in.Problem.Message
		if in.Problem.Hint != "" {
			p.Hint = in.Problem.Hint
		}
		t.toError(p)
	}
}

// attemptAgain is the additional attempt after a repair, whatever attempt it was (B050, B052).
func (t *turn) attemptAgain() {
	t.s.Attempt++
	t.attempt()
}

func (t *turn) retryOrFail() {
	switch {
	case t.s.Cause.Fatal:
		t.toError(t.s.Cause)
	case t.s.Flow != FlowStart:
		t.backOff()
	case t.s.Attempt < t.p.StartAttempts:
		t.s.Attempt++
		t.enter(PhaseRetryWait)
		t.arm(TimerRetry, t.p.RetryDelay)
	default:
		t.toError(t.s.Cause)
	}
}

// toError ends a flow that failed: its waiters are answered, the error is shown, and it is tried slowly or not at all.
func (t *turn) toError(p Problem) {
	t.cancelAll()
	t.disarm(TimerRefresh) // its waiters are answered below
	t.dropSession()
	t.s.reload = nil
	if t.s.adopting { // only an adoption was requested: no slow attempt starts the gateway
		t.s.Up = false
	}
	t.enter(PhaseError)
	t.s.Flow, t.s.After, t.s.Err = FlowNone, AfterNothing, &p
	t.fail(p)
	if p.Code == CodeElsewhere { // no attempt was made, and none is made before that one has ended
		if t.s.Up {
			t.arm(TimerElsewhere, elsewhereRetry)
		}
		return
	}
	t.s.pace.slow = true // automatic attempts are slow from now on (invariant 5)
	if !p.Fatal && t.s.Up && t.p.SlowRetry > 0 {
		t.arm(TimerSlow, min(cmp.Or(p.RetryAfter, t.p.SlowRetry), t.p.SlowRetry))
	}
	if t.s.port != portNotMeant {
		t.arm(TimerPort, portRetry)
	}
}

// errorRevised shows what a person's change has made of the error. Nothing is started for it.
func (t *turn) errorRevised(in ErrorRevised) {
	if t.s.Phase != PhaseError || !t.s.PhaseSince.Equal(in.Since) {
		t.ignore("revision of an error that is not shown any more")
		return
	}
	p := in.Problem
	p.Fatal = t.s.Err.Fatal // the next attempt stays as it was planned
	t.s.Err = &p
}

// dice returns a number that differs from step to step and from gateway to gateway.
func (t *turn) dice() uint64 { return t.s.Epoch<<32 + uint64(t.s.nextOp) }

// backOff schedules the next automatic attempt (B196..B200).
func (t *turn) backOff() {
	if !t.s.Up {
		t.rest()
		return
	}
	if t.s.pace.slow {
		t.toError(t.s.Cause)
		return
	}
	if t.s.Reconnects >= t.p.ReconnectAttempts {
		p := t.s.Cause
		p.Message = fmt.Sprintf("gave up fast attempts after %d: %s", t.p.ReconnectAttempts, p.Message)
		t.toError(p)
		return
	}
	t.cancelAll()
	delay := t.p.backoff(t.s.Reconnects, t.dice())
	delay = max(delay, t.s.RestartedAt.Add(t.p.RestartCooldown).Sub(t.now)) // B198
	t.s.Reconnects++
	t.s.Flow = FlowRevive
	t.enter(PhaseBackoff)
	t.arm(TimerBackoff, delay)
}
