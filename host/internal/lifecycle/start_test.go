package lifecycle_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// The tests in this file show what the table of behaviours says of states and starts (sections 1 to 3,
// docs/behaviour.md).

func starting(t *testing.T) *drive {
	t.Helper()
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	return d.feed(lc.StartRequested{Command: 1})
}

// exits lets the process of an attempt end before it is ready, and all of it be gone.
func (d *drive) exits() *drive {
	d.t.Helper()
	launch := d.s.Launch
	d.feed(lc.ProcessExited{Launch: launch, Exit: lc.Exit{Known: true, Code: 1}})
	return d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: launch, Result: lc.OK})
}

// undiagnosed lets the doctors find nothing.
func (d *drive) undiagnosed() *drive {
	d.t.Helper()
	return d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{})
}

// TestFiguresAreThoseOfTheTable is B040, B054, B060, B197, B204 to B205, B235, B253 and B274: the defaults.
func TestFiguresAreThoseOfTheTable(t *testing.T) {
	p := lc.DefaultPolicy()
	for what, is := range map[string]bool{
		"3 attempts, 1 s apart":                  p.StartAttempts == 3 && p.RetryDelay == time.Second,
		"ready within 8 min, with signs of life": p.StartTimeout == 8*time.Minute && p.NoProgress == 90*time.Second,
		"back-off 1 s to 30 s, 10 attempts": p.BackoffBase == time.Second && p.BackoffMax == 30*time.Second &&
			p.ReconnectAttempts == 10,
		"slow attempts after the cap": p.SlowRetry == 5*time.Minute,
		"cooldown 2.5 s, reload after 8 s": p.RestartCooldown == 2500*time.Millisecond &&
			p.ReloadMinAge == 8*time.Second,
		"silence of 180 s": p.Silence == 180*time.Second,
		"a grace of 30 s":  p.Grace == 30*time.Second,
	} {
		if !is {
			t.Errorf("not: %s (%+v)", what, p)
		}
	}
}

// TestStatesAreTheKnownOnes is B001 and B218: five names of old and stopping, whatever the phase.
func TestStatesAreTheKnownOnes(t *testing.T) {
	if s := lc.New(); s.Public() != lc.Stopped {
		t.Errorf("the first state is %s", s.Public())
	}
	for phase, want := range map[lc.Phase]lc.Public{
		lc.PhaseStopped: lc.Stopped, lc.PhaseRecovering: lc.Starting, lc.PhaseServices: lc.Starting,
		lc.PhaseProbing: lc.Starting,
		lc.PhaseHooks:   lc.Starting, lc.PhasePreparing: lc.Starting, lc.PhaseAligning: lc.Starting,
		lc.PhaseLaunching: lc.Starting, lc.PhaseReady: lc.Starting,
		lc.PhaseConnecting: lc.Starting, lc.PhaseRunning: lc.Running, lc.PhaseVerifying: lc.Running,
		lc.PhaseReloading: lc.Running,
		lc.PhaseError:     lc.Error,
	} {
		if got := (lc.State{Phase: phase, Flow: lc.FlowStart}).Public(); got != want {
			t.Errorf("%s is shown as %s, want %s", phase, got, want)
		}
	}
	d := running(t)
	if d.feed(lc.StopRequested{Command: 2}); d.s.Public() != lc.Stopping {
		t.Errorf("while it is being ended: %s", d.s.Public())
	}
}

// TestStepLeavesTheStateItWasGivenAlone is B004 and B005: what a reader has does not change under it.
func TestStepLeavesTheStateItWasGivenAlone(t *testing.T) {
	d := running(t)
	before := fmt.Sprintf("%+v", d.s)
	held := d.s
	d.feed(lc.StopRequested{Command: 2})
	d.feed(lc.StartRequested{Command: 3})
	if got := fmt.Sprintf("%+v", held); got != before {
		t.Errorf("it was %s\nand is %s", before, got)
	}
}

