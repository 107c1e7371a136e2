package lifecycle

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// processExited handles the end of an owned process. It matches by LaunchID alone, also after a stop was requested
// (R1).
func (t *turn) processExited(in ProcessExited) {
	if in.Launch != t.s.Launch {
		t.ignore("exit of launch %s, which is not ours now", in.Launch)
		return
	}
	t.exited(in.Exit, t.s.Process)
	switch t.s.Phase {
	case PhaseClearing: // Terminated comes when the rest of its tree has ended, too
		t.s.ending.worked = false
	case PhaseError:
		t.bringDown(AfterGiveUp, *t.s.Err, t.p.Grace)
	case PhaseDraining:
		t.bringDown(AfterRest, Problem{}, t.p.Grace)
	case PhaseRunning, PhaseVerifying, PhaseReloading:
		t.lost(Problem{Code: "exited", Message: "the gateway ended: " + describe(in.Exit)})
	default:
		if t.s.Flow == FlowRejoin {
			t.lost(Problem{Code: "exited", Message: "the gateway ended: " + describe(in.Exit)})
			return
		}
		t.bringDown(AfterFailed, Problem{
			Code:    "exited_before_ready",
			Message: "Gateway process exited before becoming ready (" + describe(in.Exit) + ")",
			Hint:    "look at its last lines with `gatehost logs` or `gatehost status`",
		}, t.p.Grace)
	}
}

// exited stores how a process ended.
func (t *turn) exited(e Exit, p Process) {
	if !p.StartedAt.IsZero() && e.At.After(p.StartedAt) {
		e.Lasted = e.At.Sub(p.StartedAt)
	}
	t.s.LastExit = &e
}

func describe(e Exit) string {
	switch {
	case !e.Known:
		return "its exit was not seen"
	case e.Core:
		return "signal=" + e.Signal + ", core dumped"
	case e.Signal != "":
		return "signal=" + e.Signal
	default:
		return fmt.Sprintf("code=%d", e.Code)
	}
}

// watchLost handles a process that lives without its shim. It is ended gracefully and started again under a new shim,
// unless the operator wants it to run on.
func (t *turn) watchLost(in WatchLost) {
	if in.Launch != t.s.Launch {
		t.ignore("lost watch of launch %s, which is not ours now", in.Launch)
		return
	}
	switch t.s.Phase {
	case PhaseClearing, PhaseError, PhaseDraining:
		t.s.ending.worked = false
		t.ignore("lost watch while ending the launch")
	case PhaseRunning, PhaseVerifying, PhaseReloading, PhaseReady, PhaseConnecting:
		if t.p.OnShimLoss == ShimLossKeep {
			t.unwatched(in.Problem.Message)
			return
		}
		t.loseUnwatched(in.Problem)
	default:
		t.loseUnwatched(in.Problem)
	}
}

func (t *turn) loseUnwatched(p Problem) {
	if t.s.Public() == Running || t.s.Flow == FlowRejoin { // it was up: a new flow follows, with its own deadline
		t.lost(p)
		return
	}
	t.bringDown(AfterFailed, p, t.p.Grace)
}

func (t *turn) unwatched(why string) {
	t.condition(Condition{
		Code: "unwatched", Message: "the gateway runs unwatched: " + why + "; its output and how it ends are not seen",
		Hint: "restart it when that suits: it then has a new shim",
	})
}

// lost ends the remains of a gateway that was up, then backs off and revives it.
func (t *turn) lost(cause Problem) {
	t.stable()
	t.s.Restarts++
	t.s.Flow = FlowRevive
	t.bringDown(AfterLost, cause, t.p.Grace)
}

// stable forgets earlier attempts when the gateway has been healthy for long enough (B026, B203).
func (t *turn) stable() {
	if !t.s.RunningSince.IsZero() && t.now.Sub(t.s.RunningSince) >= t.p.StableAfter {
		t.resetAttempts()
	}
	t.s.RunningSince = time.Time{}
}

