package observe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/classifier"
)

// machine drives the real lifecycle in a world where everything works at once, but for its knobs, and shows each step to see.
type machine struct {
	t      *testing.T
	policy lifecycle.Policy
	state  lifecycle.State
	now    time.Time
	see    func(Change)

	Refuse   *lifecycle.Problem // sessions are refused for this
	Holder   lifecycle.Holder
	launches int
}

func newMachine(t *testing.T, see func(Change)) *machine {
	t.Helper()
	p := lifecycle.DefaultPolicy()
	p.ReconnectAttempts = 2
	return &machine{t: t, policy: p, state: lifecycle.New(), now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC), see: see, Holder: lifecycle.HolderNone}
}

// give hands an input in, and answers what that leads to until only timers are left.
func (m *machine) give(in lifecycle.Input) {
	m.t.Helper()
	queue := []lifecycle.Input{in}
	for n := 0; len(queue) > 0; n++ {
		if n > 200 {
			m.t.Fatal("the machine never rests")
		}
		in, queue = queue[0], queue[1:]
		before := m.state
		after, effects := lifecycle.Step(m.policy, before, in, m.now)
		m.state = after
		m.see(Change{Before: before, After: after, Input: in, Effects: effects, At: m.now})
		for _, e := range effects {
			if a := m.answer(e); a != nil {
				queue = append(queue, a)
			}
		}
	}
}

func (m *machine) answer(e lifecycle.Effect) lifecycle.Input {
	switch e := e.(type) {
	case lifecycle.Recover:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Recovered{Result: lifecycle.OK}}
	case lifecycle.ClearServices:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ServicesCleared{Result: lifecycle.OK}}
	case lifecycle.ProbePort:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.PortProbed{Holder: m.Holder}}
	case lifecycle.RunHooks:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.HooksDone{Result: lifecycle.OK}}
	case lifecycle.PrepareLaunch:
		m.launches++
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.LaunchPrepared{Result: lifecycle.OK, Launch: lifecycle.LaunchID(fmt.Sprint("launch-", m.launches))}}
	case lifecycle.AlignConfig:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ConfigAligned{Result: lifecycle.OK}}
	case lifecycle.Launch:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Launched{Result: lifecycle.OK, Instance: lifecycle.Instance{Launch: e.Launch, Live: true, Watched: true}}}
	case lifecycle.Inspect:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Inspected{Result: lifecycle.OK, Found: true, Instance: lifecycle.Instance{Launch: e.Launch, Live: true, Watched: true}}}
	case lifecycle.ProbeReady:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ReadyProbed{Readiness: lifecycle.ReadinessReady}}
	case lifecycle.OpenSession:
		if m.Refuse != nil {
			return lifecycle.Answer{Op: e.Op, Report: lifecycle.SessionRefused{Session: e.Session, Problem: *m.Refuse}}
		}
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.SessionOpened{Session: e.Session}}
	case lifecycle.Terminate:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Terminated{Result: lifecycle.OK, Launch: e.Launch}}
	case lifecycle.Diagnose:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Diagnosed{}}
	default:
		return nil
	}
}

// fire lets a timer come.
func (m *machine) fire(kind lifecycle.OpKind, after time.Duration) {
	m.t.Helper()
	m.now = m.now.Add(after)
	for id, op := range m.state.Pending {
		if op.Kind == kind {
			m.give(lifecycle.Answer{Op: id, Report: lifecycle.TimerFired{}})
			return
		}
	}
	m.t.Fatalf("no timer of kind %s in %s %v", kind, m.state.Phase, m.state.Pending)
}

func (m *machine) crash() {
	m.t.Helper()
	m.give(lifecycle.ProcessExited{Launch: m.state.Launch, Exit: lifecycle.Exit{Known: true, Signal: "SIGKILL", At: m.now}})
}