// TestEpochCountsWhatPeopleWant is B023 and T001: by one for each start, stop and restart, and for nothing else.
func TestEpochCountsWhatPeopleWant(t *testing.T) {
	d := running(t)
	if d.s.Epoch != 1 {
		t.Errorf("after a start: %d", d.s.Epoch)
	}
	d.dies().later()
	if d.s.Epoch != 1 {
		t.Errorf("after an attempt of its own: %d", d.s.Epoch)
	}
	if d.feed(lc.StopRequested{Command: 2}); d.s.Epoch != 2 {
		t.Errorf("after a stop: %d", d.s.Epoch)
	}
}

// TestStartGoesItsWayInOrder is B020, B027, B042 to B046, B112, T036 and T038: what is there is looked for before
// anything is launched, and a session is opened to what is ready. The state is starting before anything is asked.
func TestStartGoesItsWayInOrder(t *testing.T) {
	d := starting(t)
	var way []string
	step := func(in lc.Input) {
		d.feed(in)
		way = append(way, string(d.s.Phase))
	}
	if way = append(way, string(d.s.Phase)); d.s.Public() != lc.Starting || has[lc.ProbePort](d) || has[lc.Launch](d) {
		t.Fatalf("%s, effects %v", d.s.Public(), d.out)
	}
	step(lc.Answer{Op: last[lc.Recover](d).Op, Report: lc.Recovered{Result: lc.OK}})
	step(lc.Answer{Op: last[lc.ClearServices](d).Op, Report: lc.ServicesCleared{Result: lc.OK}})
	step(lc.Answer{Op: last[lc.ProbePort](d).Op, Report: lc.PortProbed{Holder: lc.HolderNone}})
	step(lc.Answer{Op: last[lc.RunHooks](d).Op, Report: lc.HooksDone{Result: lc.OK}})
	step(lc.Answer{Op: last[lc.PrepareLaunch](d).Op, Report: lc.LaunchPrepared{Result: lc.OK, Launch: "A"}})
	step(lc.Answer{Op: last[lc.AlignConfig](d).Op, Report: lc.ConfigAligned{Result: lc.OK}})
	step(lc.Answer{
		Op:     last[lc.Launch](d).Op,
		Report: lc.Launched{Result: lc.OK, Instance: lc.Instance{Launch: "A", Live: true, Watched: true}},
	})
	step(lc.Answer{Op: last[lc.ProbeReady](d).Op, Report: lc.ReadyProbed{Readiness: lc.ReadinessReady}})
	step(lc.Answer{Op: last[lc.OpenSession](d).Op, Report: lc.SessionOpened{Session: last[lc.OpenSession](d).Session}})
	const want = "recovering services probing hooks preparing aligning launching ready connecting running"
	if got := strings.Join(way, " "); got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	if r := last[lc.Reply](d); r.Command != 1 || r.Outcome.Kind != lc.OutcomeApplied || !has[lc.SetTimer](d) {
		t.Errorf("at the end %v: want the answer, and the watch over its silence", d.out)
	}
}

// TestLaunchGoesOnWhenTheConfigurationCannotBeAligned is B321: the gateway itself says better what is wrong with its
// file.
func TestLaunchGoesOnWhenTheConfigurationCannotBeAligned(t *testing.T) {
	for _, result := range []lc.Result{lc.OK, lc.Failed} {
		d := starting(t)
		d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
		d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
		d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
		d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
		d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: "A"})
		align := last[lc.AlignConfig](d)
		if align.Launch != "A" || has[lc.Launch](d) {
			t.Fatalf("before the launch: %v", d.out)
		}
		d.now = d.now.Add(time.Second)
		d.answer(align.Op, lc.ConfigAligned{Result: result, Problem: lc.Problem{Code: "conflict", Message: "m"}})
		if e := last[lc.Launch](d); e.Launch != "A" || d.s.Phase != lc.PhaseLaunching || !d.s.SpawnedAt.Equal(d.now) {
			t.Errorf("after result %d: %v in %s, spawned at %v", result, d.out, d.s.Phase, d.s.SpawnedAt)
		}
	}
}

