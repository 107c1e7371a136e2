package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// The tests in this file show rows of the table of behaviours that no story of their own tells (docs/behaviour.md).

// attached drives a new gateway to running on a port that a gateway has which gatehost did not start.
func attached(t *testing.T) *drive {
	t.Helper()
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderGateway})
	d.opened("1")
	if d.s.Owner() != lc.OwnerAttached || d.s.Phase != lc.PhaseRunning {
		t.Fatalf("owner %s in %s", d.s.Owner(), d.s.Phase)
	}
	return d
}

// dies ends the owned process and all that belongs to it.
func (d *drive) dies() *drive {
	d.t.Helper()
	d.feed(lc.ProcessExited{Launch: d.s.Launch, Exit: lc.Exit{Known: true, Code: 1}})
	return d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: d.s.Launch, Result: lc.OK})
}

func (d *drive) pending(kinds ...lc.OpKind) (id lc.OpID, n int) {
	for one, op := range d.s.Pending {
		if slices.Contains(kinds, op.Kind) {
			id, n = one, n+1
		}
	}
	return id, n
}

// TestOwnProcessStaysOursAfterItsSocketWasLost is B195: the reference connected again, took its own child for an
// attached one, and left it running on stop.
func TestOwnProcessStaysOursAfterItsSocketWasLost(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	if d.s.Public() != lc.Reconnecting || has[lc.Terminate](d) || has[lc.Recover](d) {
		t.Fatalf("%s, effects %v: want the socket alone to be tried", d.s.Public(), d.out)
	}
	d.opened("1")
	if d.s.Owner() != lc.OwnerOwned || d.s.Launch != "A" || d.s.Phase != lc.PhaseRunning {
		t.Fatalf("owner %s of %s in %s", d.s.Owner(), d.s.Launch, d.s.Phase)
	}
	d.feed(lc.StopRequested{Command: 2})
	if kill := last[lc.Terminate](d); kill.Launch != "A" || has[lc.Reply](d) {
		t.Errorf("effects %v: want the end of A before the answer", d.out)
	}
}

// TestExitsThatWereAskedForOrAreLookedAtAlreadyScheduleNothing is B192 and B196.
func TestExitsThatWereAskedForOrAreLookedAtAlreadyScheduleNothing(t *testing.T) {
	d := running(t)
	d.feed(lc.StopRequested{Command: 2})
	kill := last[lc.Terminate](d)
	d.feed(lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true, Signal: "SIGTERM"}})
	d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if d.s.Phase != lc.PhaseStopped || len(d.s.Pending) != 0 || d.s.LastExit.Signal != "SIGTERM" {
		t.Errorf("after a stop: %s, pending %v, exit %+v", d.s.Phase, d.s.Pending, d.s.LastExit)
	}
	d = running(t).dies()
	timer := last[lc.SetTimer](d)
	d.feed(lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true, Code: 1}}) // told twice
	if id, n := d.pending(lc.TimerBackoff); n != 1 || id != timer.Op || d.s.Reconnects != 1 || len(d.timers()) != 0 {
		t.Errorf("a second exit: %d timers, attempt %d, effects %v", n, d.s.Reconnects, d.out)
	}
}

// TestTenFastAttemptsThenSlowOnes is B196, B200, B203 and T015: the cap acts, although each attempt may look like a
// success for a moment.
func TestTenFastAttemptsThenSlowOnes(t *testing.T) {
	d := running(t)
	for n := 1; n <= 10; n++ {
		if d.dies(); d.s.Phase != lc.PhaseBackoff || d.s.Reconnects != n || d.s.Public() != lc.Reconnecting {
			t.Fatalf("exit %d: %s, attempt %d", n, d.s.Phase, d.s.Reconnects)
		}
		d.later()
		d.up("N", "")
		d.now = d.now.Add(d.p.StableAfter - time.Second) // not long enough to be called healthy
	}
	d.dies()
	if d.s.Phase != lc.PhaseError || d.s.Err == nil || last[lc.SetTimer](d).After != 5*time.Minute {
		t.Fatalf("the eleventh: %s, %+v, timers %v", d.s.Phase, d.s.Err, d.timers())
	}
	slow := last[lc.SetTimer](d)
	d.feed(lc.RestartRequested{Command: 9}) // limits are for what comes by itself (B243)
	if d.s.Phase != lc.PhaseRecovering || d.s.Reconnects != 0 {
		t.Errorf("an operator's restart: %s, attempts %d", d.s.Phase, d.s.Reconnects)
	}
	walking := d.out
	if d.answer(slow.Op, lc.TimerFired{}); d.s.Phase != lc.PhaseRecovering || !has[lc.Ignored](d) {
		t.Errorf("the slow timer after it: %s, effects %v", d.s.Phase, d.out)
	}
	d.out = walking
	d.up("O", "")
	if replies(d)[9] != lc.OutcomeApplied {
		t.Errorf("replies %v", replies(d))
	}
}

