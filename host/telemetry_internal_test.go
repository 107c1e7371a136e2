package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/shared/classifier"
)

// machine drives the real lifecycle in a world where everything works at once, but for its knobs, and shows each step to see.
type machine struct {
	t      *testing.T
	policy lifecycle.Policy
	state  lifecycle.State
	now    time.Time
	see    func(engine.Change)

	Refuse   *lifecycle.Problem // sessions are refused for this
	Holder   lifecycle.Holder
	launches int
}

func newMachine(t *testing.T, see func(engine.Change)) *machine {
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
		m.see(engine.Change{Before: before, After: after, Input: in, Effects: effects, At: m.now})
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
	m = newMachine(t, func(c engine.Change) {
		for _, d := range r.follow(c, 2) {
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
	m := newMachine(t, func(c engine.Change) {
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
	change := func(launch string, begin time.Time, phase lifecycle.Phase) engine.Change {
		return engine.Change{After: lifecycle.State{Launch: lifecycle.LaunchID(launch), Phase: phase}, Waterfall: engine.Waterfall{StartedAt: begin}}
	}
	trace.follow(change("", begin, lifecycle.PhaseRecovering))
	trace.follow(change("a", begin, lifecycle.PhaseLaunching))
	total := func(ms float64) *float64 { return &ms }
	for i, s := range []classifier.Stage{
		{Name: "one", DurationMs: 12.5, TotalMs: total(100)},
		{Name: "two", DurationMs: 30001.2, TotalMs: total(30040)},
		{Name: "three", DurationMs: 9999, TotalMs: total(20)},
		{Name: "four", DurationMs: 1},
	} {
		if slow := trace.take("a", s); slow != (i == 1) {
			t.Errorf("%s is slow: %t", s.Name, slow)
		}
	}
	trace.take("b", classifier.Stage{Name: "of another launch", DurationMs: 1e9})
	got := trace.summary()
	if got.Count != 4 || got.Last.Name != "four" || got.TotalMs != 30040 || got.Slowest[0].Name != "two" || got.Slowest[0].Ms != 30001.2 {
		t.Errorf("trace = %+v", got)
	}
	for i := range 50 {
		trace.take("a", classifier.Stage{Name: fmt.Sprint("more ", i), DurationMs: float64(i)})
	}
	if now := trace.summary(); now.Count != 54 || len(now.Slowest) != shownStages || len(got.Slowest) != 4 {
		t.Errorf("%d shown of %d, want %d; the summary before has %d, want its 4", len(now.Slowest), now.Count, shownStages, len(got.Slowest))
	}
	trace.follow(change("a", begin, lifecycle.PhaseReloading))
	trace.take("a", classifier.Stage{Name: "of a restart in process", DurationMs: 1e9})
	if now := trace.summary(); now.Count != 54 {
		t.Errorf("count = %d after a reload, want 54", now.Count)
	}
	trace.follow(change("b", begin, lifecycle.PhaseLaunching))
	if trace.summary() != nil {
		t.Error("a new launch begins with the trace of the old one")
	}
	trace.take("b", classifier.Stage{Name: "one", DurationMs: 1})
	trace.follow(change("", begin.Add(time.Second), lifecycle.PhaseRecovering))
	if trace.summary() != nil {
		t.Error("a new start begins with the trace of the old one")
	}
}

func TestMilestonesAreOfAStartThatLaunchedAProcess(t *testing.T) { // B351
	at := time.Now()
	w := engine.Waterfall{StartedAt: at, Outcome: "running", Total: 9 * time.Second, Stages: []engine.Stage{
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
		"nothing": first(milestones(engine.Waterfall{}, lifecycle.State{})),
	} {
		if got != 0 {
			t.Errorf("%s has %v from spawn to ready", name, got)
		}
	}
}

func first(d, _ time.Duration) time.Duration { return d }

func TestUncleanEndsAreCountedWithinTheWindow(t *testing.T) {
	var e ends
	at := time.Now()
	e.take(&lifecycle.Exit{Known: true, Signal: "SIGKILL"}, at)
	e.take(&lifecycle.Exit{Known: true, Code: 0}, at)
	e.take(&lifecycle.Exit{Known: true, Code: 78}, at)
	e.take(&lifecycle.Exit{Known: true, Code: 1}, at.Add(200*time.Second))
	e.take(&lifecycle.Exit{}, at.Add(250*time.Second)) // nobody saw how
	for after, want := range map[time.Duration]int{250 * time.Second: 3, 300 * time.Second: 2, 510 * time.Second: 1, time.Hour: 0} {
		if got := e.number(at.Add(after)); got != want {
			t.Errorf("after %v: %d, want %d", after, got, want)
		}
	}
}

func TestRulesOfLaunchesAddUpWithinTheirBound(t *testing.T) {
	all := map[string]uint64{}
	for i := range 10 {
		one := map[string]uint64{"blank": 2}
		for j := range 60 {
			one[fmt.Sprint(i, "-", j)] = 1
		}
		all = sumRules(all, one)
	}
	if all["blank"] != 20 || len(all) != maxRules {
		t.Errorf("blank = %d in %d rules", all["blank"], len(all))
	}
}

func TestSleepOfTheMachineIsVerifiedFirst(t *testing.T) { // B283
	for name, jump := range map[string]time.Duration{"a night": 10 * time.Hour, "a clock set back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, func(c engine.Change) {
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

func TestRefusedClientsAreShownForAWhile(t *testing.T) { // B295
	var r refusals
	at := time.Now()
	if _, shown := r.condition("a", at); shown {
		t.Error("a condition without a reason")
	}
	r.take("a", at)
	r.take("a", at.Add(time.Minute))
	c, shown := r.condition("a", at.Add(2*time.Minute))
	if !shown || c.Code != "token-mismatch" || !c.Since.Equal(at) || !strings.Contains(c.Message, "2 times") || c.Hint == "" {
		t.Errorf("condition = %+v, %t", c, shown)
	}
	if _, shown := r.condition("b", at.Add(2*time.Minute)); shown {
		t.Error("another launch has the condition, too")
	}
	if _, shown := r.condition("a", at.Add(time.Hour)); shown {
		t.Error("it is shown for ever")
	}
	if _, shown := r.condition("a", at.Add(-24*time.Hour)); shown { // the times are those of lines
		t.Error("with a clock that was set back it is shown for a day")
	}
	r.take("a", at.Add(2*time.Hour))
	if c, _ := r.condition("a", at.Add(2*time.Hour)); !c.Since.Equal(at.Add(2*time.Hour)) || !strings.Contains(c.Message, "1 time") {
		t.Errorf("after a quiet time: %+v", c)
	}
}

func TestStepsAreCounted(t *testing.T) { // B351
	h := hostWith(&config.Gateway{Name: "main"})
	h.metrics = metrics.New(func() metrics.Snapshot { return metrics.Snapshot{} })
	g := &gateway{name: "main", host: h, log: hclog.NewNullLogger()}
	m := newMachine(t, g.count)
	m.give(lifecycle.StartRequested{Command: 1})
	m.give(lifecycle.SessionClosed{Session: 999, Code: 1006}) // of nobody
	m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1012, Announce: lifecycle.AnnounceRestart})
	m.Refuse = &lifecycle.Problem{Code: "no", Message: "x"}
	m.crash()
	m.fire(lifecycle.TimerBackoff, time.Second)
	m.fire(lifecycle.TimerBackoff, 2*time.Second)
	if m.state.Public() != lifecycle.Error {
		t.Fatalf("state = %s", m.state.Public())
	}
	w := httptest.NewRecorder()
	h.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		`gatehost_gateway_sessions_lost_total{code="1012",gateway="main"} 1`,
		`gatehost_gateway_restarts_total{cause="exited",gateway="main",outcome="executed"} 1`,
		`gatehost_gateway_restarts_total{cause="no",gateway="main",outcome="suppressed"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("there is no %s in\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), `code="1006"`) {
		t.Error("the close of a session that is not the present one is counted")
	}
}