// attempts is a machine whose reconnects are followed.
func attempts(t *testing.T) (m *machine, r *reconnects, told *[]string) {
	t.Helper()
	r, told = &reconnects{}, &[]string{}
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
			*told = append(*told, line)
		}
	})
	m.give(lifecycle.StartRequested{Command: 1})
	if m.state.Public() != lifecycle.Running || len(*told) > 0 {
		t.Fatalf("after a start: %s, told %q", m.state.Public(), *told)
	}
	return m, r, told
}

func wantTold(t *testing.T, told *[]string, want ...string) {
	t.Helper()
	if !slices.Equal(*told, want) {
		t.Errorf("told\n%q\nwant\n%q", *told, want)
	}
}

func TestAttemptsAreToldWithDelayCauseAndOutcome(t *testing.T) { // B207
	m, r, told := attempts(t)
	m.crash()
	if s := r.status(); s == nil || !s.NextAt.Equal(m.now.Add(time.Second)) || s.LastCause != "exited" || s.SuccessRate != nil || *s.LastDelayMs != 1000 {
		t.Errorf("while it is waited for: %+v", s)
	}
	m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.Refuse = nil
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	wantTold(t, told,
		"scheduled process #1/2 for exited after 1000 ms", "failure process #1/2 for exited after 1000 ms: closed_before_handshake",
		"scheduled process #2/2 for closed_before_handshake after 2000 ms", "success process #2/2 for closed_before_handshake after 2000 ms",
	)
	s := r.status()
	if s.Attempts != 2 || s.Successes != 1 || s.Failures != 1 || *s.SuccessRate != 0.5 || !s.NextAt.IsZero() || s.LastOutcome != "success" {
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
	m, r, told := attempts(t)
	m.Refuse = &lifecycle.Problem{Code: "no", Message: "x"}
	m.crash()
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	if m.state.Public() != lifecycle.Error {
		t.Fatalf("state = %s, want error after the cap", m.state.Public())
	}
	m.Refuse = nil
	m.fire(lifecycle.TimerSlow, 5*time.Minute)
	wantTold(t, told,
		"scheduled process #1/2 for exited after 1000 ms", "failure process #1/2 for exited after 1000 ms: no",
		"scheduled process #2/2 for no after 2000 ms", "failure process #2/2 for no after 2000 ms: no",
		"scheduled process #2/2 for no after 300000 ms", "success process #2/2 for no after 300000 ms",
	)
	if s := r.status(); *s.SuccessRate != 0.3333 {
		t.Errorf("rate = %v, want 0.3333", *s.SuccessRate)
	}
}

func TestStopSupersedesAnAttemptWhichCountsAsNeither(t *testing.T) { // B030
	m, r, told := attempts(t)
	m.crash()
	m.give(lifecycle.StopRequested{Command: 2})
	wantTold(t, told, "scheduled process #1/2 for exited after 1000 ms", "superseded process #1/2 for exited after 1000 ms")
	if s := r.status(); s.Attempts != 0 || s.SuccessRate != nil || !s.NextAt.IsZero() {
		t.Errorf("after the stop: %+v", s)
	}
}

func TestSessionAloneIsRenewed(t *testing.T) { // B204, B205
	m, r, told := attempts(t)
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
	m.now = m.now.Add(time.Minute)
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1012, Announce: lifecycle.AnnounceRestart})
	wantTold(t, told, "success transport #0/2 for session_lost", "success transport #0/2 for announced_restart")
	if s := r.status(); *s.SuccessRate != 1 || s.Successes != 2 {
		t.Errorf("in the end: %+v", s)
	}
}