// TestHealthyTimeForgetsAttempts is B203 and B026: a minute, not the first connect.
func TestHealthyTimeForgetsAttempts(t *testing.T) {
	for healthy, want := range map[time.Duration]int{59 * time.Second: 3, time.Minute: 1} {
		d := running(t)
		for range 2 {
			d.dies().later()
			d.up("N", "")
		}
		d.now = d.now.Add(healthy)
		if d.dies(); d.s.Reconnects != want {
			t.Errorf("after %v: attempt %d, want %d", healthy, d.s.Reconnects, want)
		}
	}
}

// TestAttemptsThatFailAreReconnectingThroughout is B203: the reference showed error in between.
func TestAttemptsThatFailAreReconnectingThroughout(t *testing.T) {
	d := running(t).dies()
	for n := 2; n < 5; n++ {
		d.later()
		if d.s.Public() != lc.Reconnecting {
			t.Fatalf("under way: %s", d.s.Public())
		}
		d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "x", Message: "y"}})
		if d.s.Public() != lc.Reconnecting || d.s.Phase != lc.PhaseBackoff || d.s.Reconnects != n || d.s.Err != nil {
			t.Fatalf("after a failure: %s, %s, attempt %d, error %v", d.s.Public(), d.s.Phase, d.s.Reconnects, d.s.Err)
		}
	}
}

// TestWhatIsLeftOfTheCooldownDelaysAnAttempt is B198: the reference's max(delay, what is left of 2500 ms).
func TestWhatIsLeftOfTheCooldownDelaysAnAttempt(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		500 * time.Millisecond: 2 * time.Second, 1600 * time.Millisecond: time.Second,
	} {
		d := running(t).old()
		d.feed(lc.RestartRequested{Command: 2})
		d.up("B", "")
		d.now = d.now.Add(after)
		if d.dies(); last[lc.SetTimer](d).After != want {
			t.Errorf("%v after a restart: %v, want %v", after, d.timers(), want)
		}
	}
}

// TestTimerOfAnIntentThatIsOverDoesNothing is B201 and T004.
func TestTimerOfAnIntentThatIsOverDoesNothing(t *testing.T) {
	d := running(t).dies()
	timer := last[lc.SetTimer](d)
	d.feed(lc.StopRequested{Command: 2})
	if d.s.Phase != lc.PhaseStopped || !has[lc.Cancel](d) {
		t.Fatalf("%s, effects %v", d.s.Phase, d.out)
	}
	if d.answer(timer.Op, lc.TimerFired{}); d.s.Phase != lc.PhaseStopped || !has[lc.Ignored](d) || len(d.out) != 1 {
		t.Errorf("%s, effects %v", d.s.Phase, d.out)
	}
}

// TestExternalGatewayIsOnlyEverRejoined is B204: also after the cap nothing of our own is started in its place.
func TestExternalGatewayIsOnlyEverRejoined(t *testing.T) {
	d := attached(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	for range 13 {
		if has[lc.Recover](d) || has[lc.Launch](d) || has[lc.Terminate](d) || !d.s.Attached {
			t.Fatalf("%s, effects %v", d.s.Phase, d.out)
		}
		id, n := d.pending(lc.TimerRejoin, lc.TimerBackoff, lc.TimerSlow)
		if n != 1 {
			t.Fatalf("%s, pending %v", d.s.Phase, d.s.Pending)
		}
		d.now = d.now.Add(5 * time.Minute)
		d.answer(id, lc.TimerFired{})
	}
	for d.s.Phase != lc.PhaseError {
		id, _ := d.pending(lc.TimerRejoin, lc.TimerBackoff)
		d.answer(id, lc.TimerFired{})
	}
	if timer := last[lc.SetTimer](d); timer.After != d.p.SlowRetry {
		t.Errorf("timers %v", d.timers())
	}
	if d.later(); d.s.Public() != lc.Reconnecting || d.s.Err != nil || !has[lc.ProbeReady](d) {
		t.Fatalf("the slow try: %s, error %v, effects %v", d.s.Public(), d.s.Err, d.out)
	}
	d.opened("2")
	if d.s.Owner() != lc.OwnerAttached || d.s.Phase != lc.PhaseRunning {
		t.Errorf("owner %s in %s", d.s.Owner(), d.s.Phase)
	}
}

// TestAnnouncedRestartThatNeverComesIsEndedAndStartedAnew is B205 and T043.
func TestAnnouncedRestartThatNeverComesIsEndedAndStartedAnew(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{
		Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart, Expected: 1500 * time.Millisecond,
	})
	rejoin, _ := d.pending(lc.TimerRejoin)
	d.now = d.now.Add(1500*time.Millisecond + d.p.RestartSlack)
	d.answer(rejoin, lc.TimerFired{})
	if kill := last[lc.Terminate](d); kill.Launch != "A" {
		t.Fatalf("effects %v", d.out)
	}
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.later()
	d.up("B", "")
	if d.s.Phase != lc.PhaseRunning || d.s.Launch != "B" || d.s.Restarts != 1 {
		t.Errorf("%s, launch %s, restarts %d", d.s.Phase, d.s.Launch, d.s.Restarts)
	}
}

