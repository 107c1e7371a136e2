package observe

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/classifier"
)

// attempts returns a machine whose reconnects are followed.
func attempts(t *testing.T) (m *machine, r *reconnects, reported *[]string) {
	t.Helper()
	r, reported = &reconnects{}, &[]string{}
	m = newMachine(t, func(c Change) {
		next, changed := r.follow(c, 2)
		*r = next
		for _, d := range changed {
			line := fmt.Sprintf("%s %s #%d/%d for %s", d.Outcome, d.Kind, d.Attempt, d.MaxAttempts, d.Cause)
			if d.DelayMs != nil {
				line += fmt.Sprintf(" after %d ms", *d.DelayMs)
			}
			if d.Error != "" {
				line += ": " + d.Error
			}
			*reported = append(*reported, line)
		}
	})
	m.give(lifecycle.StartRequested{Command: 1})
	if m.state.Public() != lifecycle.Running || len(*reported) > 0 {
		t.Fatalf("after a start: %s, reported %q", m.state.Public(), *reported)
	}
	return m, r, reported
}

func wantReported(t *testing.T, reported *[]string, want ...string) {
	t.Helper()
	if !slices.Equal(*reported, want) {
		t.Errorf("reported\n%q\nwant\n%q", *reported, want)
	}
}

func TestAttemptsAreToldWithDelayCauseAndOutcome(t *testing.T) { // B207
	m, r, reported := attempts(t)
	m.crash()
	if s := r.status(); s == nil || !s.NextAt.Equal(m.now.Add(time.Second)) || s.LastCause != "exited" ||
		s.SuccessRate != nil || *s.LastDelayMs != 1000 {
		t.Errorf("while it is waited for: %+v", s)
	}
	m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.Refuse = nil
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	wantReported(t, reported,
		"scheduled process #1/2 for exited after 1000 ms",
		"failure process #1/2 for exited after 1000 ms: closed_before_handshake",
		"scheduled process #2/2 for closed_before_handshake after 2000 ms",
		"success process #2/2 for closed_before_handshake after 2000 ms",
	)
	s := r.status()
	if s.Attempts != 2 || s.Successes != 1 || s.Failures != 1 || *s.SuccessRate != 0.5 || !s.NextAt.IsZero() ||
		s.LastOutcome != "success" {
		t.Errorf("in the end: %+v", s)
	}
}

func TestRateHasFourDecimals(t *testing.T) {
	if got := rate(2, 3); *got != 0.6667 {
		t.Errorf("2 of 3 = %v", *got)
	}
	if rate(0, 0) != nil {
		t.Error("the rate of nothing is a number")
	}
}

func TestSlowAttemptAfterTheCapIsTold(t *testing.T) {
	m, r, reported := attempts(t)
	m.Refuse = &lifecycle.Problem{Code: "no", Message: "x"}
	m.crash()
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	if m.state.Public() != lifecycle.Error {
		t.Fatalf("state = %s, want error after the cap", m.state.Public())
	}
	m.Refuse = nil
	m.fire(lifecycle.TimerSlow, 5*time.Minute)
	wantReported(t, reported,
		"scheduled process #1/2 for exited after 1000 ms", "failure process #1/2 for exited after 1000 ms: no",
		"scheduled process #2/2 for no after 2000 ms", "failure process #2/2 for no after 2000 ms: no",
		"scheduled process #2/2 for no after 300000 ms", "success process #2/2 for no after 300000 ms",
	)
	if s := r.status(); *s.SuccessRate != 0.3333 {
		t.Errorf("rate = %v, want 0.3333", *s.SuccessRate)
	}
}

func TestStopSupersedesAnAttemptWhichCountsAsNeither(t *testing.T) { // B030
	m, r, reported := attempts(t)
	m.crash()
	m.give(lifecycle.StopRequested{Command: 2})
	wantReported(t, reported,
		"scheduled process #1/2 for exited after 1000 ms", "superseded process #1/2 for exited after 1000 ms")
	if s := r.status(); s.Attempts != 0 || s.SuccessRate != nil || !s.NextAt.IsZero() {
		t.Errorf("after the stop: %+v", s)
	}
}

