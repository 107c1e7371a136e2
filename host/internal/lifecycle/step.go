package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle/mutant"
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
	case HooksDone:
		answer(t, in.Op, func(op Op) { t.hooksDone(op, in) })
	case Reloaded:
		answer(t, in.Op, func(Op) { t.reloaded(in) })
	case Drained:
		answer(t, in.Op, func(Op) { t.drained(in) })
	case Recovered:
		answer(t, in.Op, func(Op) { t.recovered(in) })
	case ServicesCleared:
		answer(t, in.Op, func(Op) { t.servicesCleared(in) })
	case PortProbed:
		answer(t, in.Op, func(Op) { t.portProbed(in) })
	case ShutdownAsked:
		answer(t, in.Op, func(Op) { t.shutdownAsked(in) })
	case LaunchPrepared:
		t.launchPrepared(in)
	case Launched:
		answer(t, in.Op, func(op Op) { t.launched(op, in) })
	case Inspected:
		answer(t, in.Op, func(op Op) { t.inspected(op, in) })
	case ReadyProbed:
		answer(t, in.Op, func(Op) { t.readyProbed(in) })
	case SessionOpened:
		t.sessionOpened(in)
	case SessionRefused:
		answer(t, in.Op, func(Op) { t.sessionRefused(in) })
	case Verified:
		answer(t, in.Op, func(Op) { t.verified(in) })
	case Terminated:
		answer(t, in.Op, func(op Op) { t.terminated(op, in) })
	case Diagnosed:
		answer(t, in.Op, func(Op) { t.diagnosed(in) })
	case Repaired:
		answer(t, in.Op, func(op Op) { t.repaired(op, in) })
	case TimerFired:
		answer(t, in.Op, func(op Op) { t.timerFired(op.Kind) })
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
	case Reconfigured:
		t.reconfigured(in)
	default:
		panic(fmt.Sprintf("lifecycle: unhandled input %T", in)) // programmer error
	}
	return t.s, t.out
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

// answer settles a pending operation and hands its answer on. A late or second answer has no pending operation.
func answer(t *turn, id OpID, handle func(Op)) {
	op, ok := t.s.Pending[id]
	if !ok {
		t.ignore("answer to operation %d, which is not pending", id)
		return
	}
	delete(t.s.Pending, id)
	handle(op)
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

// pendingIDs is in order, so that Step is deterministic.
func (t *turn) pendingIDs() []OpID {
	ids := make([]OpID, 0, len(t.s.Pending))
	for id := range t.s.Pending {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// cancel ends an operation. One that may have created something stays pending, abandoned, until its answer says what.
func (t *turn) cancel(id OpID) {
	op := t.s.Pending[id]
	if op.Abandoned || mutant.On(mutant.OldTimerActs) && (op.Kind == TimerBackoff || op.Kind == TimerRetry || op.Kind == TimerSlow) {
		return
	}
	if op.mustSettle() {
		op.Abandoned = true
		t.s.Pending[id] = op
	} else {
		delete(t.s.Pending, id)
	}
	if op.Kind != OpTerminate { // a stop under way is never called back
		t.emit(Cancel{Op: id})
	}
}

// cancelAll ends everything that the present flow has under way.
func (t *turn) cancelAll() {
	for _, id := range t.pendingIDs() {
		if t.s.Pending[id].Kind != TimerRefresh { // wishes outlive flows
			t.cancel(id)
		}
	}
}

// settled reports whether nothing is under way whose outcome must be known first.
func (t *turn) settled() bool {
	for _, op := range t.s.Pending {
		if op.mustSettle() || op.Kind == TimerTerminate {
			return false
		}
	}
	return true
}