// TestAnnouncedStopIsNoRestart is B205: the process may end, and nothing waits for it beyond the usual time.
func TestAnnouncedStopIsNoRestart(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceStop, Expected: time.Hour})
	if !slices.Contains(d.timers(), d.p.RejoinWithin) || slices.Contains(d.timers(), time.Hour+d.p.RestartSlack) {
		t.Errorf("timers %v, want %v", d.timers(), d.p.RejoinWithin)
	}
	d.dies()
	if d.s.Phase != lc.PhaseBackoff || d.s.Reconnects != 1 {
		t.Errorf("%s, attempt %d", d.s.Phase, d.s.Reconnects)
	}
}

// TestStopLeavesNothingPendingFromAnyPhase is B210, B217, B218 and B236: every earlier timer, call and request is over.
func TestStopLeavesNothingPendingFromAnyPhase(t *testing.T) {
	for name, drive := range map[string]func() *drive{
		"running":     func() *drive { return running(t) },
		"backing off": func() *drive { return running(t).dies() },
		"rejoining": func() *drive {
			d := running(t)
			return d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
		},
		"verifying": func() *drive { return silent(running(t)) },
		"reloading": func() *drive { return reloading(t) },
		"with a debounced restart": func() *drive {
			return running(t).old().feed(lc.RestartRequested{Command: 30, Delay: 8 * time.Second})
		},
		"with a restart in its cooldown": func() *drive {
			d := running(t).old().feed(lc.RestartRequested{Command: 30})
			d.up("A", "")
			return d.feed(lc.RestartRequested{Command: 31})
		},
		"attached": func() *drive { return attached(t) },
	} {
		d := drive()
		epoch, want := d.s.Epoch, lc.OutcomeApplied
		if d.s.Owner() == lc.OwnerAttached {
			want = lc.OutcomeDetached
		}
		d.feed(lc.StopRequested{Command: 50})
		if d.s.Launch != "" {
			if d.s.Public() != lc.Stopping || has[lc.Reply](d) && replies(d)[50] != "" {
				t.Errorf("%s: %s, replies %v before the process has gone", name, d.s.Public(), replies(d))
			}
			d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: d.s.Launch, Result: lc.OK})
		}
		if d.s.Phase == lc.PhaseClearing { // an earlier host may have left something
			d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
		}
		if d.s.Public() != lc.Stopped || d.s.Epoch <= epoch || len(d.s.Pending) != 0 || len(d.s.Waiters) != 0 ||
			d.s.Session != 0 ||
			d.s.Err != nil || d.s.Reconnects != 0 || replies(d)[50] != want {
			t.Errorf(
				"%s: %s, pending %v, waiters %v, replies %v", name, d.s.Phase, d.s.Pending, d.s.Waiters, replies(d),
			)
		}
	}
}

// TestStopsJoinAndAreIdempotent is B219.
func TestStopsJoinAndAreIdempotent(t *testing.T) {
	d := running(t)
	d.feed(lc.StopRequested{Command: 2})
	kill := last[lc.Terminate](d)
	if d.feed(lc.StopRequested{Command: 3}); has[lc.Terminate](d) {
		t.Errorf("it is ended a second time: %v", d.out)
	}
	d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if got := replies(d); got[2] != lc.OutcomeApplied || got[3] != lc.OutcomeJoined {
		t.Errorf("replies %v", got)
	}
	before := d.s.PhaseSince
	if d.feed(lc.StopRequested{Command: 4}); replies(d)[4] != lc.OutcomeApplied || len(d.out) != 1 ||
		d.s.PhaseSince != before {
		t.Errorf("of what is stopped: %v", d.out)
	}
}

// TestRestartsJoinTheOneWhoseOldProcessStillEnds is B234.
func TestRestartsJoinTheOneWhoseOldProcessStillEnds(t *testing.T) {
	d := running(t).old()
	d.feed(lc.RestartRequested{Command: 2})
	kill := d.out
	d.feed(lc.RestartRequested{Command: 3})
	d.out = kill
	d.up("B", "")
	if got := replies(d); got[2] != lc.OutcomeApplied || got[3] != lc.OutcomeJoined || d.s.Restarts != 1 {
		t.Errorf("replies %v, restarts %d", got, d.s.Restarts)
	}
	if _, n := d.pending(lc.TimerSilence); n != 1 || len(d.s.Pending) != 1 { // T098: nothing else is scheduled
		t.Errorf("pending %v", d.s.Pending)
	}
}