// TestSecondStartJoinsAndAThirdFindsItDone is B021 and B022.
func TestSecondStartJoinsAndAThirdFindsItDone(t *testing.T) {
	d := starting(t)
	if d.feed(lc.StartRequested{Command: 2}); has[lc.Reply](d) || has[lc.Recover](d) {
		t.Errorf("a second start: %v", d.out)
	}
	d.launched2("A")
	got := replies(d)
	if got[1] != lc.OutcomeApplied || got[2] != lc.OutcomeJoined {
		t.Errorf("answers %v", got)
	}
	if d.feed(lc.StartRequested{Command: 3}); replies(d)[3] != lc.OutcomeApplied || len(d.out) != 1 {
		t.Errorf("a start of what runs: %v", d.out)
	}
}

// launched2 walks up from recovering to running, with effects of which the first was lost to another input.
func (d *drive) launched2(id lc.LaunchID) {
	d.t.Helper()
	op, n := d.pending(lc.OpRecover)
	if n != 1 {
		d.t.Fatalf("%d questions for what is there", n)
	}
	d.answer(op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
	d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: id})
	d.answer(last[lc.AlignConfig](d).Op, lc.ConfigAligned{Result: lc.OK})
	d.answer(last[lc.Launch](d).Op, lc.Launched{
		Result: lc.OK, Instance: lc.Instance{Launch: id, Live: true, Watched: true},
	})
	d.opened("")
}

// TestTransientFailuresAreTriedThreeTimesASecondApart is B018, B040, B054, B055, B061, T028, T029, T040 and T042: then
// it is an error, which is tried again slowly unless that is pointless.
func TestTransientFailuresAreTriedThreeTimesASecondApart(t *testing.T) {
	d := starting(t)
	for attempt := 1; attempt <= 3; attempt++ {
		if d.s.Attempt != attempt {
			t.Fatalf("attempt %d, want %d", d.s.Attempt, attempt)
		}
		d.launched(lc.LaunchID(fmt.Sprint(attempt)))
		d.exits()
		if !has[lc.Diagnose](d) || d.s.Launch != "" {
			t.Fatalf("attempt %d: %v; want the doctors asked once nothing of it lives", attempt, d.out)
		}
		d.undiagnosed()
		if attempt < 3 {
			if d.s.Phase != lc.PhaseRetryWait || last[lc.SetTimer](d).After != time.Second || has[lc.Reply](d) {
				t.Fatalf("attempt %d: %s, %v", attempt, d.s.Phase, d.out)
			}
			d.later()
		}
	}
	r := last[lc.Reply](d)
	if d.s.Phase != lc.PhaseError || r.Outcome.Kind != lc.OutcomeFailed || last[lc.SetTimer](d).After != 5*time.Minute {
		t.Errorf("%s, %+v, timers %v", d.s.Phase, r, d.timers())
	}
	if p := r.Outcome.Problem; p.Code != "exited_before_ready" || !strings.Contains(
		p.Message, "Gateway process exited before becoming ready (code=1)",
	) {
		t.Errorf("problem %+v", p)
	}
}

// TestFatalCausesAreNotTriedAgain is T023, T024, T030 and T031, as far as the decision goes: what the doctors call
// fatal is an error at once.
func TestFatalCausesAreNotTriedAgain(t *testing.T) {
	d := starting(t)
	d.launched("A")
	d.exits()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{
		Found:   true,
		Problem: lc.Problem{Code: "runtime-fatal", Message: "no such Node", Hint: "install it", Fatal: true},
	})
	if r := last[lc.Reply](d); d.s.Phase != lc.PhaseError || r.Outcome.Problem.Hint != "install it" ||
		len(d.timers()) != 0 || len(d.s.Pending) != 0 {
		t.Errorf("%s, %+v, pending %v", d.s.Phase, r, d.s.Pending)
	}
}

