package lifecycle

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// begin starts the chain of phases from the first one, as a new flow.
func (t *turn) begin(f Flow) {
	t.cancelAll()
	t.s.Flow, t.s.Attempt, t.s.Repaired, t.s.repair = f, 1, false, repairState{}
	t.s.Err, t.s.adopting = nil, false
	t.arm(TimerStart, t.p.StartTimeout)
	t.attempt()
}

// attempt starts the chain of phases within the present flow.
func (t *turn) attempt() {
	t.s.Cause, t.s.Failed, t.s.Readiness = Problem{}, "", 0
	t.s.Conditions = nil
	t.s.Attached, t.s.port = false, portNotMeant
	t.s.pace.flaps, t.s.pace.waited = 0, 0
	t.enter(PhaseRecovering)
	t.emit(Recover{Op: t.open(Op{Kind: OpRecover})})
}

// recovered handles the traces of earlier launches: a live and watched one is adopted, any other live one is ended
// first, one after the other, since two owned gateways must never live at once (invariant 1).
func (t *turn) recovered(in Recovered) {
	stopping := t.s.Phase == PhaseClearing
	if in.Result != OK && t.s.Phase == PhaseError {
		t.arm(TimerElsewhere, elsewhereRetry)
		return
	}
	if in.Result != OK && stopping {
		t.endAgain("cannot find out whether a process of the gateway lives: ", in.Problem)
		return
	}
	if in.Result != OK {
		t.bringDown(AfterFailed, in.Problem, t.p.Grace)
		return
	}
	if t.s.Phase == PhaseError { // only asked whether what is elsewhere has ended
		t.askedElsewhere(in)
		return
	}
	var live []Instance
	for _, inst := range in.Instances {
		if inst.Live {
			live = append(live, inst)
		}
		if inst.Live || inst.Elsewhere != "" {
			continue
		}
		if t.s.LastExit == nil && inst.Exit.Known {
			t.exited(inst.Exit, inst.Process)
		}
		t.emit(Release{Launch: inst.Launch})
	}
	t.forget()
	away := elsewhere(in.Instances)
	t.s.leftoversKnown = len(live) <= 1 && away == nil
	if len(live) > 0 {
		t.s.adopting = false
	}
	switch {
	case len(live) == 0 && away != nil && stopping:
		away.Message = "cannot stop the gateway: " + away.Message
		t.toError(*away)
	case len(live) == 0 && away != nil: // two gateways must never live at once, wherever they are (invariant 1)
		away.Message = "the gateway was not started: " + away.Message
		t.bringDown(AfterGiveUp, *away, t.p.Grace)
	case len(live) == 0 && stopping:
		t.cleared()
	case t.s.adopting: // nothing to adopt
		t.s.Up, t.s.adopting = false, false
		t.replyWhere(
			func(Waiter) bool { return true },
			func(Waiter) Outcome { return Outcome{Kind: OutcomeApplied} })
		t.disarm(TimerRefresh)
		t.rest()
	case len(live) == 0:
		t.enter(PhaseServices)
		t.emit(ClearServices{Op: t.open(Op{Kind: OpServices})})
	case len(live) == 1 && (live[0].Watched || t.p.OnShimLoss == ShimLossKeep) &&
		!stopping && !t.wantsNew():
		t.adopt(live[0])
	default:
		// The newest watched one is kept for last; its turn to be adopted comes when it is alone.
		doomed := slices.MinFunc(live, func(a, b Instance) int {
			if a.Watched != b.Watched {
				return cmp.Compare(btoi(a.Watched), btoi(b.Watched))
			}
			return a.Process.StartedAt.Compare(b.Process.StartedAt)
		})
		t.s.Launch, t.s.Process = doomed.Launch, doomed.Process
		if doomed.Watched { // its last lines are read before it is forgotten
			t.emit(Watch{Launch: doomed.Launch, Adopted: true})
		}
		if stopping {
			t.terminate(t.p.Grace)
			return
		}
		t.bringDown(AfterBegin, Problem{}, t.p.Grace)
	}
}

// CodeElsewhere is the code of the problem of a gateway that lives, or may live, where this host cannot look.
const CodeElsewhere = "elsewhere"