// TestRestartWhoseStartFailsIsToldAndTriedAgain is B237, B242 and T097: the reference gave up without a word.
func TestRestartWhoseStartFailsIsToldAndTriedAgain(t *testing.T) {
	for _, delay := range []time.Duration{0, 2 * time.Second} {
		d := running(t).old()
		if d.feed(lc.RestartRequested{Command: 2, Delay: delay}); delay > 0 {
			d.later()
		}
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
		for attempt := 1; ; attempt++ {
			d.answer(last[lc.Recover](d).Op, lc.Recovered{
				Result: lc.Failed, Problem: lc.Problem{Code: "x", Message: "no launcher"},
			})
			if d.s.Phase != lc.PhaseRetryWait {
				if attempt != 3 {
					t.Errorf("%s after %d attempts", d.s.Phase, attempt)
				}
				break
			}
			d.later()
		}
		r := last[lc.Reply](d)
		if r.Outcome.Kind != lc.OutcomeFailed || r.Outcome.Problem.Message != "no launcher" || d.s.Err == nil ||
			d.s.Err.Message != "no launcher" {
			t.Errorf("reply %+v, error %+v", r, d.s.Err)
		}
		if !d.s.Up || last[lc.SetTimer](d).After != d.p.SlowRetry {
			t.Errorf("up %t, timers %v: want another try", d.s.Up, d.timers())
		}
	}
}

// silent lets nothing come from a running gateway until it is asked.
func silent(d *drive) *drive {
	d.t.Helper()
	id, n := d.pending(lc.TimerSilence)
	if n != 1 {
		d.t.Fatalf("pending %v", d.s.Pending)
	}
	d.now = d.now.Add(180 * time.Second)
	d.answer(id, lc.TimerFired{})
	if d.s.Phase != lc.PhaseVerifying || d.s.Public() != lc.Running {
		d.t.Fatalf("phase %s", d.s.Phase)
	}
	return d
}

// TestSilenceIsCountedFromTheLastSignOfLife is B274 and T073 to T076, T083, T084: 180 s, moved by whatever comes.
func TestSilenceIsCountedFromTheLastSignOfLife(t *testing.T) {
	d := running(t)
	id, _ := d.pending(lc.TimerSilence)
	d.now = t0.Add(120 * time.Second)
	d.feed(lc.SessionAlive{Session: d.s.Session})
	d.now = t0.Add(180 * time.Second)
	d.answer(id, lc.TimerFired{})
	if want := []time.Duration{120 * time.Second}; d.s.Phase != lc.PhaseRunning || !slices.Equal(d.timers(), want) {
		t.Fatalf("%s, timers %v, want %v", d.s.Phase, d.timers(), want)
	}
	if d.later(); !has[lc.VerifySession](d) || d.now != t0.Add(300*time.Second) {
		t.Errorf("at %v: %v", d.now.Sub(t0), d.out)
	}
}

// TestOneFailedVerificationIsOneRestartOfWhatIsOurs is B274, T077, T079, T085 and T086.
func TestOneFailedVerificationIsOneRestartOfWhatIsOurs(t *testing.T) {
	d := silent(running(t))
	d.answer(last[lc.VerifySession](d).Op, lc.Verified{Session: d.s.Session, Alive: true})
	if d.s.Phase != lc.PhaseRunning || d.s.LastAlive != d.now || !slices.Equal(d.timers(), []time.Duration{
		180 * time.Second,
	}) {
		t.Fatalf("it answered: %s, last alive %v, timers %v", d.s.Phase, d.s.LastAlive, d.timers())
	}
	verify := last[lc.VerifySession](silent(d))
	d.answer(verify.Op, lc.Verified{Session: d.s.Session})
	kill := last[lc.Terminate](d)
	if kill.Launch != "A" {
		t.Fatalf("effects %v", d.out)
	}
	if d.answer(verify.Op, lc.Verified{Session: d.s.Session}); !has[lc.Ignored](d) {
		t.Errorf("the same answer again: %v", d.out)
	}
	d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.later()
	d.up("B", "")
	if d.s.Restarts != 1 {
		t.Errorf("restarts %d", d.s.Restarts)
	}
}

// TestFailedVerificationOfAnExternalGatewayCutsTheSocketOnly is B274, T081 and T088.
func TestFailedVerificationOfAnExternalGatewayCutsTheSocketOnly(t *testing.T) {
	d := silent(attached(t))
	old := d.s.Session
	d.answer(last[lc.VerifySession](d).Op, lc.Verified{Session: old})
	if last[lc.CloseSession](d).Session != old || has[lc.Terminate](d) || has[lc.Recover](d) ||
		d.s.Public() != lc.Reconnecting {
		t.Fatalf("%s, effects %v", d.s.Public(), d.out)
	}
	probing := d.out
	if d.feed(lc.SessionClosed{Session: old, Code: 1006}); !has[lc.Ignored](d) { // T082
		t.Errorf("the end of the old socket starts something: %v", d.out)
	}
	d.out = probing
	d.opened("1")
	if d.s.Phase != lc.PhaseRunning || d.s.Restarts != 0 {
		t.Errorf("%s, restarts %d", d.s.Phase, d.s.Restarts)
	}
}