// TestRepairIsDoneOnceAtAnyAttempt is B047 to B053, T021, T025, T026, T027 and T041.
func TestRepairIsDoneOnceAtAnyAttempt(t *testing.T) {
	broken := lc.Problem{Code: "config-invalid", Message: "a bad key"}
	d := starting(t)
	for range 2 { // also the last attempt has its repair
		d.launched("A")
		d.exits().undiagnosed().later()
	}
	d.launched("B")
	d.exits()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix", Problem: broken})
	if d.s.Phase != lc.PhaseRepairing || d.s.Public() != lc.Starting {
		t.Fatalf("%s, effects %v", d.s.Phase, d.out)
	}
	d.answer(last[lc.Repair](d).Op, lc.Repaired{Result: lc.OK})
	if d.s.Phase != lc.PhaseRecovering || d.s.Attempt != 4 || len(d.timers()) != 0 {
		t.Fatalf("after it: %s, attempt %d; want one more start without a delay", d.s.Phase, d.s.Attempt)
	}
	d.launched("C")
	d.exits()
	if !last[lc.Diagnose](d).Incident.Repaired {
		t.Error("the doctors are not told that a repair was done")
	}
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix", Problem: broken})
	if p := d.s.Err; d.s.Phase != lc.PhaseError || has[lc.Repair](d) || !p.Fatal || !strings.Contains(
		p.Message, "already done",
	) {
		t.Errorf("a second time: %s, %+v, effects %v", d.s.Phase, p, d.out)
	}
}

// TestTransientFailureAfterARepairIsRetriedWithinTheAttempts is B052 and T027.
func TestTransientFailureAfterARepairIsRetriedWithinTheAttempts(t *testing.T) {
	d := repairing(t)
	d.answer(last[lc.Repair](d).Op, lc.Repaired{Result: lc.OK})
	d.launched("B")
	d.exits().undiagnosed()
	if d.s.Phase != lc.PhaseRetryWait {
		t.Errorf("after a repair, attempt %d: %s", d.s.Attempt, d.s.Phase)
	}
}

// TestRepairThatFailsEndsTheStartWithItsFirstCause is B051.
func TestRepairThatFailsEndsTheStartWithItsFirstCause(t *testing.T) {
	d := repairing(t)
	d.answer(last[lc.Repair](d).Op, lc.Repaired{
		Result: lc.Failed, Problem: lc.Problem{Message: "it ended with code 1"},
	})
	if d.s.Phase != lc.PhaseError || !strings.Contains(d.s.Err.Message, "the repair failed: it ended with code 1") ||
		has[lc.Launch](d) || len(d.timers()) != 0 {
		t.Errorf("%s, %+v, effects %v", d.s.Phase, d.s.Err, d.out)
	}
}

