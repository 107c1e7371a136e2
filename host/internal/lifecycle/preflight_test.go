package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// asking is a gateway that works, whose preflights the test answers.
func asking(t *testing.T) *drive {
	t.Helper()
	d := running(t).old()
	d.asks = true
	return d
}

var missing = lc.Problem{Code: "not_found", Message: "openclaw is missing", Hint: "install it"}

func (d *drive) preflight(r lc.Result) *drive {
	d.t.Helper()
	return d.answer(last[lc.Preflight](d).Op, lc.Preflighted{Result: r, Problem: missing})
}

// TestRestartAsksBeforeItEndsWhatWorks, and is refused with the finding.
func TestRestartAsksBeforeItEndsWhatWorks(t *testing.T) {
	d := asking(t)
	if d.feed(lc.RestartRequested{Command: 2}); has[lc.Terminate](d) || d.s.Phase != lc.PhaseRunning {
		t.Fatalf("unchecked: %v", d.out)
	}
	check := d.out
	d.feed(lc.RestartRequested{Command: 3})
	if has[lc.Preflight](d) {
		t.Errorf("a second request is checked apart: %v", d.out)
	}
	d.out = check
	d.preflight(lc.Failed)
	got := replies(d)
	if got[2] != lc.OutcomeFailed || got[3] != lc.OutcomeFailed || has[lc.Terminate](d) || d.s.Phase != lc.PhaseRunning ||
		d.s.Launch != "A" {
		t.Fatalf("refused: replies %v in %s, effects %v", got, d.s.Phase, d.out)
	}
	if p := last[lc.Reply](d).Outcome.Problem; p.Code != "not_found" || p.Hint != "install it" ||
		!strings.Contains(p.Message, "runs on") || !strings.Contains(p.Message, "openclaw is missing") {
		t.Errorf("problem %+v", p)
	}
	d.feed(lc.RestartRequested{Command: 4})
	if d.preflight(lc.OK); !has[lc.Terminate](d) {
		t.Errorf("a later one that passes: %v", d.out)
	}
}

// TestForcedRestartIsNotKeptBack, also when a check is under way.
func TestForcedRestartIsNotKeptBack(t *testing.T) {
	d := asking(t)
	if d.feed(lc.RestartRequested{Command: 2, Force: true}); !has[lc.Terminate](d) || has[lc.Preflight](d) {
		t.Errorf("effects %v", d.out)
	}
	d = asking(t)
	d.feed(lc.RestartRequested{Command: 2})
	if d.feed(lc.RestartRequested{Command: 3, Force: true}); !has[lc.Terminate](d) {
		t.Errorf("during a check: %v", d.out)
	}
}

// TestDebouncedRestartIsCheckedWhenItIsDue: the file that a person is still editing is not meant.
func TestDebouncedRestartIsCheckedWhenItIsDue(t *testing.T) {
	d := asking(t)
	if d.feed(lc.RestartRequested{Command: 2, Delay: time.Second}); has[lc.Preflight](d) {
		t.Fatalf("before it is due: %v", d.out)
	}
	d.later()
	if d.preflight(lc.Failed); replies(d)[2] != lc.OutcomeFailed || d.s.Phase != lc.PhaseRunning {
		t.Errorf("replies %v in %s", replies(d), d.s.Phase)
	}
}

// TestReloadThatWouldBecomeAFailingRestartIsRefused: the fallback ends a process that works, too.
func TestReloadThatWouldBecomeAFailingRestartIsRefused(t *testing.T) {
	d := asking(t)
	d.feed(lc.ReloadRequested{Command: 2})
	d.answer(last[lc.Reload](d).Op, lc.Reloaded{Result: lc.Failed, Problem: lc.Problem{Message: "it knows no way"}})
	if has[lc.Terminate](d) || d.s.Public() != lc.Running {
		t.Fatalf("effects %v", d.out)
	}
	if d.preflight(lc.Failed); replies(d)[2] != lc.OutcomeFailed || d.s.Phase != lc.PhaseRunning || d.s.Launch != "A" {
		t.Fatalf("replies %v in %s", replies(d), d.s.Phase)
	}
	if p := last[lc.Reply](d).Outcome.Problem; !strings.Contains(p.Message, "it knows no way") ||
		!strings.Contains(p.Message, "openclaw is missing") {
		t.Errorf("problem %+v", p)
	}
	if d.feed(lc.ReloadRequested{Command: 3}); !has[lc.Reload](d) {
		t.Errorf("a later reload: %v", d.out)
	}
}