// TestSignOfLifeDuringTheVerificationCounts is B277 and T089.
func TestSignOfLifeDuringTheVerificationCounts(t *testing.T) {
	d := silent(running(t))
	verify := last[lc.VerifySession](d)
	d.now = d.now.Add(time.Second)
	d.feed(lc.SessionAlive{Session: d.s.Session})
	if d.s.Phase != lc.PhaseVerifying {
		t.Fatalf("it is held back until the call has ended: %s", d.s.Phase)
	}
	if d.answer(verify.Op, lc.Verified{Session: d.s.Session}); d.s.Phase != lc.PhaseRunning || d.s.Restarts != 0 {
		t.Errorf("%s, restarts %d", d.s.Phase, d.s.Restarts)
	}
}

// TestVerificationEndsWithWhatItWasAbout is B277, B278, T099 and T100: a stop, an exit, a close or a restart ends it,
// and its answer does nothing any more.
func TestVerificationEndsWithWhatItWasAbout(t *testing.T) {
	for name, in := range map[string]func(d *drive) lc.Input{
		"stop":    func(*drive) lc.Input { return lc.StopRequested{Command: 40} },
		"exit":    func(*drive) lc.Input { return lc.ProcessExited{Launch: "A"} },
		"restart": func(*drive) lc.Input { return lc.RestartRequested{Command: 40} },
		"close 1012": func(d *drive) lc.Input {
			return lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart}
		},
	} {
		d := silent(running(t))
		verify := last[lc.VerifySession](d)
		d.feed(in(d))
		phase, restarts := d.s.Phase, d.s.Restarts
		if _, n := d.pending(lc.OpVerify, lc.TimerSilence); n != 0 {
			t.Errorf("%s: pending %v", name, d.s.Pending)
		}
		d.answer(verify.Op, lc.Verified{})
		if d.s.Phase != phase || d.s.Restarts != restarts || !has[lc.Ignored](d) {
			t.Errorf("%s: %s, effects %v", name, d.s.Phase, d.out)
		}
	}
}

// TestRecoveryWaitsOutTheCooldown is B278 and T080: it is put off, not lost.
func TestRecoveryWaitsOutTheCooldown(t *testing.T) {
	d := running(t).old()
	d.feed(lc.RestartRequested{Command: 2})
	d.up("B", "")
	d.p.RestartCooldown = 10 * time.Minute // the silence alone is longer than the usual one
	silent(d)
	d.answer(last[lc.VerifySession](d).Op, lc.Verified{})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
	if want := []time.Duration{7 * time.Minute}; !slices.Equal(d.timers(), want) {
		t.Fatalf("timers %v, want %v", d.timers(), want)
	}
	d.later()
	d.up("C", "")
	if d.s.Phase != lc.PhaseRunning || d.s.Restarts != 2 {
		t.Errorf("%s, restarts %d", d.s.Phase, d.s.Restarts)
	}
}

// TestClockThatJumpsIsAskedAboutAndNothingIsEnded is B283 and B010: after a long sleep, and after a clock that was set
// back.
func TestClockThatJumpsIsAskedAboutAndNothingIsEnded(t *testing.T) {
	d := running(t)
	id, _ := d.pending(lc.TimerSilence)
	d.now = t0.Add(10 * time.Hour)
	if d.answer(id, lc.TimerFired{}); !has[lc.VerifySession](d) || has[lc.Terminate](d) || has[lc.CloseSession](d) {
		t.Errorf("10 h later: %v", d.out)
	}
	d = running(t)
	id, _ = d.pending(lc.TimerSilence)
	d.now = t0.Add(-time.Hour)
	if d.answer(id, lc.TimerFired{}); has[lc.VerifySession](d) || !slices.Equal(d.timers(), []time.Duration{
		180 * time.Second,
	}) {
		t.Errorf("set back by an hour: %v", d.out)
	}
}