// TestStopSupersedesAStartInEachOfItsPhases is B031, B034 to B039, T002, T035 and T044: it is answered, nothing of it
// stays, and no error is shown.
func TestStopSupersedesAStartInEachOfItsPhases(t *testing.T) {
	recovered := func(d *drive) { d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK}) }
	services := func(d *drive) {
		recovered(d)
		d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	}
	hooks := func(d *drive) {
		services(d)
		d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	}
	preparing := func(d *drive) {
		hooks(d)
		d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
	}
	aligning := func(d *drive) {
		preparing(d)
		d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: "A"})
	}
	writes := []lc.Phase{lc.PhaseHooks, lc.PhaseAligning, lc.PhaseLaunching} // who knows what these still do
	for phase, walk := range map[lc.Phase]func(d *drive){
		lc.PhaseRecovering: func(*drive) {},
		lc.PhaseServices:   recovered,
		lc.PhaseProbing:    services,
		lc.PhaseHooks:      hooks,
		lc.PhasePreparing:  preparing,
		lc.PhaseAligning:   aligning,
		lc.PhaseLaunching: func(d *drive) {
			aligning(d)
			d.answer(last[lc.AlignConfig](d).Op, lc.ConfigAligned{Result: lc.OK})
		},
		lc.PhaseReady: func(d *drive) { d.launched("A") },
		lc.PhaseConnecting: func(d *drive) {
			d.launched("A")
			d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
		},
		lc.PhaseDiagnosing: func(d *drive) {
			d.launched("A")
			d.exits()
		},
		lc.PhaseRetryWait: func(d *drive) {
			d.launched("A")
			d.exits().undiagnosed()
		},
	} {
		t.Run(string(phase), func(t *testing.T) {
			d := starting(t)
			walk(d)
			if d.s.Phase != phase {
				t.Fatalf("phase %s", d.s.Phase)
			}
			under := d.out // what the start has asked for, and is answered all the same
			d.feed(lc.StopRequested{Command: 2})
			got := replies(d)
			if slices.Contains(writes, phase) && got[2] != "" {
				t.Errorf("the stop is answered %s while %v is under way", got[2], under)
			}
			for _, e := range under {
				switch e := e.(type) {
				case lc.RunHooks:
					d.answer(e.Op, lc.HooksDone{Result: lc.OK})
				case lc.PrepareLaunch:
					down := d.out
					d.answer(e.Op, lc.LaunchPrepared{Result: lc.OK, Launch: "late"})
					if r := last[lc.Release](d); r.Launch != "late" {
						t.Errorf("the identity is kept: %v", d.out)
					}
					d.out = append(down, d.out...)
				case lc.AlignConfig:
					if has[lc.Terminate](d) || has[lc.Release](d) {
						t.Errorf("the launch is ended or released while its configuration is aligned: %v", d.out)
					}
					d.answer(e.Op, lc.ConfigAligned{Result: lc.OK})
					if r := last[lc.Release](d); r.Launch != "A" || has[lc.Launch](d) {
						t.Errorf("the identity is kept or launched: %v", d.out)
					}
				case lc.Launch:
					d.answer(e.Op, lc.Launched{
						Result: lc.OK, Instance: lc.Instance{Launch: e.Launch, Live: true, Watched: true},
					})
				}
			}
			for range 4 { // whatever the way down asks for
				maps.Copy(got, replies(d))
				switch {
				case has[lc.Terminate](d):
					kill := last[lc.Terminate](d)
					d.answer(kill.Op, lc.Terminated{Launch: kill.Launch, Result: lc.OK})
				case has[lc.Recover](d):
					d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
				}
			}
			if d.s.Phase != lc.PhaseStopped || d.s.Err != nil || d.s.Launch != "" || len(d.s.Pending) != 0 {
				t.Errorf("after it: %s, error %v, launch %q, pending %v", d.s.Phase, d.s.Err, d.s.Launch, d.s.Pending)
			}
			if got[1] != lc.OutcomeSuperseded || got[2] != lc.OutcomeApplied {
				t.Errorf("answers %v", got)
			}
		})
	}
}

// TestStopDuringARepairWaitsForItsEndAndStartsNothing is B035 and B038.
func TestStopDuringARepairWaitsForItsEndAndStartsNothing(t *testing.T) {
	d := repairing(t)
	repair := last[lc.Repair](d)
	d.feed(lc.StopRequested{Command: 2})
	if c := last[lc.Cancel](d); c.Op != repair.Op || d.s.Public() != lc.Stopping {
		t.Fatalf("%s, effects %v", d.s.Public(), d.out)
	}
	d.answer(repair.Op, lc.Repaired{Result: lc.OK})
	if has[lc.Launch](d) || has[lc.PrepareLaunch](d) || d.s.Public() == lc.Starting {
		t.Errorf("after it: %s, effects %v", d.s.Public(), d.out)
	}
}