// TestRenewalThatIsPutOffIsToldWithItsDelay: of a gateway that takes each session and drops it.
func TestRenewalThatIsPutOffIsToldWithItsDelay(t *testing.T) {
	m, r, told := attempts(t)
	lost := func() { m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006}) }
	lost()
	lost()
	if s := r.status(); !s.NextAt.Equal(m.now.Add(time.Second)) || *s.LastDelayMs != 1000 {
		t.Errorf("while it is waited for: %+v", s)
	}
	m.fire(lifecycle.TimerProbe, time.Second)
	lost()
	m.give(lifecycle.StopRequested{Command: 2})
	wantTold(t, told,
		"success transport #0/2 for session_lost",
		"scheduled transport #0/2 for session_lost after 1000 ms", "success transport #0/2 for session_lost after 1000 ms",
		"scheduled transport #0/2 for session_lost after 2000 ms", "superseded transport #0/2 for session_lost after 2000 ms",
	)
	if s := r.status(); s.Attempts != 2 || !s.NextAt.IsZero() {
		t.Errorf("in the end: %+v", s)
	}
}

func TestRenewalThatComesTooLateIsAFailure(t *testing.T) {
	m, _, told := attempts(t)
	m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
	m.Refuse = nil
	m.fire(lifecycle.TimerRejoin, 30*time.Second)
	wantTold(t, told, "failure transport #0/2 for session_lost: session_lost", "scheduled process #1/2 for session_lost after 1000 ms")
}