// TestExternalGatewayIsShutDownOnRequestOnly is B211 and B212.
func TestExternalGatewayIsShutDownOnRequestOnly(t *testing.T) {
	d := attached(t)
	if d.feed(lc.StopRequested{Command: 2}); has[lc.Shutdown](d) || has[lc.Terminate](d) || !has[lc.CloseSession](d) ||
		d.s.Phase != lc.PhaseStopped {
		t.Fatalf("a plain stop: %s, effects %v", d.s.Phase, d.out)
	}

	d = attached(t)
	d.feed(lc.StopRequested{Command: 2, External: true})
	ask := last[lc.Shutdown](d)
	if d.s.Public() != lc.Stopping || has[lc.Reply](d) || has[lc.CloseSession](d) {
		t.Fatalf("%s, effects %v", d.s.Public(), d.out)
	}
	if d.feed(lc.StopRequested{Command: 3, External: true}); len(d.out) != 0 {
		t.Errorf("it is asked again: %v", d.out)
	}
	d.answer(ask.Op, lc.ShutdownAsked{Result: lc.OK})
	if got := replies(d); got[2] != lc.OutcomeApplied || got[3] != lc.OutcomeJoined || d.s.Phase != lc.PhaseStopped {
		t.Errorf("it agreed: replies %v in %s", got, d.s.Phase)
	}

	d = attached(t)
	d.feed(lc.StopRequested{Command: 2, External: true})
	ask = last[lc.Shutdown](d)
	d.feed(lc.StartRequested{Command: 3})
	d.answer(ask.Op, lc.ShutdownAsked{
		Result: lc.Failed, Problem: lc.Problem{Code: "unsupported", Message: "unknown method"},
	})
	if got := replies(d); got[2] != lc.OutcomeFailed || got[3] != lc.OutcomeDeferred || d.s.Phase != lc.PhaseRunning ||
		!d.s.Up || d.s.Session == 0 {
		t.Errorf("it did not agree: replies %v in %s, up %t", got, d.s.Phase, d.s.Up)
	}
	if _, n := d.pending(lc.TimerSilence); n != 1 {
		t.Errorf("it is not supervised any more: %v", d.s.Pending)
	}

	d = attached(t)
	d.feed(lc.StopRequested{Command: 2, External: true})
	d.feed(lc.StopRequested{Command: 3})
	if got := replies(d); got[2] != lc.OutcomeSuperseded || got[3] == "" || d.s.Phase != lc.PhaseStopped {
		t.Errorf("detached meanwhile: replies %v in %s", got, d.s.Phase)
	}

	d = attached(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	if d.feed(lc.StopRequested{Command: 2, External: true}); replies(d)[2] != lc.OutcomeFailed ||
		d.s.Public() != lc.Reconnecting {
		t.Errorf("without a session: replies %v, %s", replies(d), d.s.Public())
	}
}

// TestRestartAbsorbsReloadsThatAreDue is B258: one queue, so both never fire.
func TestRestartAbsorbsReloadsThatAreDue(t *testing.T) {
	d := running(t).old()
	d.feed(lc.ReloadRequested{Command: 2, Delay: 1200 * time.Millisecond})
	d.now = d.now.Add(time.Second)
	d.feed(lc.RestartRequested{Command: 3})
	d.now = d.now.Add(time.Second) // the old process takes its time, and the reload falls due
	d.up("B", "")
	if got := replies(d); got[2] == "" || got[3] != lc.OutcomeApplied || d.s.Phase != lc.PhaseRunning || has[lc.Reload](
		d,
	) {
		t.Errorf("replies %v in %s", got, d.s.Phase)
	}
}

// TestReloadDuringAStartIsCoveredByItsProcessOrFollows is B250.
func TestReloadDuringAStartIsCoveredByItsProcessOrFollows(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	recover := d.out
	d.feed(lc.ReloadRequested{Command: 2}) // before the spawn
	d.out = recover
	d.launched("A")
	starting := d.out
	d.feed(lc.ReloadRequested{Command: 3}) // after it
	d.out = starting
	d.opened("1")
	if got := replies(d); got[1] != lc.OutcomeApplied || got[2] == "" || got[3] != "" || d.s.Phase != lc.PhaseRunning {
		t.Fatalf("replies %v in %s", got, d.s.Phase)
	}
	if d.later(); d.s.Phase != lc.PhaseReloading {
		t.Errorf("the late one: %s", d.s.Phase)
	}
}

// TestExit78IsDiagnosedAndOnlyThenFatal is B194: a finding decides, not the number.
func TestExit78IsDiagnosedAndOnlyThenFatal(t *testing.T) {
	refused := func() *drive {
		d := running(t).old()
		d.feed(lc.RestartRequested{Command: 2})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
		d.launched("B")
		d.feed(lc.ProcessExited{Launch: "B", Exit: lc.Exit{Known: true, Code: 78}})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
		if got := last[lc.Diagnose](d).Incident; got.Exit == nil || got.Exit.Code != 78 || got.Launch != "B" {
			t.Fatalf("diagnose %+v", got)
		}
		return d
	}
	d := refused()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{
		Found: true, Problem: lc.Problem{Code: "refused", Message: "m", Hint: "h", Fatal: true},
	})
	if d.s.Phase != lc.PhaseError || len(d.s.Pending) != 0 || replies(d)[2] != lc.OutcomeFailed || d.s.Err.Hint != "h" {
		t.Errorf("fatal: %s, pending %v, replies %v", d.s.Phase, d.s.Pending, replies(d))
	}
	d = refused()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{})
	if d.s.Phase != lc.PhaseRetryWait || !slices.Equal(d.timers(), []time.Duration{time.Second}) {
		t.Errorf("nothing was found: %s, timers %v", d.s.Phase, d.timers())
	}
}

// TestExitIsRememberedWithAllThatIsKnown is B190 and B193: code or signal, core, and how long it had lived.
func TestExitIsRememberedWithAllThatIsKnown(t *testing.T) {
	d := running(t)
	d.s.Process.StartedAt = t0.Add(-time.Minute)
	d.feed(lc.ProcessExited{
		Launch: "A", Exit: lc.Exit{Known: true, Signal: "SIGSEGV", Core: true, At: t0.Add(5 * time.Second)},
	})
	if x := d.s.LastExit; x == nil || x.Signal != "SIGSEGV" || !x.Core || x.Lasted != 65*time.Second ||
		d.s.Cause.Message != "the gateway ended: signal=SIGSEGV, core dumped" {
		t.Errorf("last exit %+v, cause %+v", x, d.s.Cause)
	}
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if d.s.Owner() != lc.OwnerNone || d.s.Process.PID != 0 || d.s.LastExit.Lasted != 65*time.Second {
		t.Errorf("owner %s, process %+v, last exit %+v", d.s.Owner(), d.s.Process, d.s.LastExit)
	}
	d = running(t)
	d.feed(lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true, Code: 1, At: t0}}) // it is not known when it began
	if d.s.LastExit.Lasted != 0 {
		t.Errorf("last exit %+v", d.s.LastExit)
	}
}