func TestSessionAloneIsRenewed(t *testing.T) { // B204, B205
	m, r, reported := attempts(t)
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
	m.now = m.now.Add(time.Minute)
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1012, Announce: lifecycle.AnnounceRestart})
	wantReported(t, reported, "success transport #0/2 for session_lost", "success transport #0/2 for announced_restart")
	if s := r.status(); *s.SuccessRate != 1 || s.Successes != 2 {
		t.Errorf("in the end: %+v", s)
	}
}

// The gateway accepts each session and drops it.
func TestRenewalThatIsPutOffIsToldWithItsDelay(t *testing.T) {
	m, r, reported := attempts(t)
	lost := func() { m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006}) }
	lost()
	lost()
	if s := r.status(); !s.NextAt.Equal(m.now.Add(time.Second)) || *s.LastDelayMs != 1000 {
		t.Errorf("while it is waited for: %+v", s)
	}
	m.fire(lifecycle.TimerProbe, time.Second)
	lost()
	m.give(lifecycle.StopRequested{Command: 2})
	wantReported(t, reported,
		"success transport #0/2 for session_lost",
		"scheduled transport #0/2 for session_lost after 1000 ms", "success transport #0/2 for session_lost after 1000 ms",
		"scheduled transport #0/2 for session_lost after 2000 ms", "superseded transport #0/2 for session_lost after 2000 ms",
	)
	if s := r.status(); s.Attempts != 2 || !s.NextAt.IsZero() {
		t.Errorf("in the end: %+v", s)
	}
}

func TestRenewalThatComesTooLateIsAFailure(t *testing.T) {
	m, _, reported := attempts(t)
	m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
	m.Refuse = nil
	m.fire(lifecycle.TimerRejoin, 30*time.Second)
	wantReported(t, reported, "failure transport #0/2 for session_lost: session_lost",
		"scheduled process #1/2 for session_lost after 1000 ms")
}

func TestAttachedGatewayIsTriedByItsSessionOnly(t *testing.T) {
	m, _, reported := attempts(t)
	m.give(lifecycle.StopRequested{Command: 2})
	m.Holder = lifecycle.HolderGateway
	m.give(lifecycle.StartRequested{Command: 3})
	if !m.state.Attached {
		t.Fatalf("not attached: %+v", m.state)
	}
	m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
	m.fire(lifecycle.TimerRejoin, 30*time.Second)
	m.Refuse = nil
	m.fire(lifecycle.TimerBackoff, time.Second)
	wantReported(t, reported,
		"failure transport #0/2 for session_lost: session_lost", "scheduled transport #1/2 for session_lost after 1000 ms",
		"success transport #1/2 for session_lost after 1000 ms",
	)
}

func TestRestartsHaveTheirCause(t *testing.T) { // B351
	var causes []string
	m := newMachine(t, func(c Change) {
		if c.After.Restarts > c.Before.Restarts {
			causes = append(causes, restartCause(c.Before, c.After))
		}
	})
	m.give(lifecycle.StartRequested{Command: 1})
	m.crash()
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.now = m.now.Add(time.Hour)
	m.give(lifecycle.RestartRequested{Command: 2})
	m.now = m.now.Add(time.Hour)
	m.give(lifecycle.SymptomSeen{Launch: m.state.Launch, Symptom: lifecycle.SymptomChannelsSuppressed, Text: "x"})
	m.fire(lifecycle.TimerBreaker, 310*time.Second)
	if want := []string{"exited", "command", "channels_suppressed"}; !slices.Equal(causes, want) {
		t.Errorf("causes = %v, want %v", causes, want)
	}
}