// elsewhereRetry is how often it is asked whether such a gateway has ended.
const elsewhereRetry = 5 * time.Second

// elsewhere returns the problem of the newest instance that is elsewhere; nil when there is none.
func elsewhere(all []Instance) *Problem {
	for _, inst := range slices.Backward(all) {
		if inst.Elsewhere != "" {
			return &Problem{
				Code: CodeElsewhere, Message: inst.Elsewhere,
				Hint: "stop it there, or wait: this host starts the gateway when that one has ended; if no other machine " +
					"or container uses the state directory, set exclusive_storage = true in [plugins.utility.config]",
			}
		}
	}
	return nil
}

// askedElsewhere handles what was found while the error of an instance elsewhere is shown: as long as it is there
// nothing changes, so that it does not look like one failed start after the other.
func (t *turn) askedElsewhere(in Recovered) {
	away := elsewhere(in.Instances)
	if away == nil {
		t.begin(FlowRevive)
		return
	}
	t.arm(TimerElsewhere, elsewhereRetry)
}

// wantsNew says whether a restart request is waiting that is newer than any process an earlier host left.
func (t *turn) wantsNew() bool {
	return slices.ContainsFunc(t.s.Waiters, func(w Waiter) bool {
		return w.kind == waitRestart && !w.due.After(t.now)
	})
}

// forget drops a launch that an earlier error left owned: the launcher's listing is newer.
func (t *turn) forget() {
	if t.s.Launch != "" {
		t.emit(Unwatch{Launch: t.s.Launch})
	}
	t.disown()
}

func (t *turn) disown() { t.s.Launch, t.s.Process, t.s.Adopted, t.s.Drift = "", Process{}, false, nil }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *turn) adopt(inst Instance) {
	t.s.Launch, t.s.Process, t.s.Adopted, t.s.Drift = inst.Launch, inst.Process, true, inst.Drift
	// By the monotonic clock: the wall clock may be set back (B010).
	t.s.SpawnedAt = t.now.Add(-max(t.now.Sub(inst.Process.StartedAt), 0))
	t.drifted()
	if !inst.Watched {
		t.unwatched("its shim is gone")
	}
	t.emit(Watch{Launch: inst.Launch, Adopted: true})
	t.heldBack() // when adopted again after an error: its line was read long ago
	t.waitReady()
}

// drifted shows the condition of settings that differ from those the process was launched with.
func (t *turn) drifted() {
	t.s.Conditions = slices.DeleteFunc(t.s.Conditions, func(c Condition) bool { return c.Code == codeDrift })
	if len(t.s.Drift) > 0 {
		t.condition(Condition{
			Code: codeDrift,
			Message: "the gateway was launched with another configuration than the present one: " +
				strings.Join(t.s.Drift, ", "),
			Hint: "restart it when that suits; until then it runs as it was launched",
		})
	}
}

const codeDrift = "drift"

// reconfigured handles changed settings: nothing is started or ended for them, they apply from the next decision on.
func (t *turn) reconfigured(in Reconfigured) {
	if t.s.Owner() == OwnerNone {
		t.s.Drift = nil // the next launch has the new ones
		return
	}
	t.s.Drift = slices.Clone(in.Drift)
	t.drifted()
}

func (t *turn) servicesCleared(in ServicesCleared) {
	if in.Result != OK {
		t.bringDown(AfterGiveUp, in.Problem, t.p.Grace)
		return
	}
	t.enter(PhaseProbing)
	t.emit(ProbePort{Op: t.open(Op{Kind: OpPort})})
}

func (t *turn) portProbed(in PortProbed) {
	switch {
	case t.s.Phase == PhaseError:
		t.portWatched(in)
	case in.Holder == HolderNone:
		t.enter(PhaseHooks)
		t.emit(RunHooks{Op: t.open(Op{Kind: OpHooks})})
	case in.Holder == HolderGateway && t.p.OnConflict == ConflictAttach:
		t.s.Attached = true
		t.waitReady()
	default: // named, never touched (B103)
		t.s.port = portHeld
		t.bringDown(AfterGiveUp, in.Problem, t.p.Grace)
	}
}

