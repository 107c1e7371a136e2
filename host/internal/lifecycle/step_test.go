package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// drive feeds inputs made from the effects so far and returns all effects of the last one.
type drive struct {
	t   *testing.T
	p   lc.Policy
	s   lc.State
	now time.Time
	out []lc.Effect
	// asks: preflights are answered by the test; otherwise the next start would not fail.
	asks bool
}

func (d *drive) feed(in lc.Input) *drive {
	d.t.Helper()
	d.s, d.out = lc.Step(d.p, d.s, in, d.now)
	for i, e := range d.out {
		check, ok := e.(lc.Preflight)
		if !ok || d.asks {
			continue
		}
		var more []lc.Effect
		d.s, more = lc.Step(d.p, d.s, lc.Answer{Op: check.Op, Report: lc.Preflighted{Result: lc.OK}}, d.now)
		d.out = append(slices.Delete(slices.Clone(d.out), i, i+1), more...)
		break
	}
	return d
}

// answer feeds the answer to an operation.
func (d *drive) answer(op lc.OpID, r lc.Report) *drive {
	d.t.Helper()
	return d.feed(lc.Answer{Op: op, Report: r})
}

func last[E lc.Effect](d *drive) E {
	d.t.Helper()
	for _, out := range slices.Backward(d.out) {
		if e, ok := out.(E); ok {
			return e
		}
	}
	var none E
	d.t.Fatalf("no %T among %v in phase %s", none, d.out, d.s.Phase)
	return none
}

// launched walks the road up until a process exists.
func (d *drive) launched(id lc.LaunchID) {
	d.t.Helper()
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
	d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: id})
	d.answer(last[lc.AlignConfig](d).Op, lc.ConfigAligned{Result: lc.OK})
	d.answer(last[lc.Launch](d).Op, lc.Launched{
		Result: lc.OK, Instance: lc.Instance{Launch: id, Live: true, Watched: true},
	})
}

// running drives a new gateway to running.
func running(t *testing.T) *drive {
	t.Helper()
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.launched("A")
	d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
	d.answer(last[lc.OpenSession](d).Op, lc.SessionOpened{Session: last[lc.OpenSession](d).Session})
	if d.s.Phase != lc.PhaseRunning {
		t.Fatalf("phase = %s", d.s.Phase)
	}
	return d
}

func TestExitOfReplacedChildIsIgnored(t *testing.T) { // B067, B191
	d := running(t)
	before := d.s.Phase
	d.feed(lc.ProcessExited{Launch: "an older one", Exit: lc.Exit{Known: true, Code: 1}})
	if d.s.Phase != before || d.s.LastExit != nil {
		t.Errorf("phase = %s, last exit = %v", d.s.Phase, d.s.LastExit)
	}
}

func TestAutostartThatComesAfterAStopIsNone(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StopRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK}) // what an earlier host left would be ended first
	d.feed(lc.StartRequested{Command: 2, Auto: true})
	if r := last[lc.Reply](d); r.Outcome.Kind != lc.OutcomeSuperseded || d.s.Phase != lc.PhaseStopped {
		t.Errorf("reply = %+v, phase = %s", r, d.s.Phase)
	}
	d.feed(lc.StartRequested{Command: 3})
	if d.s.Phase != lc.PhaseRecovering {
		t.Errorf("phase = %s after an operator's start", d.s.Phase)
	}
}

func TestCloseOfAnOldSessionIsIgnored(t *testing.T) { // B136
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session + 7, Code: 1006})
	if d.s.Phase != lc.PhaseRunning {
		t.Errorf("phase = %s", d.s.Phase)
	}
}

func TestExitDuringStopDoesNotAnswerItBeforeTheTreeIsGone(t *testing.T) {
	d := running(t)
	d.feed(lc.StopRequested{Command: 2})
	kill := last[lc.Terminate](d)
	d.feed(lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true}})
	if d.s.Phase != lc.PhaseClearing {
		t.Fatalf("phase = %s, want clearing until the launcher says that nothing is left", d.s.Phase)
	}
	d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if r := last[lc.Reply](d); r.Command != 2 || r.Outcome.Kind != lc.OutcomeApplied {
		t.Errorf("reply = %+v", r)
	}
}

func TestAnnouncedRestartCostsNoAttemptAndHasItsOwnDeadline(t *testing.T) { // B205
	d := running(t).old()
	d.feed(lc.SessionClosed{
		Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart, Expected: 1500 * time.Millisecond,
	})
	var deadline time.Duration
	for _, e := range d.out {
		if timer, ok := e.(lc.SetTimer); ok {
			deadline = max(deadline, timer.After)
		}
	}
	if want := 1500*time.Millisecond + d.p.RestartSlack; deadline != want {
		t.Errorf("deadline = %v, want %v", deadline, want)
	}
	if d.s.Reconnects != 0 || d.s.Launch != "A" || d.s.Public() != lc.Reconnecting {
		t.Errorf("reconnects = %d, launch = %s, state = %s", d.s.Reconnects, d.s.Launch, d.s.Public())
	}
	d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
	d.answer(last[lc.OpenSession](d).Op, lc.SessionOpened{Session: last[lc.OpenSession](d).Session})
	if d.s.Phase != lc.PhaseRunning || d.s.Restarts != 0 {
		t.Errorf("phase = %s, restarts = %d", d.s.Phase, d.s.Restarts)
	}
}