// TestRestartsOfAPersonAreNotRationed is B243, T106 and T108: ten in a row, each at once since the cooldown is over.
func TestRestartsOfAPersonAreNotRationed(t *testing.T) {
	d := running(t)
	for id := lc.CommandID(10); id < 20; id++ {
		d.feed(lc.RestartRequested{Command: id})
		if d.s.Phase != lc.PhaseClearing {
			t.Fatalf("restart %d: %s, timers %v", id, d.s.Phase, d.timers())
		}
		d.up("N", "")
		if replies(d)[id] != lc.OutcomeApplied {
			t.Fatalf("restart %d: %v", id, replies(d))
		}
		d.now = d.now.Add(d.p.RestartCooldown)
	}
	if d.p.RestartCooldown != 2500*time.Millisecond {
		t.Errorf("cooldown %v", d.p.RestartCooldown)
	}
}

// flap opens a session and loses it at once; it reports how long the next one is waited for.
func (d *drive) flap(end lc.SessionClosed) time.Duration {
	d.t.Helper()
	end.Session = d.s.Session
	d.feed(end)
	if d.s.Flow != lc.FlowRejoin || has[lc.ProbeReady](d) {
		return 0
	}
	id, n := d.pending(lc.TimerProbe)
	if n != 1 {
		d.t.Fatalf("%s, pending %v", d.s.Phase, d.s.Pending)
	}
	began := d.now
	for _, e := range d.out {
		if timer, ok := e.(lc.SetTimer); ok && timer.Op == id {
			d.now = d.now.Add(timer.After)
		}
	}
	d.answer(id, lc.TimerFired{})
	return d.now.Sub(began)
}

// TestSessionsThatDoNotLastAreMadeAnewEverMoreSeldom is B203 and B204: a gateway that takes each session and drops it
// is not asked for the next one at once, for ever. What is ours is replaced in the end, as one that takes none.
func TestSessionsThatDoNotLastAreMadeAnewEverMoreSeldom(t *testing.T) {
	lost := lc.SessionClosed{Code: 1006}
	d := running(t).old() // it was healthy: the first loss costs no attempt
	var waits []time.Duration
	for range 7 {
		waits = append(waits, d.flap(lost))
		if d.s.Flow != lc.FlowRejoin {
			break
		}
		d.opened("1")
	}
	if want := []time.Duration{0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 0}; !slices.Equal(
		waits, want,
	) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if kill := last[lc.Terminate](d); kill.Launch != "A" || d.s.Public() != lc.Reconnecting {
		t.Fatalf("%s, effects %v: want the process replaced", d.s.Public(), d.out)
	}
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.later()
	d.up("B", "2")
	if wait := d.flap(lost); wait != 0 || d.s.Reconnects != 1 { // the new one has its own chances
		t.Errorf("the next process: %v, attempt %d", wait, d.s.Reconnects)
	}
	d.opened("2")
	d.now = d.now.Add(d.p.StableAfter)
	for range 2 { // a healthy time forgets it
		if wait := d.flap(lost); wait != 0 {
			t.Errorf("after a healthy time: %v", wait)
		}
		d.opened("2")
	}
}

// TestOperatorsStartDoesNotWaitForAPutOffSession is B025.
func TestOperatorsStartDoesNotWaitForAPutOffSession(t *testing.T) {
	d := running(t)
	for range 4 {
		d.flap(lc.SessionClosed{Code: 1006})
		d.opened("1")
	}
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	timer, n := d.pending(lc.TimerProbe)
	if n != 1 || has[lc.ProbeReady](d) {
		t.Fatalf("%s, pending %v", d.s.Phase, d.s.Pending)
	}
	d.feed(lc.StartRequested{Command: 7})
	if !has[lc.ProbeReady](d) || has[lc.Recover](d) {
		t.Fatalf("%s, effects %v: want the socket tried now", d.s.Phase, d.out)
	}
	now := d.out
	if d.answer(timer, lc.TimerFired{}); !has[lc.Ignored](d) {
		t.Errorf("the timer acts: %v", d.out)
	}
	d.out = now
	if d.opened("1"); replies(d)[7] != lc.OutcomeJoined || d.s.Launch != "A" {
		t.Errorf("replies %v, launch %s", replies(d), d.s.Launch)
	}
}