// portRetry is the time between two looks at a port that another program has.
const portRetry = 3 * time.Second

// portWatched starts the gateway when the program that had its port has gone, within seconds. A port that
// was never seen taken says nothing: then the program has something else that the gateway needs.
func (t *turn) portWatched(in PortProbed) {
	switch {
	case in.Holder != HolderNone:
		t.s.port = portHeld
		t.arm(TimerPort, portRetry)
	case t.s.port != portHeld:
		t.s.port = portNotMeant
	case t.s.Up && t.p.SlowRetry > 0:
		t.begin(FlowRevive)
	default:
		t.s.port = portNotMeant
		p := *t.s.Err
		p.Message, p.Hint = p.Message+"; the port is free now", "start the gateway"
		t.s.Err = &p
	}
}

// hooksDone handles the end of the hooks, also when the launch was given up meanwhile.
func (t *turn) hooksDone(op Op, in HooksDone) {
	switch {
	case op.Abandoned:
		t.cleared()
	case in.Result != OK:
		t.bringDown(AfterFailed, in.Problem, t.p.Grace)
	default:
		t.enter(PhasePreparing)
		t.emit(PrepareLaunch{Op: t.open(Op{Kind: OpPrepare})})
	}
}

func (t *turn) launchPrepared(in LaunchPrepared) {
	if in.Result != OK {
		t.bringDown(AfterFailed, in.Problem, t.p.Grace)
		return
	}
	t.disown()
	t.s.Launch = in.Launch
	t.cover(waitStart, waitRestart, waitReload)
	t.enter(PhaseAligning)
	t.emit(AlignConfig{Op: t.open(Op{Kind: OpAlign, Launch: in.Launch}), Launch: in.Launch})
}

// configAligned goes on with the launch, also when the gateway's file could not be aligned.
func (t *turn) configAligned(op Op) {
	if op.Abandoned {
		t.notLaunched(op)
		return
	}
	t.s.SpawnedAt = t.now
	t.enter(PhaseLaunching)
	t.emit(Launch{Op: t.open(Op{Kind: OpLaunch, Launch: op.Launch}), Launch: op.Launch})
}

// notLaunched releases a launch identity of which there is no process, and goes on with the way down if one waits for
// it.
func (t *turn) notLaunched(op Op) {
	t.s.Launch = ""
	t.emit(Release{Launch: op.Launch})
	if op.Abandoned {
		t.cleared()
	}
}

func (t *turn) launched(op Op, in Launched) {
	switch in.Result {
	case OK:
		t.processExists(op, in.Instance)
	case Failed:
		if t.notLaunched(op); !op.Abandoned {
			t.bringDown(AfterFailed, in.Problem, t.p.Grace)
		}
	case Unknown: // the launcher died during the call: ask its successor (R21)
		t.emit(Inspect{
			Op: t.open(Op{Kind: OpInspect, Launch: op.Launch, Abandoned: op.Abandoned}), Launch: op.Launch,
		})
	}
}

func (t *turn) inspected(op Op, in Inspected) {
	switch {
	case op.Kind == OpReach:
		t.launcherReached(in)
	case in.Result == OK && in.Found:
		t.processExists(op, in.Instance)
	case in.Result == OK:
		if t.notLaunched(op); !op.Abandoned {
			t.bringDown(AfterFailed, Problem{
				Code: "launch_lost", Message: "the launcher died before it started the gateway",
			}, t.p.Grace)
		}
	case op.Abandoned:
		t.terminate(t.p.Grace) // it may live: end it by its LaunchID
	default:
		t.bringDown(AfterFailed, in.Problem, t.p.Grace)
	}
}

// processExists handles the moment when an owned process is known to exist, wanted or not.
func (t *turn) processExists(op Op, inst Instance) {
	t.s.Process = inst.Process
	t.emit(Watch{Launch: op.Launch}) // also of one that is ended at once: its output is kept
	if op.Abandoned {                // the start was given up meanwhile (B034)
		t.terminate(t.p.Grace)
		return
	}
	t.waitReady()
}