// TestRestartDuringARejoinIsChecked: the process lives, and may work.
func TestRestartDuringARejoinIsChecked(t *testing.T) {
	d := asking(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	d.feed(lc.RestartRequested{Command: 2})
	if has[lc.Terminate](d) {
		t.Fatalf("unchecked: %v", d.out)
	}
	if d.preflight(lc.Failed); replies(d)[2] != lc.OutcomeFailed || d.s.Launch != "A" || d.s.Public() != lc.Reconnecting {
		t.Errorf("replies %v, %s", replies(d), d.s.Public())
	}
}

// TestStopEndsACheck, whose answer changes nothing then.
func TestStopEndsACheck(t *testing.T) {
	d := asking(t)
	check := last[lc.Preflight](d.feed(lc.RestartRequested{Command: 2}))
	d.feed(lc.StopRequested{Command: 3})
	kill := last[lc.Terminate](d)
	if replies(d)[2] != lc.OutcomeSuperseded {
		t.Errorf("replies %v", replies(d))
	}
	if d.answer(check.Op, lc.Preflighted{Result: lc.OK}); !has[lc.Ignored](d) || d.s.Public() != lc.Stopping {
		t.Errorf("effects %v in %s", d.out, d.s.Public())
	}
	if d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK}); d.s.Up {
		t.Error("it is wanted up")
	}
}

// TestGatewayThatIsLostDuringACheckIsNotRestartedTwice: the new process covers the request.
func TestGatewayThatIsLostDuringACheckIsNotRestartedTwice(t *testing.T) {
	d := asking(t)
	d.feed(lc.RestartRequested{Command: 2})
	d.dies().later()
	d.up("B", "")
	if replies(d)[2] == "" || d.s.Launch != "B" || has[lc.Preflight](d) {
		t.Errorf("replies %v, launch %s, effects %v", replies(d), d.s.Launch, d.out)
	}
}

// TestStrangerThatGoesAwayIsNoticedWithinSeconds, as long as its port is the error.
func TestStrangerThatGoesAwayIsNoticedWithinSeconds(t *testing.T) {
	d := inError(t)
	look := func() lc.ProbePort {
		t.Helper()
		id, n := d.pending(lc.TimerPort)
		if n != 1 {
			t.Fatalf("pending %v", d.s.Pending)
		}
		d.now = d.now.Add(3 * time.Second)
		return last[lc.ProbePort](d.answer(id, lc.TimerFired{}))
	}
	for range 3 {
		probe := look()
		if !probe.OnlyFree {
			t.Error("the stranger is asked what it is")
		}
		if d.answer(probe.Op, lc.PortProbed{Holder: lc.HolderStranger}); d.s.Phase != lc.PhaseError {
			t.Fatalf("it is there, and the phase is %s", d.s.Phase)
		}
	}
	if d.answer(look().Op, lc.PortProbed{Holder: lc.HolderNone}); d.s.Phase != lc.PhaseRecovering {
		t.Errorf("it has gone, and the phase is %s", d.s.Phase)
	}
}

// TestFreePortWithoutSlowAttemptsIsTold: the operator wants no attempt by itself; the error must be true all the same.
func TestFreePortWithoutSlowAttemptsIsTold(t *testing.T) {
	d := inError(t)
	d.p.SlowRetry = 0
	id, _ := d.pending(lc.TimerPort)
	d.answer(id, lc.TimerFired{})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	if _, n := d.pending(lc.TimerPort); d.s.Phase != lc.PhaseError || n != 0 ||
		!strings.Contains(d.s.Err.Message, "free now") {
		t.Errorf("%s, error %+v", d.s.Phase, d.s.Err)
	}
}

// TestPortThatWasNeverTakenStartsNothing: the doctors meant another thing that two gateways cannot share.
func TestPortThatWasNeverTakenStartsNothing(t *testing.T) {
	for _, was := range []lc.Holder{lc.HolderNone, lc.HolderStranger} {
		d := running(t).dies().later()
		d.launched("B")
		d.feed(lc.ProcessExited{Launch: "B", Exit: lc.Exit{Known: true, Code: 1}})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
		d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{
			Found: true, OtherOwner: true, Problem: lc.Problem{Code: "second-instance", Message: "m"},
		})
		id, _ := d.pending(lc.TimerPort)
		d.answer(id, lc.TimerFired{})
		d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: was})
		id, n := d.pending(lc.TimerPort)
		if d.s.Phase != lc.PhaseError || (n == 1) != (was == lc.HolderStranger) {
			t.Fatalf("%v: %s, pending %v", was, d.s.Phase, d.s.Pending)
		}
		if n == 0 {
			continue
		}
		d.answer(id, lc.TimerFired{})
		if d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone}); d.s.Phase != lc.PhaseRecovering {
			t.Errorf("the port was taken and is free: %s", d.s.Phase)
		}
	}
}