// TestSessionsOfAnExternalGatewayThatDoNotLastReachTheCap: it is never ended, and not asked without end either.
func TestSessionsOfAnExternalGatewayThatDoNotLastReachTheCap(t *testing.T) {
	d := attached(t)
	sessions := 0
	for ; d.s.Phase != lc.PhaseError && sessions < 100; sessions++ {
		d.flap(lc.SessionClosed{Code: 1008})
		if has[lc.Terminate](d) || has[lc.Recover](d) {
			t.Fatalf("%s, effects %v", d.s.Phase, d.out)
		}
		if d.s.Phase == lc.PhaseBackoff {
			d.later()
		}
		if d.s.Phase != lc.PhaseError {
			d.opened("1")
		}
	}
	if d.s.Phase != lc.PhaseError || d.s.Reconnects != d.p.ReconnectAttempts || !slices.Contains(
		d.timers(), d.p.SlowRetry,
	) {
		t.Errorf("after %d sessions: %s, attempts %d, timers %v", sessions, d.s.Phase, d.s.Reconnects, d.timers())
	}
}

// TestAnnouncedRestartsOneUponTheOtherArePaced: they cost nothing, and are no reason to ask a thousand times a second.
func TestAnnouncedRestartsOneUponTheOtherArePaced(t *testing.T) {
	d := running(t).old()
	for n := range 20 {
		wait := d.flap(lc.SessionClosed{Code: 1012, Announce: lc.AnnounceRestart})
		if want := map[bool]time.Duration{true: 0, false: d.p.ProbeInterval}[n == 0]; wait != want ||
			d.s.Reconnects != 0 || has[lc.Terminate](d) {
			t.Fatalf("restart %d: waited %v, want %v; attempts %d, effects %v", n, wait, want, d.s.Reconnects, d.out)
		}
		d.opened("1")
	}
}

// TestSilenceAfterAHealthyTimeForgetsAttempts is B026, of a gateway that is not ours.
func TestSilenceAfterAHealthyTimeForgetsAttempts(t *testing.T) {
	d := attached(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	for range 3 {
		id, _ := d.pending(lc.TimerRejoin, lc.TimerBackoff)
		d.answer(id, lc.TimerFired{})
	}
	if d.s.Phase != lc.PhaseBackoff || d.s.Reconnects != 2 {
		t.Fatalf("%s, attempt %d", d.s.Phase, d.s.Reconnects)
	}
	d.later()
	d.opened("1")
	silent(d) // 180 s later
	d.answer(last[lc.VerifySession](d).Op, lc.Verified{})
	id, _ := d.pending(lc.TimerRejoin)
	if d.answer(id, lc.TimerFired{}); d.s.Phase != lc.PhaseBackoff || d.s.Reconnects != 1 {
		t.Errorf("%s, attempt %d, want the first", d.s.Phase, d.s.Reconnects)
	}
}

// TestClockThatWasSetBackPutsNoReloadOff: how old an adopted process is, only the wall clock knows, and that may be
// wrong (B010).
func TestClockThatWasSetBackPutsNoReloadOff(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: []lc.Instance{{
		Launch: "A", Live: true, Watched: true, Process: lc.Process{PID: 7, StartedAt: t0.Add(24 * time.Hour)},
	}}})
	d.opened("1")
	if d.feed(lc.ReloadRequested{Command: 2}); !slices.Equal(d.timers(), []time.Duration{d.p.ReloadMinAge}) {
		t.Fatalf("timers %v, want %v", d.timers(), d.p.ReloadMinAge)
	}
	if d.later(); d.s.Phase != lc.PhaseReloading {
		t.Errorf("%s, timers %v", d.s.Phase, d.timers())
	}
}

// TestAdoptedGatewayThatTakesNoSessionAtOnceIsNotEnded: its event loop may be busy, and it ran well before this host
// came. It has the time of any start.
func TestAdoptedGatewayThatTakesNoSessionAtOnceIsNotEnded(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: []lc.Instance{{
		Launch: "A", Live: true, Watched: true, Process: lc.Process{PID: 7, StartedAt: t0.Add(-time.Hour)},
	}}})
	quiet, n := d.pending(lc.TimerNoProgress)
	if n != 1 {
		t.Fatalf("pending %v", d.s.Pending)
	}
	refuse := func() {
		t.Helper()
		d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessOpen})
		if again, n := d.pending(lc.TimerNoProgress); n == 1 {
			quiet = again
		}
		open := last[lc.OpenSession](d)
		d.answer(open.Op, lc.SessionRefused{
			Session: open.Session,
			Problem: lc.Problem{Code: "closed_before_handshake", Message: "WebSocket closed before handshake"},
		})
	}
	for range 5 {
		if refuse(); has[lc.Terminate](d) || d.s.Launch != "A" || d.s.Phase != lc.PhaseReady {
			t.Fatalf("%s, effects %v", d.s.Phase, d.out)
		}
		d.later()
	}
	refuse()
	d.answer(quiet, lc.TimerFired{})
	if kill := last[lc.Terminate](d); kill.Launch != "A" || !strings.Contains(
		d.s.Cause.Message, "WebSocket closed before handshake",
	) {
		t.Errorf("without progress: %v, %+v", d.out, d.s.Cause)
	}
}