// sessionClosed handles the loss of the connection. What follows depends on what the gateway announced and on who owns
// its process.
func (t *turn) sessionClosed(in SessionClosed) {
	if in.Session != t.s.Session || in.Session == 0 {
		t.ignore("close of session %d, which is not the present one", in.Session)
		return
	}
	t.s.Cause = Problem{Code: "session_lost", Message: fmt.Sprintf("the session was lost (close code %d)", in.Code)}
	t.s.Session, t.s.Hello, t.s.ConnectedAt = 0, nil, time.Time{}
	t.disarm(TimerSilence, TimerReload, OpVerify, OpReload)
	if t.s.Phase == PhaseDraining { // it ended before its work did
		t.bringDown(AfterRest, Problem{}, t.p.Grace)
		return
	}
	lasted := t.now.Sub(t.s.RunningSince)
	t.stable()
	within := t.p.RejoinWithin
	if in.Announce == AnnounceRestart { // expected: costs no attempt and has its own deadline (B205)
		within = max(in.Expected, 0) + t.p.RestartSlack
		if t.s.reload != nil {
			r := *t.s.reload // a copy: the state before this step keeps its own
			r.announced = true
			t.s.reload = &r
		}
		pause := time.Duration(0)
		if lasted < t.p.ProbeInterval {
			pause = t.p.ProbeInterval
		}
		t.rejoinAfter(pause, within)
		return
	}
	t.flapped(lasted, within)
}

// flapped opens a lost session again: the first at once, further ones later and later while they do not last either. A
// gateway that accepts each session and drops it is treated in the end as one that accepts none.
func (t *turn) flapped(lasted, within time.Duration) {
	pause := time.Duration(0)
	if lasted < t.p.StableAfter {
		if t.s.pace.flaps++; t.s.pace.flaps > 1 {
			pause = t.p.backoff(t.s.pace.flaps-2, t.dice())
		}
	}
	if t.s.pace.waited += pause; t.s.pace.waited > within {
		t.rejoinFailed()
		return
	}
	t.rejoinAfter(pause, within)
}

// rejoinAfter is rejoin after a pause.
func (t *turn) rejoinAfter(pause, within time.Duration) {
	t.s.Flow = FlowRejoin
	t.s.Readiness = 0
	t.arm(TimerRejoin, pause+within)
	if pause <= 0 {
		t.probeReady()
		return
	}
	t.enter(PhaseReady)
	t.arm(TimerProbe, pause)
}

// rejoin tries the connection alone: the process lives, or is not owned (B204).
func (t *turn) rejoin(within time.Duration) { t.rejoinAfter(0, within) }

func (t *turn) rejoinFailed() {
	cause := Problem{Code: "session_lost", Message: "the gateway did not take a connection again in time"}
	if strings.HasPrefix(t.s.Cause.Message, cause.Message) { // an attached gateway is rejoined again and again
		cause = t.s.Cause
	} else if t.s.Cause.Code != "" && t.s.Cause.Message != "" {
		cause.Message += ": " + t.s.Cause.Message
	}
	if t.s.Attached {
		t.s.Cause = cause
		t.cancelAll()
		t.backOff()
		return
	}
	t.lost(cause)
}

func (t *turn) sessionAlive(in SessionAlive) {
	if in.Session != t.s.Session || in.Session == 0 {
		t.ignore("sign of life of session %d, which is not the present one", in.Session)
		return
	}
	t.s.LastAlive = t.now
}

// silence handles the deadline since the last sign of life: only then one call decides (B274). Frames do not move the
// timer: when it fires early, it is armed again for the remaining time.
func (t *turn) silence() {
	if t.s.Phase != PhaseRunning { // a reload has its own deadline
		t.arm(TimerSilence, t.p.Silence)
		return
	}
	silent := t.now.Sub(t.s.LastAlive)
	if silent < t.p.Silence {
		t.arm(TimerSilence, t.p.Silence-max(silent, 0))
		return
	}
	t.enter(PhaseVerifying)
	t.emit(VerifySession{Op: t.open(Op{Kind: OpVerify, Session: t.s.Session}), Session: t.s.Session})
}

func (t *turn) verified(in Verified) {
	if t.s.Phase != PhaseVerifying {
		t.ignore("answer to a verification that is over")
		return
	}
	// A sign of life during the call counts as well (B277).
	v := Verification{At: t.now, Alive: in.Alive || t.s.LastAlive.After(t.s.PhaseSince)}
	if !v.Alive {
		v.Why = cmp.Or(in.Why, VerifyFailed)
	}
	t.s.LastVerify = &v
	if v.Alive {
		if in.Alive {
			t.s.LastAlive = t.now
		}
		t.enter(PhaseRunning)
		t.arm(TimerSilence, t.p.Silence)
		t.refresh()
		return
	}
	cause := Problem{
		Code:    "silent",
		Message: fmt.Sprintf("the gateway was silent for %v and did not answer a call", t.p.Silence),
	}
	if t.s.Attached {
		t.stable()
		t.dropSession()
		t.s.Cause = cause
		t.rejoin(t.p.RejoinWithin)
		return
	}
	t.lost(cause)
}

