package lifecycle

import (
	"fmt"
	"slices"
	"time"
)

// Step is total and pure: the same arguments give the same answer. An input that means nothing here returns the state
// unchanged and one Ignored effect that says why.
func Step(p Policy, s State, in Input, now time.Time) (State, []Effect) {
	t := &turn{p: p, s: s.clone(), now: now}
	switch in := in.(type) {
	case StartRequested:
		t.start(in)
	case StopRequested:
		t.stop(in)
	case RestartRequested:
		t.restart(in)
	case ReloadRequested:
		t.reloadRequested(in)
	case Answer:
		t.answered(in)
	case ProcessExited:
		t.processExited(in)
	case WatchLost:
		t.watchLost(in)
	case OutputSeen:
		t.outputSeen(in)
	case SymptomSeen:
		t.symptomSeen(in)
	case SessionClosed:
		t.sessionClosed(in)
	case SessionAlive:
		t.sessionAlive(in)
	case ErrorRevised:
		t.errorRevised(in)
	case Reconfigured:
		t.reconfigured(in)
	default:
		panic(fmt.Sprintf("lifecycle: unhandled input %T", in)) // programmer error
	}
	return t.s, t.out
}

// answered settles the pending operation and hands its report on.
func (t *turn) answered(in Answer) {
	op, ok := t.s.Pending[in.Op]
	if !ok {
		t.late(in)
		return
	}
	delete(t.s.Pending, in.Op)
	switch r := in.Report.(type) {
	case Recovered:
		t.recovered(r)
	case ServicesCleared:
		t.servicesCleared(r)
	case PortProbed:
		t.portProbed(r)
	case Preflighted:
		t.preflighted(r)
	case HooksDone:
		t.hooksDone(op, r)
	case LaunchPrepared:
		t.launchPrepared(r)
	case ConfigAligned:
		t.configAligned(op)
	case Launched:
		t.launched(op, r)
	case Inspected:
		t.inspected(op, r)
	case ReadyProbed:
		t.readyProbed(r)
	case SessionOpened:
		t.sessionOpened(r)
	case SessionRefused:
		t.sessionRefused(r)
	case Verified:
		t.verified(r)
	case Reloaded:
		t.reloaded(r)
	case Drained:
		t.drained(r)
	case ShutdownAsked:
		t.shutdownAsked(r)
	case Terminated:
		t.terminated(op, r)
	case Diagnosed:
		t.diagnosed(r)
	case Repaired:
		t.repaired(op, r)
	case TimerFired:
		t.timerFired(op.Kind)
	default:
		panic(fmt.Sprintf("lifecycle: unhandled report %T", r)) // programmer error
	}
}

// late handles a late or second answer. A launch or session that it brought is released or closed.
func (t *turn) late(in Answer) {
	if r, ok := in.Report.(LaunchPrepared); ok && r.Result == OK && r.Launch != t.s.Launch {
		t.emit(Release{Launch: r.Launch}) // not of a second answer, which names the launch in use
	}
	if r, ok := in.Report.(SessionOpened); ok {
		t.emit(CloseSession{Session: r.Session})
	}
	t.ignore("answer %T to operation %d, which is not pending", in.Report, in.Op)
}

func (t *turn) timerFired(kind OpKind) {
	switch kind {
	case TimerProbe:
		t.probeReady()
	case TimerNoProgress:
		t.bringDown(AfterFailed, Problem{
			Code: "not_ready",
			Message: fmt.Sprintf(
				"the gateway showed no sign of progress for %v before becoming ready: %s", t.p.NoProgress, t.stuck(),
			),
			Hint: "look at its output with `gatehost logs`; raise ready.no_progress if it is only slow",
		}, t.p.Grace)
	case TimerStart:
		t.bringDown(AfterGiveUp, Problem{
			Code:    "start_timeout",
			Message: fmt.Sprintf("the gateway did not become ready within %v", t.p.StartTimeout),
			Hint:    "look at its output with `gatehost logs`; raise ready.timeout if it is only slow",
		}, t.p.Grace)
	case TimerRepair:
		t.diagnose()
	case TimerRetry:
		t.attempt()
	case TimerBackoff:
		if t.s.Attached {
			t.rejoin(t.p.RejoinWithin)
			return
		}
		t.begin(FlowRevive)
	case TimerSlow:
		if t.s.Attached { // only the connection: starting one beside it is an operator's decision (B204)
			t.s.Err = nil
			t.rejoin(t.p.RejoinWithin)
			return
		}
		t.begin(FlowRevive)
	case TimerElsewhere:
		t.emit(Recover{Op: t.open(Op{Kind: OpRecover})})
	case TimerRejoin:
		t.rejoinFailed()
	case TimerSilence:
		t.silence()
	case TimerTerminate:
		t.terminate(t.p.Grace)
	case TimerRefresh:
		t.refresh()
	case TimerReload:
		t.reloadFailed(fmt.Sprintf("the gateway took the reload, and did not restart within %v", t.p.ReloadSettle))
	case TimerPort:
		t.emit(ProbePort{Op: t.open(Op{Kind: OpPort}), OnlyFree: true})
	case TimerBreaker:
		t.breakerOver()
	default:
		t.ignore("timer of kind %s", kind)
	}
}

// turn is one Step in progress: a private copy of the state and the effects so far.
type turn struct {
	p   Policy
	s   State
	now time.Time
	out []Effect
}

func (t *turn) emit(e Effect) { t.out = append(t.out, e) }

func (t *turn) ignore(format string, args ...any) {
	t.emit(Ignored{Reason: fmt.Sprintf(format, args...)})
}

func (t *turn) enter(p Phase) {
	if t.s.Phase != p {
		t.s.Phase, t.s.PhaseSince = p, t.now
	}
}

func (t *turn) open(op Op) OpID {
	t.s.nextOp++
	t.s.Pending[t.s.nextOp] = op
	return t.s.nextOp
}

func (t *turn) arm(kind OpKind, after time.Duration) {
	t.disarm(kind)
	t.emit(SetTimer{Op: t.open(Op{Kind: kind}), After: after})
}

func (t *turn) disarm(kinds ...OpKind) {
	for _, id := range t.pendingIDs() {
		if slices.Contains(kinds, t.s.Pending[id].Kind) {
			t.cancel(id)
		}
	}
}

// pendingIDs returns them in order, so that Step is deterministic.
func (t *turn) pendingIDs() []OpID {
	ids := make([]OpID, 0, len(t.s.Pending))
	for id := range t.s.Pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// cancel ends an operation. One that may have created or changed something stays pending, abandoned, until its answer
// says what.
func (t *turn) cancel(id OpID) {
	op := t.s.Pending[id]
	if op.Abandoned {
		return
	}
	if op.mustSettle() {
		op.Abandoned = true
		t.s.Pending[id] = op
	} else {
		delete(t.s.Pending, id)
	}
	if op.Kind != OpTerminate { // a stop under way is never cancelled
		t.emit(Cancel{Op: id})
	}
}

// cancelAll ends everything that the present flow has under way.
func (t *turn) cancelAll() {
	for _, id := range t.pendingIDs() {
		if t.s.Pending[id].Kind != TimerRefresh { // requests outlive flows
			t.cancel(id)
		}
	}
}

// settled says whether no operation is pending whose outcome must be known first.
func (t *turn) settled() bool {
	for _, op := range t.s.Pending {
		if op.mustSettle() || op.Kind == TimerTerminate {
			return false
		}
	}
	return true
}