func TestAttachedGatewayIsTriedByItsSessionOnly(t *testing.T) {
	m, _, told := attempts(t)
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
	wantTold(t, told,
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
	if got.Count != 4 || got.Last.Name != "four" || got.TotalMs != 30040 || got.Slowest[0].Name != "two" || got.Slowest[0].Ms != 30001.2 {
		t.Errorf("trace = %+v", got)
	}
	for i := range 50 {
		take("a", classifier.Stage{Name: fmt.Sprint("more ", i), DurationMs: float64(i)})
	}
	if now := trace.summary(); now.Count != 54 || len(now.Slowest) != shownStages || len(got.Slowest) != 4 {
		t.Errorf("%d shown of %d, want %d; the summary before has %d, want its 4", len(now.Slowest), now.Count, shownStages, len(got.Slowest))
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
		"an adoption": first(milestones(w, adopted)), "a process of before": first(milestones(w, earlier)), "a failed start": first(milestones(failed, spawned)),
		"nothing": first(milestones(Waterfall{}, lifecycle.State{})),
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
	end(lifecycle.Exit{}, at.Add(250*time.Second)) // how it ended is not known
	for after, want := range map[time.Duration]int{250 * time.Second: 3, 300 * time.Second: 2, 510 * time.Second: 1, time.Hour: 0} {
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
			if jump < 0 { // nothing can be said of the silence: it is waited for anew
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

// conditionOf is a condition of a record, by its code.
func conditionOf(r Record, code string) (lifecycle.Condition, bool) {
	for _, c := range r.Conditions() {
		if c.Code == code {
			return c, true
		}
	}
	return lifecycle.Condition{}, false
}

func TestRefusedClientsAreShownForAWhile(t *testing.T) { // B295
	at := time.Now()
	run := func(r Record, launch lifecycle.LaunchID, at time.Time) Record {
		r, _ = r.Step(Change{After: lifecycle.State{Launch: launch}, At: at})
		return r
	}
	r := run(Record{}, "a", at)
	if _, shown := conditionOf(r, CodeTokenMismatch); shown {
		t.Error("a condition without a reason")
	}
	r, _ = r.See(ClientRefused{Launch: "a", At: at, Number: 1}, at)
	r, _ = r.See(ClientRefused{Launch: "a", At: at.Add(time.Minute), Number: 1}, at.Add(time.Minute))
	r, facts := r.See(Passed{}, at.Add(2*time.Minute))
	c, shown := conditionOf(r, CodeTokenMismatch)
	if !shown || len(facts) > 0 || !c.Since.Equal(at) || !strings.Contains(c.Message, "2 times") || c.Hint == "" {
		t.Errorf("condition = %+v, %t, facts %v", c, shown, facts)
	}
	if _, shown := conditionOf(run(r, "b", at.Add(2*time.Minute)), CodeTokenMismatch); shown {
		t.Error("another launch has the condition, too")
	}
	if due := r.Due(); due.Before(at.Add(11*time.Minute)) || due.After(at.Add(12*time.Minute)) {
		t.Errorf("it ends at %v after it came", due.Sub(at))
	}
	if later, facts := r.See(Passed{}, r.Due()); len(later.Conditions()) > 0 || len(facts) != 1 || !later.Due().IsZero() {
		t.Errorf("when it is due it stays: %+v, facts %v", later.Conditions(), facts)
	}
	// The times are those of lines.
	if back, _ := r.See(Passed{}, at.Add(-24*time.Hour)); len(back.Conditions()) > 0 {
		t.Error("with a clock that was set back it is shown for a day")
	}
	r, _ = r.See(ClientRefused{Launch: "a", At: at.Add(2 * time.Hour), Number: 1}, at.Add(2*time.Hour))
	if c, _ := conditionOf(r, CodeTokenMismatch); !c.Since.Equal(at.Add(2*time.Hour)) || !strings.Contains(c.Message, "1 time") {
		t.Errorf("after a quiet time: %+v", c)
	}
}

// TestStepsAreCounted is B351: what a run of steps counts, as facts.
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
	if got := slices.DeleteFunc(counted, func(s string) bool { return s == "restart no suppressed=false" }); !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}

// facts runs sights one after the other and returns what they changed, as "code came" and "code went".
func conditionsOf(t *testing.T, r *Record, now time.Time, sights ...Sight) []string {
	t.Helper()
	var out []string
	for _, s := range sights {
		next, facts := r.See(s, now)
		*r = next
		for _, f := range facts {
			c, ok := f.(ConditionChanged)
			if !ok {
				t.Errorf("%T gives %T", s, f)
				continue
			}
			word := " went"
			if c.Active {
				word = " came"
			}
			out = append(out, c.Code+word)
		}
	}
	return out
}

// TestUnansweredPingsAreACondition: two in a row, of the present session, until one is answered; figures alone are no change.
func TestUnansweredPingsAreACondition(t *testing.T) {
	at := time.Now()
	r := New(Settings{PongTimeout: 15 * time.Second, Silence: 3 * time.Minute}, lifecycle.State{Session: 7})
	for _, row := range []struct {
		name    string
		session lifecycle.SessionID
		n       int
		want    []string
	}{
		{"one", 7, 1, nil},
		{"another session", 8, 5, nil},
		{"two", 7, 2, []string{"unresponsive came"}},
		{"three", 7, 3, nil},
		{"answered", 7, 0, []string{"unresponsive went"}},
	} {
		if got := conditionsOf(t, &r, at, Pings{Session: row.session, Unanswered: row.n, LastFrameAt: at}); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	conditionsOf(t, &r, at, Pings{Session: 7, Unanswered: 2, LastFrameAt: at})
	c, _ := conditionOf(r, CodeUnresponsive)
	if !strings.Contains(c.Message, "2 pings") || !strings.Contains(c.Message, "15s") || !strings.Contains(c.Hint, "3m0s") || !c.Since.Equal(at) {
		t.Errorf("%+v", c)
	}
	if _, facts := r.Step(Change{Before: lifecycle.State{Session: 7}, At: at}); !slices.ContainsFunc(facts, func(f Fact) bool {
		c, ok := f.(ConditionChanged)
		return ok && c.Code == CodeUnresponsive && !c.Active
	}) {
		t.Error("it outlives its session")
	}
}

// TestPluginThatIsDownIsACondition: of a plugin that the gateway uses, or that holds what runs; not while it starts for the first time.
func TestPluginThatIsDownIsACondition(t *testing.T) {
	at := time.Now()
	down := func(name, problem string) Plugin {
		return Plugin{Name: name, Since: at, Problem: problem}
	}
	r := New(Settings{Plugins: []string{"utility", "doctor"}}, lifecycle.State{})
	for _, row := range []struct {
		name  string
		sight Sight
		want  []string
	}{
		{"it starts", Plugins{[]Plugin{{Name: "doctor", Begins: true}}}, nil},
		{"it runs", Plugins{[]Plugin{{Name: "doctor", Running: true}}}, nil},
		{"it is down", Plugins{[]Plugin{down("doctor", "exit status 1")}}, []string{"plugin-down came"}},
		{"it is still down", Plugins{[]Plugin{down("doctor", "exit status 1")}}, nil},
		{"it is down for another reason", Plugins{[]Plugin{down("doctor", "exit status 2")}}, []string{"plugin-down came"}},
		{"another one, too", Plugins{[]Plugin{down("doctor", "exit status 2"), down("utility", "x")}}, []string{"plugin-down came"}},
		{"one that is not used", Plugins{[]Plugin{down("doctor", "exit status 2"), down("utility", "x"), down("spare", "x")}}, nil},
		{"it is not used any more", Configured{Settings{Plugins: []string{"utility"}}}, []string{"plugin-down went"}},
		{"it is used again", Configured{Settings{Plugins: []string{"utility", "doctor"}}}, []string{"plugin-down came"}},
		{"all run", Plugins{}, []string{"plugin-down went", "plugin-down went"}},
	} {
		if got := conditionsOf(t, &r, at, row.sight); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	conditionsOf(t, &r, at, Plugins{[]Plugin{down("former", "exit status 3")}})
	next, facts := r.Step(Change{After: lifecycle.State{Launch: "a"}, Launcher: "former", At: at})
	if c, ok := conditionOf(next, CodePluginDown); !ok || len(facts) != 1 || !strings.Contains(c.Message, "exit status 3") || c.Hint == "" {
		t.Errorf("the launcher of what runs is down: %+v, facts %v", next.Conditions(), facts)
	}
}

// TestSilenceIsACondition: while one call decides whether a silent gateway is alive.
func TestSilenceIsACondition(t *testing.T) {
	at := time.Now()
	running := lifecycle.State{Phase: lifecycle.PhaseRunning, Session: 1, LastAlive: at}
	verifying := running
	verifying.Phase = lifecycle.PhaseVerifying
	r, facts := New(Settings{}, running).Step(Change{Before: running, After: verifying, At: at.Add(time.Minute)})
	if c, ok := conditionOf(r, CodeSilent); !ok || !c.Since.Equal(at) {
		t.Errorf("conditions %+v", r.Conditions())
	}
	came := func(facts []Fact, active bool) bool {
		return slices.ContainsFunc(facts, func(f Fact) bool {
			c, ok := f.(ConditionChanged)
			return ok && c.Code == CodeSilent && c.Active == active
		})
	}
	if !came(facts, true) {
		t.Errorf("it came without a fact: %v", facts)
	}
	heard := verifying // a late sign of life does not end the question, and is no news
	heard.LastAlive = at.Add(90 * time.Second)
	if r, facts = r.Step(Change{Before: verifying, After: heard, At: at.Add(90 * time.Second)}); len(facts) > 0 {
		t.Errorf("it is told again: %v", facts)
	}
	if _, facts = r.Step(Change{Before: heard, After: running, At: at.Add(2 * time.Minute)}); !came(facts, false) {
		t.Errorf("it went without a fact: %v", facts)
	}
}

// TestConditionOfTheLifecycleThatSaysSomethingElseIsAChange: its words carry no figures.
func TestConditionOfTheLifecycleThatSaysSomethingElseIsAChange(t *testing.T) {
	at := time.Now()
	with := func(message string) lifecycle.State {
		return lifecycle.State{Conditions: []lifecycle.Condition{{Code: "drift", Message: message, Since: at}}}
	}
	var r Record
	for _, row := range []struct {
		message string
		facts   int
	}{{"port", 1}, {"port", 0}, {"port, command", 1}} {
		next, facts := r.Step(Change{Before: r.state, After: with(row.message), At: at})
		if r = next; len(facts) != row.facts {
			t.Errorf("%s: %d facts, want %d", row.message, len(facts), row.facts)
		}
	}
}