func TestRefusedCredentialsEndTheStartWithTheirHint(t *testing.T) {
	d := running(t)
	d.feed(lc.RestartRequested{Command: 2})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.launched("B")
	d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
	d.answer(last[lc.OpenSession](d).Op, lc.SessionRefused{
		Problem: lc.Problem{Code: "AUTH_TOKEN_MISMATCH", Message: "m", Hint: "h", Fatal: true},
	})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
	r := last[lc.Reply](d)
	if r.Outcome.Kind != lc.OutcomeFailed || r.Outcome.Problem.Hint != "h" || d.s.Phase != lc.PhaseError ||
		len(d.s.Pending) != 0 {
		t.Errorf(
			"reply = %+v, phase = %s, pending = %v: want one failed answer and nothing that tries again", r, d.s.Phase,
			d.s.Pending,
		)
	}
}

func TestSessionThatOpensTooLateIsClosed(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
	opening := last[lc.OpenSession](d)
	d.feed(lc.StopRequested{Command: 2})
	d.answer(opening.Op, lc.SessionOpened{Session: opening.Session})
	if got := last[lc.CloseSession](d).Session; got != opening.Session {
		t.Errorf("closed session = %d, want %d", got, opening.Session)
	}
}

// repairing drives a gateway whose configuration is broken to its first repair.
func repairing(t *testing.T) *drive {
	t.Helper()
	d := running(t)
	d.feed(lc.RestartRequested{Command: 2})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.launched("B")
	d.feed(lc.ProcessExited{Launch: "B", Exit: lc.Exit{Known: true, Code: 78}})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix"})
	return d
}

// cutOff is the death of the launcher in the middle of a repair; the diagnosis waits until the command can do no more.
func (d *drive) cutOff() {
	d.t.Helper()
	d.answer(last[lc.Repair](d).Op, lc.Repaired{Result: lc.Unknown})
	timer := last[lc.SetTimer](d)
	if timer.After != d.p.RepairSettle {
		d.t.Errorf("waits %v, want %v", timer.After, d.p.RepairSettle)
	}
	d.answer(timer.Op, lc.TimerFired{})
}

func TestUnknownRepairIsDiagnosedAgainBeforeAnythingElse(t *testing.T) { // R21
	d := repairing(t)
	d.cutOff()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{})
	if d.s.Phase != lc.PhaseRecovering || !d.s.Repaired {
		t.Errorf("phase = %s, repaired = %v: want one more attempt", d.s.Phase, d.s.Repaired)
	}
}

func TestRepairThatWasCutOffAndDidNothingIsDoneAgainOnce(t *testing.T) {
	d := repairing(t)
	d.cutOff()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix"})
	d.cutOff() // the second one, too
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix", Problem: lc.Problem{Message: "bad key"}})
	if d.s.Phase != lc.PhaseError || d.s.Err == nil || len(d.s.Pending) != 0 {
		t.Errorf("phase = %s, error = %+v: want an end", d.s.Phase, d.s.Err)
	}
}

func TestBackoffDoublesUpToItsMaximum(t *testing.T) { // B197, T016, T017
	d := running(t)
	var delays []time.Duration
	for range 7 {
		d.feed(lc.ProcessExited{Launch: d.s.Launch, Exit: lc.Exit{Known: true, Code: 1}})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: d.s.Launch, Result: lc.OK})
		timer := last[lc.SetTimer](d)
		delays = append(delays, timer.After)
		d.answer(timer.Op, lc.TimerFired{})
		d.launched("N")
		d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
		d.answer(last[lc.OpenSession](d).Op, lc.SessionOpened{Session: last[lc.OpenSession](d).Session})
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		if delays[i] != want[i]*time.Second {
			t.Fatalf("delays = %v, want %v s", delays, want)
		}
	}
}

// TestGatewayThatIsNotAutostartedIsStillAdopted: what an operator started before the host died is the host's again.
func TestGatewayThatIsNotAutostartedIsStillAdopted(t *testing.T) {
	look := func() *drive {
		d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
		return d.feed(lc.StartRequested{Command: 1, Auto: true, Adopt: true})
	}
	d := look()
	if d.s.Public() != lc.Stopped {
		t.Errorf("while it looks: %s", d.s.Public())
	}
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	if d.s.Phase != lc.PhaseStopped || replies(d)[1] != lc.OutcomeApplied || d.s.Up || len(d.s.Pending) != 0 {
		t.Errorf("nothing runs: %s, replies %v, up %t, pending %v", d.s.Phase, replies(d), d.s.Up, d.s.Pending)
	}
	d = look()
	d.answer(last[lc.Recover](d).Op, lc.Recovered{
		Result: lc.OK, Instances: []lc.Instance{{Launch: "A", Live: true, Watched: true}},
	})
	d.opened("")
	if d.s.Phase != lc.PhaseRunning || !d.s.Adopted || !d.s.Up {
		t.Errorf("one runs: %s, adopted %t, up %t", d.s.Phase, d.s.Adopted, d.s.Up)
	}
	d = look()
	recover := last[lc.Recover](d)
	d.feed(lc.StartRequested{Command: 2})
	d.answer(recover.Op, lc.Recovered{Result: lc.OK})
	if d.s.Phase != lc.PhaseServices {
		t.Errorf("an operator's start meanwhile: %s", d.s.Phase)
	}
}