// TestReadyIsWaitedForAsLongAsThereIsProgress is B060, B062 and B063: 90 s without a sign of any, 8 minutes in all.
func TestReadyIsWaitedForAsLongAsThereIsProgress(t *testing.T) {
	d := starting(t)
	start := last[lc.SetTimer](d)
	if start.After != 8*time.Minute {
		t.Errorf("in all: %v", start.After)
	}
	d.launched("A")
	quiet, n := d.pending(lc.TimerNoProgress)
	if n != 1 {
		t.Fatalf("%d timers", n)
	}
	d.now = d.now.Add(80 * time.Second)
	d.feed(lc.OutputSeen{Launch: "A"})
	again, n := d.pending(lc.TimerNoProgress)
	if n != 1 || again == quiet || last[lc.SetTimer](d).After != 90*time.Second {
		t.Fatalf("after a line of output: %v", d.out)
	}
	d.answer(again, lc.TimerFired{})
	if kill := last[lc.Terminate](d); kill.Launch != "A" || !strings.Contains(d.s.Cause.Message, "1m30s") {
		t.Errorf("without progress: %v, %+v", d.out, d.s.Cause)
	}
	d = starting(t)
	d.launched("A")
	d.answer(start.Op, lc.TimerFired{})
	if kill := last[lc.Terminate](d); kill.Launch != "A" || !strings.Contains(d.s.Cause.Message, "8m0s") {
		t.Errorf("in the end: %v, %+v", d.out, d.s.Cause)
	}
}

// TestStillStartingIsAskedAgainWithoutAnotherSpawn is B143, T032, T033, T034 and T046.
func TestStillStartingIsAskedAgainWithoutAnotherSpawn(t *testing.T) {
	d := starting(t)
	d.launched("A")
	for range 3 {
		d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
		open := last[lc.OpenSession](d)
		d.answer(open.Op, lc.SessionRefused{
			Session: open.Session, Retryable: true, RetryAfter: 500 * time.Millisecond,
			Problem: lc.Problem{Message: "gateway starting; retry shortly"},
		})
		if has[lc.Terminate](d) || d.s.Launch != "A" || d.s.Attempt != 1 {
			t.Fatalf("%s, effects %v", d.s.Phase, d.out)
		}
		d.later()
	}
	d.opened("")
	if d.s.Phase != lc.PhaseRunning || d.s.Launch != "A" {
		t.Errorf("%s of %s", d.s.Phase, d.s.Launch)
	}
}

// TestDropClearsWhatIsNoLongerTrue is B012, B013, B014 and B132.
func TestDropClearsWhatIsNoLongerTrue(t *testing.T) {
	d := running(t)
	if d.s.ConnectedAt.IsZero() || d.s.Hello == nil {
		t.Fatalf("running: %+v", d.s)
	}
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	if !d.s.ConnectedAt.IsZero() || d.s.Hello != nil || d.s.Session != 0 || d.s.LastHello == nil {
		t.Errorf("after a drop: %+v", d.s)
	}
	d.dies()
	if d.s.Launch != "" || d.s.Process.PID != 0 || d.s.LastExit == nil {
		t.Errorf("after the end: %+v", d.s)
	}
	d.feed(lc.StopRequested{Command: 2})
	if has[lc.Recover](d) {
		d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	}
	if d.s.Phase != lc.PhaseStopped || d.s.Err != nil || d.s.Reconnects != 0 {
		t.Errorf("after a stop: %s, %+v, attempts %d", d.s.Phase, d.s.Err, d.s.Reconnects)
	}
}