// waitReady probes the port until a connect has a chance, then connects. Both happen without opening a WebSocket more
// than once in a clean start (B066).
func (t *turn) waitReady() {
	t.s.Readiness = 0
	t.arm(TimerNoProgress, t.p.NoProgress)
	t.probeReady()
}

func (t *turn) probeReady() {
	t.enter(PhaseReady)
	t.emit(ProbeReady{Op: t.open(Op{Kind: OpReady}), Port: t.s.Process.Port})
}

func (t *turn) readyProbed(in ReadyProbed) {
	if in.Readiness != t.s.Readiness {
		t.s.Readiness = in.Readiness
		t.progress()
	}
	if in.Readiness == ReadinessOpen || in.Readiness == ReadinessReady {
		t.enter(PhaseConnecting)
		t.s.nextSession++
		id := t.s.nextSession
		t.emit(OpenSession{Op: t.open(Op{Kind: OpSession, Session: id}), Session: id, Port: t.s.Process.Port})
		return
	}
	t.arm(TimerProbe, t.p.ProbeInterval)
}

// progress handles any sign that a start goes on (R48).
func (t *turn) progress() {
	if _, waiting := t.s.pendingOf(TimerNoProgress); waiting {
		t.arm(TimerNoProgress, t.p.NoProgress)
	}
}

func (t *turn) sessionOpened(in SessionOpened) {
	t.disarm(TimerNoProgress, TimerStart, TimerProbe, TimerRejoin)
	t.s.Session, t.s.ConnectedAt, t.s.LastAlive = in.Session, t.now, t.now
	t.s.Hello, t.s.LastHello = &in.Hello, &in.Hello
	t.s.RunningSince = t.now
	t.s.Flow, t.s.Err, t.s.Cause = FlowNone, nil, Problem{}
	t.enter(PhaseRunning)
	t.arm(TimerSilence, t.p.Silence)
	t.reloadProven(in.Hello)
	t.succeed(waitStart, waitRestart, waitReload)
	t.refresh()
}

func (t *turn) sessionRefused(in SessionRefused) {
	switch {
	case in.Retryable:
		if t.s.Flow != FlowRejoin {
			t.s.Cause = in.Problem
		}
		t.enter(PhaseReady)
		t.arm(TimerProbe, max(in.RetryAfter, t.p.ProbeInterval))
	case (t.s.Flow == FlowRejoin || t.s.Adopted) && !in.Problem.Fatal: // tried until the start or the rejoin ends
		t.s.Cause = in.Problem
		t.enter(PhaseReady)
		t.arm(TimerProbe, max(time.Second, t.p.ProbeInterval))
	case in.Problem.Fatal && (t.s.Adopted || t.s.Attached || t.s.Flow == FlowRejoin):
		// A gateway that runs well is not killed because our credentials are refused (R26).
		p := in.Problem
		if slices.Contains(t.s.Drift, "token") {
			p.Message += "; the gateway's token was changed since this process was launched"
			p.Hint = "put the old token back, or restart the gateway to apply the new one; it runs on meanwhile"
		}
		t.toError(p)
	case in.Problem.Fatal:
		t.bringDown(AfterGiveUp, in.Problem, t.p.Grace)
	default:
		t.bringDown(AfterFailed, in.Problem, t.p.Grace)
	}
}

func (t *turn) outputSeen(in OutputSeen) {
	if in.Launch != t.s.Launch {
		t.ignore("output of launch %s, which is not ours now", in.Launch)
		return
	}
	t.progress()
}

// stuck says how far a start came, and why its last connect failed.
func (t *turn) stuck() string {
	if refused := t.s.Cause.Message; refused != "" {
		return t.howFar() + "; when it was connected to last: " + refused
	}
	return t.howFar()
}

func (t *turn) howFar() string {
	switch {
	case t.s.Phase == PhaseConnecting:
		return "it takes connections, but connect.challenge or its answer to connect did not come"
	case t.s.Readiness == ReadinessStarting:
		return "it says that it is still starting"
	case t.s.Readiness == ReadinessClosed:
		return "its port is closed"
	default:
		return "its port is open, but no session could be opened"
	}
}