func TestTraceCollectsTheStagesOfTheNewestLaunch(t *testing.T) { // T050, B301
	var trace startTrace
	begin := time.Now()
	follow := func(launch string, begin time.Time, phase lifecycle.Phase) {
		c := Change{After: lifecycle.State{Launch: lifecycle.LaunchID(launch), Phase: phase}}
		trace = trace.follow(c, Waterfall{StartedAt: begin})
	}
	take := func(launch string, s classifier.Stage) (slow bool) {
		trace, slow = trace.take(launch, s)
		return slow
	}
	follow("", begin, lifecycle.PhaseRecovering)
	follow("a", begin, lifecycle.PhaseLaunching)
	total := func(ms float64) *float64 { return &ms }
	for i, s := range []classifier.Stage{
		{Name: "one", DurationMs: 12.5, TotalMs: total(100)},
		{Name: "two", DurationMs: 30001.2, TotalMs: total(30040)},
		{Name: "three", DurationMs: 9999, TotalMs: total(20)},
		{Name: "four", DurationMs: 1},
	} {
		if slow := take("a", s); slow != (i == 1) {
			t.Errorf("%s is slow: %t", s.Name, slow)
		}
	}
	take("b", classifier.Stage{Name: "of another launch", DurationMs: 1e9})
	got := trace.summary()
	if got.Count != 4 || got.Last.Name != "four" || got.TotalMs != 30040 || got.Slowest[0].Name != "two" ||
		got.Slowest[0].Ms != 30001.2 {
		t.Errorf("trace = %+v", got)
	}
	for i := range 50 {
		take("a", classifier.Stage{Name: fmt.Sprint("more ", i), DurationMs: float64(i)})
	}
	if now := trace.summary(); now.Count != 54 || len(now.Slowest) != shownStages || len(got.Slowest) != 4 {
		t.Errorf("%d shown of %d, want %d; the summary before has %d, want its 4", len(now.Slowest), now.Count, shownStages,
			len(got.Slowest))
	}
	follow("a", begin, lifecycle.PhaseReloading)
	take("a", classifier.Stage{Name: "of a restart in process", DurationMs: 1e9})
	if now := trace.summary(); now.Count != 54 {
		t.Errorf("count = %d after a reload, want 54", now.Count)
	}
	follow("b", begin, lifecycle.PhaseLaunching)
	if trace.summary() != nil {
		t.Error("a new launch begins with the trace of the old one")
	}
	take("b", classifier.Stage{Name: "one", DurationMs: 1})
	follow("", begin.Add(time.Second), lifecycle.PhaseRecovering)
	if trace.summary() != nil {
		t.Error("a new start begins with the trace of the old one")
	}
}

func TestMilestonesAreOfAStartThatLaunchedAProcess(t *testing.T) { // B351
	at := time.Now()
	w := Waterfall{StartedAt: at, Outcome: "running", Total: 9 * time.Second, Stages: []Stage{
		{Name: "launching", Start: time.Second, Took: time.Second},
		{Name: "ready", Start: 2 * time.Second, Took: 5 * time.Second},
		{Name: "connecting", Start: 7 * time.Second, Took: 2 * time.Second},
	}}
	spawned := lifecycle.State{SpawnedAt: at.Add(time.Second)}
	if spawn, connect := milestones(w, spawned); spawn != 6*time.Second || connect != 2*time.Second {
		t.Errorf("milestones = %v, %v, want 6s, 2s", spawn, connect)
	}
	adopted, earlier := spawned, spawned
	adopted.Adopted, earlier.SpawnedAt = true, at.Add(-time.Hour)
	failed := w
	failed.Outcome = "error"
	for name, got := range map[string]time.Duration{
		"an adoption": first(milestones(w, adopted)), "an earlier process": first(milestones(w, earlier)),
		"a failed start": first(milestones(failed, spawned)), "nothing": first(milestones(Waterfall{}, lifecycle.State{})),
	} {
		if got != 0 {
			t.Errorf("%s has %v from spawn to ready", name, got)
		}
	}
}