// TestLaunchWithoutAnAnswerIsBounded is B068: whatever happens to a spawn, it ends.
func TestLaunchWithoutAnAnswerIsBounded(t *testing.T) {
	for name, in := range map[string]func(op lc.OpID) lc.Input{
		"it failed": func(op lc.OpID) lc.Input {
			return lc.Answer{
				Op: op, Report: lc.Launched{Result: lc.Failed, Problem: lc.Problem{Message: "no such program"}},
			}
		},
		"it is not known": func(op lc.OpID) lc.Input { return lc.Answer{Op: op, Report: lc.Launched{Result: lc.Unknown}} },
		"it ended first": func(op lc.OpID) lc.Input {
			return lc.Answer{
				Op: op,
				Report: lc.Launched{
					Result: lc.OK, Instance: lc.Instance{Launch: "A", Exit: lc.Exit{Known: true, Code: 3}},
				},
			}
		},
		"it runs, unseen": func(op lc.OpID) lc.Input {
			return lc.Answer{Op: op, Report: lc.Launched{Result: lc.OK, Instance: lc.Instance{Launch: "A", Live: true}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := starting(t)
			d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
			d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
			d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
			d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
			d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: "A"})
			d.answer(last[lc.AlignConfig](d).Op, lc.ConfigAligned{Result: lc.OK})
			d.feed(in(last[lc.Launch](d).Op))
			if d.s.Phase == lc.PhaseLaunching && len(d.s.Pending) < 2 {
				t.Errorf("%s: it hangs in %s with %v", name, d.s.Phase, d.s.Pending)
			}
			if _, n := d.pending(lc.TimerStart); n != 1 && d.s.Phase != lc.PhaseError {
				t.Errorf("%s: nothing bounds %s: %v", name, d.s.Phase, d.s.Pending)
			}
		})
	}
}

// TestStopClosesTheSessionBeforeTheProcessIsEnded is B130, B156 and B213: who waits for an answer is told at once, not
// when the process has gone.
func TestStopClosesTheSessionBeforeTheProcessIsEnded(t *testing.T) {
	d := running(t)
	session := d.s.Session
	d.feed(lc.StopRequested{Command: 2})
	closed, ended := -1, -1
	for i, e := range d.out {
		switch e := e.(type) {
		case lc.CloseSession:
			if e.Session == session {
				closed = i
			}
		case lc.Terminate:
			ended = i
		}
	}
	if closed < 0 || ended < 0 || closed > ended || has[lc.Reply](d) {
		t.Errorf("effects %v", d.out)
	}
}

// TestRepairNamesThePlanOfItsDiagnosis: a start that is repaired a second time, since the first repair was cut off,
// executes what was proposed then.
func TestRepairNamesThePlanOfItsDiagnosis(t *testing.T) {
	d := starting(t)
	d.launched("A")
	d.exits()
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "first"})
	if e := last[lc.Repair](d); e.Plan != "first" || d.s.Plan != "first" {
		t.Fatalf("repair %+v, the state has %q", e, d.s.Plan)
	}
	d.answer(last[lc.Repair](d).Op, lc.Repaired{Result: lc.Unknown})
	d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "second"})
	if e := last[lc.Repair](d); e.Plan != "second" || d.s.Plan != "second" {
		t.Errorf("repair %+v, the state has %q", e, d.s.Plan)
	}
}

// TestProblemThatMayBeOverSoonIsTriedSooner: another process owns the state. No attempt comes later than a slow one,
// and none at all where slow attempts are switched off.
func TestProblemThatMayBeOverSoonIsTriedSooner(t *testing.T) {
	for _, row := range []struct {
		slow, after time.Duration
		want        []time.Duration
	}{
		{5 * time.Minute, 15 * time.Second, []time.Duration{15 * time.Second}},
		{5 * time.Second, 15 * time.Second, []time.Duration{5 * time.Second}},
		{5 * time.Minute, 0, []time.Duration{5 * time.Minute}},
		{0, 15 * time.Second, nil},
	} {
		d := starting(t)
		d.p.SlowRetry = row.slow
		d.launched("A")
		d.feed(lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true, Code: 78}})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
		d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{
			Found: true, OtherOwner: true, Problem: lc.Problem{Code: "second-instance", RetryAfter: row.after},
		})
		watch := 3 * time.Second // for the end of what holds the port, if it does
		got := slices.DeleteFunc(d.timers(), func(after time.Duration) bool { return after == watch })
		if d.s.Phase != lc.PhaseError || !slices.Equal(got, row.want) {
			t.Errorf("slow %v, soon %v: %s with timers %v, want %v", row.slow, row.after, d.s.Phase, got, row.want)
		}
	}
}