// symptomSeen acts on the output of the owned process. Most symptoms wait for the exit and the doctors. Those here
// concern a process that lives on.
func (t *turn) symptomSeen(in SymptomSeen) {
	switch {
	case in.Launch != t.s.Launch:
		t.ignore("symptom of launch %s, which is not ours now", in.Launch)
	case in.Symptom == SymptomChannelsSuppressed:
		t.suppressed(in.Text)
	case in.Symptom == SymptomZombie && t.s.Flow == FlowRejoin && t.s.Phase != PhaseClearing: // not while it is ended
		p := Problem{Code: "restart_failed", Message: "the gateway could not restart: " + in.Text}
		if t.s.Reconnects >= t.p.ReconnectAttempts { // the start after a repair is an attempt like any other
			t.lost(p)
			return
		}
		t.s.Reconnects++
		t.s.Flow = FlowRevive
		t.s.Attempt, t.s.Repaired = 1, false
		t.arm(TimerStart, t.p.StartTimeout) // its repair begins a start, which is bounded like any other
		t.bringDown(AfterFailed, p, t.p.Grace)
	default:
		t.ignore("symptom %s is for the diagnosis", in.Symptom)
	}
}

func (t *turn) condition(c Condition) {
	for _, have := range t.s.Conditions {
		if have.Code == c.Code {
			return
		}
	}
	c.Since = t.now
	t.s.Conditions = append(t.s.Conditions, c)
}

// breakerWindow is how far back OpenClaw's crash-loop breaker looks for unclean ends, with a margin (docs/openclaw.md
// §4).
const breakerWindow = 310 * time.Second

// breakerRetry is the time between two checks whether a gateway whose channels are suppressed can be restarted.
const breakerRetry = 10 * time.Second

// breakerRefused is the time until the next check when the next start would fail: a check asks the doctors.
const breakerRefused = 5 * time.Minute

const codeSuppressed = "channels_suppressed"

// suppression is what a launch said about its channels. It is kept as long as that launch lives.
type suppression struct {
	launch LaunchID
	text   string
	until  time.Time // the breaker's window has passed
}

// suppressed handles a gateway that is healthy with its channels off, since it ended uncleanly three times within its
// window. Only a start after the window clears that, so the machine restarts it gracefully then.
func (t *turn) suppressed(text string) {
	if t.s.suppression.launch != t.s.Launch {
		t.s.suppression = suppression{launch: t.s.Launch, text: text, until: t.now.Add(breakerWindow)}
	}
	t.heldBack()
}

// heldBack shows the condition of suppressed channels of the present launch, and arms the restart that clears it.
func (t *turn) heldBack() {
	of := t.s.suppression
	if of.launch == "" || of.launch != t.s.Launch {
		return
	}
	t.condition(Condition{
		Code: "channels-suppressed", Message: of.text,
		Hint: "the gateway's crash-loop breaker holds its channels back after three unclean ends in 5 minutes; " +
			"it is restarted at " +
			of.until.UTC().Format("15:04:05") + " UTC, when that window has passed, or by `gatehost restart` after it",
	})
	_, armed := t.s.pendingOf(TimerBreaker)
	if _, asked := t.s.pendingOf(OpReach); !armed && !asked {
		t.arm(TimerBreaker, max(of.until.Sub(t.now), breakerRetry))
	}
}

// breakerOver asks the launcher first: a restart that cannot end the process would only close the session of a gateway
// that works.
func (t *turn) breakerOver() {
	if t.s.Attached {
		return
	}
	if !t.canRefresh() { // it is being connected to, or reloads
		t.arm(TimerBreaker, breakerRetry)
		return
	}
	t.emit(Inspect{Op: t.open(Op{Kind: OpReach, Launch: t.s.Launch}), Launch: t.s.Launch})
}

// launcherReached handles the launcher's answer to breakerOver. If it answers at all, the gateway is restarted.
func (t *turn) launcherReached(in Inspected) {
	if in.Result != OK || !t.canRefresh() {
		t.arm(TimerBreaker, breakerRetry)
		return
	}
	t.restartChecked(Problem{
		Code:    codeSuppressed,
		Message: "the gateway's crash-loop breaker had switched its channels off; its window has passed",
	})
}