func first(d, _ time.Duration) time.Duration { return d }

func TestUncleanEndsAreCountedWithinTheWindow(t *testing.T) {
	var r Record
	at, n := time.Now(), 0
	end := func(x lifecycle.Exit, at time.Time) {
		n++
		before := lifecycle.State{Launch: lifecycle.LaunchID(fmt.Sprint("launch-", n))}
		r, _ = r.Step(Change{Before: before, After: lifecycle.State{LastExit: &x}, At: at})
	}
	end(lifecycle.Exit{Known: true, Signal: "SIGKILL"}, at)
	end(lifecycle.Exit{Known: true, Code: 0}, at)
	end(lifecycle.Exit{Known: true, Code: 78}, at)
	end(lifecycle.Exit{Known: true, Code: 1}, at.Add(200*time.Second))
	end(lifecycle.Exit{}, at.Add(250*time.Second)) // it is not known how it ended
	for after, want := range map[time.Duration]int{
		250 * time.Second: 3, 300 * time.Second: 2, 510 * time.Second: 1, time.Hour: 0,
	} {
		if got := r.UncleanEnds(at.Add(after)); got != want {
			t.Errorf("after %v: %d, want %d", after, got, want)
		}
	}
}

func TestSleepOfTheMachineIsVerifiedFirst(t *testing.T) { // B283
	for name, jump := range map[string]time.Duration{"a night": 10 * time.Hour, "a clock set back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, func(c Change) {
				for _, e := range c.Effects {
					if _, ends := e.(lifecycle.Terminate); ends {
						t.Errorf("a living gateway was ended by %T", c.Input)
					}
				}
			})
			m.give(lifecycle.StartRequested{Command: 1})
			m.fire(lifecycle.TimerSilence, jump)
			if jump < 0 { // nothing is known about the silence: the wait starts again
				if m.state.Phase != lifecycle.PhaseRunning {
					t.Errorf("phase = %s", m.state.Phase)
				}
				return
			}
			if m.state.Phase != lifecycle.PhaseVerifying || m.state.Public() != lifecycle.Running {
				t.Fatalf("phase = %s, want one call to decide", m.state.Phase)
			}
			for id, op := range m.state.Pending {
				if op.Kind == lifecycle.OpVerify {
					m.give(lifecycle.Answer{Op: id, Report: lifecycle.Verified{Session: m.state.Session, Alive: true}})
					break
				}
			}
			if m.state.Phase != lifecycle.PhaseRunning || m.state.Restarts != 0 {
				t.Errorf("after the answer: %s, %d restarts", m.state.Phase, m.state.Restarts)
			}
		})
	}
}

// TestStepsAreCounted is B351: the facts that count what a run of steps did.
func TestStepsAreCounted(t *testing.T) {
	var counted []string
	var r Record
	m := newMachine(t, func(c Change) {
		next, facts := r.Step(c)
		r = next
		for _, f := range facts {
			switch f := f.(type) {
			case SessionLost:
				counted = append(counted, fmt.Sprint("session lost ", f.Code))
			case Restarted:
				counted = append(counted, fmt.Sprint("restart ", f.Cause, " suppressed=", f.Suppressed))
			default:
			}
		}
	})
	m.give(lifecycle.StartRequested{Command: 1})
	m.give(lifecycle.SessionClosed{Session: 999, Code: 1006}) // of another session
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1012, Announce: lifecycle.AnnounceRestart})
	m.Refuse = &lifecycle.Problem{Code: "no", Message: "x"}
	m.crash()
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	if m.state.Public() != lifecycle.Error {
		t.Fatalf("state = %s", m.state.Public())
	}
	want := []string{"session lost 1012", "restart exited suppressed=false", "restart no suppressed=true"}
	got := slices.DeleteFunc(counted, func(s string) bool { return s == "restart no suppressed=false" })
	if !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}
