package lifecycle_test

import (
	"slices"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// old lets a running gateway grow old enough for every request.
func (d *drive) old() *drive {
	d.now = d.now.Add(time.Hour)
	return d
}

// timers are the waits that were armed by the last input.
func (d *drive) timers() []time.Duration {
	var out []time.Duration
	for _, e := range d.out {
		if s, ok := e.(lc.SetTimer); ok {
			out = append(out, s.After)
		}
	}
	return out
}

// later lets time pass and fires a timer that the last input armed.
func (d *drive) later() *drive {
	d.t.Helper()
	s := last[lc.SetTimer](d)
	d.now = d.now.Add(s.After)
	return d.answer(s.Op, lc.TimerFired{})
}

func replies(d *drive) map[lc.CommandID]lc.OutcomeKind {
	out := map[lc.CommandID]lc.OutcomeKind{}
	for _, e := range d.out {
		if r, ok := e.(lc.Reply); ok {
			out[r.Command] = r.Outcome.Kind
		}
	}
	return out
}

// up walks from a way down to running again, under another launch.
func (d *drive) up(id lc.LaunchID, boot string) {
	d.t.Helper()
	if d.s.Launch != "" {
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: d.s.Launch})
	}
	d.launched(id)
	d.opened(boot)
}

func (d *drive) opened(boot string) {
	d.t.Helper()
	d.answer(last[lc.ProbeReady](d).Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
	open := last[lc.OpenSession](d)
	d.answer(open.Op, lc.SessionOpened{Session: open.Session, Hello: lc.Hello{BootID: boot}})
}

// TestRestartWithinTheCooldownIsPutOffNotDropped is B235.
func TestRestartWithinTheCooldownIsPutOffNotDropped(t *testing.T) {
	d := running(t).old()
	d.feed(lc.RestartRequested{Command: 10})
	d.up("B", "")
	if got := replies(d)[10]; got != lc.OutcomeApplied {
		t.Fatalf("first restart: %v", got)
	}
	d.now = d.now.Add(time.Second)
	d.feed(lc.RestartRequested{Command: 11})
	d.feed(lc.RestartRequested{Command: 12})
	if want := []time.Duration{1500 * time.Millisecond}; d.s.Phase != lc.PhaseRunning || !slices.Equal(
		d.timers(), want,
	) {
		t.Fatalf("phase %s, timers %v, want %v", d.s.Phase, d.timers(), want)
	}
	d.later()
	d.up("C", "")
	if got := replies(d); got[11] != lc.OutcomeDeferred || got[12] != lc.OutcomeDeferred {
		t.Errorf("replies = %v", got)
	}
}

// TestRestartDuringAStartRunsOnlyWhenTheProcessIsOlderThanTheRequest is B231 and B233.
func TestRestartDuringAStartRunsOnlyWhenTheProcessIsOlderThanTheRequest(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	recover := last[lc.Recover](d)
	d.feed(lc.RestartRequested{Command: 2}) // before the spawn: covered
	d.out = []lc.Effect{recover}
	d.launched("A")
	starting := d.out
	d.feed(lc.RestartRequested{Command: 3}) // after it: not
	d.out = starting
	d.opened("")
	got := replies(d)
	if got[1] != lc.OutcomeApplied || got[2] != lc.OutcomeJoined || got[3] != "" || d.s.Phase != lc.PhaseClearing {
		t.Fatalf("replies %v in %s", got, d.s.Phase)
	}
	d.up("B", "")
	if got := replies(d)[3]; got != lc.OutcomeDeferred {
		t.Errorf("the late restart: %v", got)
	}
}

// TestDebounceWaitsForTheLastRequestWithinABound is B239: each request starts the wait again, at most five times its length.
func TestDebounceWaitsForTheLastRequestWithinABound(t *testing.T) {
	d := running(t).old()
	began := d.now
	for id := lc.CommandID(10); d.s.Phase == lc.PhaseRunning; id++ {
		d.feed(lc.RestartRequested{Command: id, Delay: 2 * time.Second})
		wait := d.timers()
		if len(wait) != 1 {
			t.Fatalf("timers = %v", wait)
		}
		if wait[0] > time.Second {
			d.now = d.now.Add(time.Second) // another request before it is due
			continue
		}
		d.later()
	}
	if took := d.now.Sub(began); took != 10*time.Second {
		t.Errorf("put off for %v, want 10 s", took)
	}
	d.up("B", "")
	if n := len(replies(d)); n < 9 {
		t.Errorf("%d requests were answered by the one restart", n)
	}
}

// TestRestartCoversOnlyWhatWasDueBeforeItsSpawn is B241: a change that is still being written keeps its own restart.
func TestRestartCoversOnlyWhatWasDueBeforeItsSpawn(t *testing.T) {
	d := running(t).old()
	d.feed(lc.RestartRequested{Command: 10, Delay: 8 * time.Second})
	timer := last[lc.SetTimer](d)
	d.now = d.now.Add(time.Second)
	d.feed(lc.RestartRequested{Command: 11})
	d.up("B", "")
	if got := replies(d); got[11] != lc.OutcomeApplied || got[10] != "" {
		t.Fatalf("replies = %v", got)
	}
	if _, open := d.s.Pending[timer.Op]; open {
		t.Error("the old timer is still there beside the new one")
	}
	d.later()
	if d.s.Phase != lc.PhaseClearing {
		t.Errorf("the later restart does not come: %s", d.s.Phase)
	}
}

// TestDebouncedRequestNeverStartsAGatewayThatIsDown is B245.
func TestDebouncedRequestNeverStartsAGatewayThatIsDown(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.RestartRequested{Command: 1, Delay: time.Second})
	first := replies(d)
	d.feed(lc.ReloadRequested{Command: 2})
	if d.s.Phase != lc.PhaseStopped || first[1] != lc.OutcomeApplied || replies(d)[2] != lc.OutcomeApplied {
		t.Errorf("phase %s, replies %v %v", d.s.Phase, first, replies(d))
	}
	d = running(t).old()
	d.feed(lc.RestartRequested{Command: 10, Delay: time.Second})
	timer := last[lc.SetTimer](d)
	d.feed(lc.StopRequested{Command: 11})
	if got := replies(d)[10]; got != lc.OutcomeSuperseded {
		t.Errorf("a stop leaves the request: %v", got)
	}
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: "A"})
	d.answer(timer.Op, lc.TimerFired{})
	if d.s.Phase != lc.PhaseStopped {
		t.Errorf("revived: %s", d.s.Phase)
	}
}

// reloading drives an old gateway, whose session says boot "1", into a reload that it took.
func reloading(t *testing.T) *drive {
	t.Helper()
	d := running(t)
	d.s.Hello = &lc.Hello{BootID: "1"}
	d.old()
	d.feed(lc.ReloadRequested{Command: 10})
	if d.s.Phase != lc.PhaseReloading || d.s.Public() != lc.Running {
		t.Fatalf("phase %s", d.s.Phase)
	}
	d.feed(lc.ReloadRequested{Command: 11}) // joins (B257)
	return d
}

func TestReloadIsProvenByANewGeneration(t *testing.T) {
	d := reloading(t)
	for id := range d.s.Pending {
		if d.s.Pending[id].Kind == lc.OpReload {
			d.answer(id, lc.Reloaded{Result: lc.OK})
		}
	}
	d.feed(lc.SessionClosed{
		Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart, Expected: 1500 * time.Millisecond,
	})
	d.opened("2")
	if got := replies(d); got[10] != lc.OutcomeApplied || got[11] != lc.OutcomeJoined || d.s.Phase != lc.PhaseRunning ||
		d.s.Launch != "A" {
		t.Errorf("replies %v in %s, launch %s", got, d.s.Phase, d.s.Launch)
	}
}

// TestReloadOfAReleaseWithoutBootIDsIsProvenByItsAnnouncement: it said that it restarts, and came back. A session that
// only broke and was opened again proves nothing.
func TestReloadOfAReleaseWithoutBootIDsIsProvenByItsAnnouncement(t *testing.T) {
	for _, row := range []struct {
		name  string
		end   lc.SessionClosed
		phase lc.Phase
	}{
		{
			"announced",
			lc.SessionClosed{Code: 1012, Announce: lc.AnnounceRestart, Expected: 1500 * time.Millisecond},
			lc.PhaseRunning,
		},
		{"the link broke", lc.SessionClosed{Code: 1006}, lc.PhaseClearing},
		{"it said that it stops", lc.SessionClosed{Code: 1012, Announce: lc.AnnounceStop}, lc.PhaseClearing},
	} {
		for _, answered := range []bool{false, true} { // a restart may be quicker than the answer to the request
			d := running(t)
			d.s.Hello = &lc.Hello{Version: "2026.3.13"}
			d.old().feed(lc.ReloadRequested{Command: 10})
			if answered {
				d.answer(last[lc.Reload](d).Op, lc.Reloaded{Result: lc.OK})
			}
			row.end.Session = d.s.Session
			d.feed(row.end)
			d.opened("")
			if d.s.Phase != row.phase || d.s.Launch != "A" {
				t.Errorf(
					"%s, answered %t: phase %s, launch %s; want %s", row.name, answered, d.s.Phase, d.s.Launch,
					row.phase,
				)
			}
			got := replies(d)[10]
			if proven := row.phase == lc.PhaseRunning; proven != (got == lc.OutcomeApplied) {
				t.Errorf("%s, answered %t: reply %q", row.name, answered, got)
			}
		}
	}
}

// TestAReloadLeavesTheStateBeforeAlone: a step takes a value and gives another one.
func TestAReloadLeavesTheStateBeforeAlone(t *testing.T) {
	d := running(t).old()
	d.feed(lc.ReloadRequested{Command: 10})
	before, answer := d.s, lc.Answer{Op: last[lc.Reload](d).Op, Report: lc.Reloaded{Result: lc.OK}}
	closed := lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart}
	d.feed(answer).feed(closed)
	d.s = before
	d.feed(lc.ReloadRequested{Command: 11}) // it joins what has not been asked for yet (B257)
	d.feed(answer).feed(closed).opened("")
	if got := replies(d); got[10] != lc.OutcomeApplied || got[11] != lc.OutcomeJoined {
		t.Errorf("replies %v", got)
	}
}

// TestReloadThatIsNotProvenBecomesARestart is B254 and B255: silence is no proof.
func TestReloadThatIsNotProvenBecomesARestart(t *testing.T) {
	op := func(d *drive) lc.OpID {
		for id := range d.s.Pending {
			if d.s.Pending[id].Kind == lc.OpReload {
				return id
			}
		}
		d.t.Fatal("no reload is pending")
		return 0
	}
	for name, fail := range map[string]func(d *drive){
		"no way to ask": func(d *drive) {
			d.answer(op(d), lc.Reloaded{Result: lc.Failed, Problem: lc.Problem{Message: "no way"}})
		},
		"nothing happens": func(d *drive) {
			d.answer(op(d), lc.Reloaded{Result: lc.OK})
			d.later()
		},
		"same generation": func(d *drive) {
			d.answer(op(d), lc.Reloaded{Result: lc.Unknown})
			d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
			d.opened("1")
		},
		"it dies": func(d *drive) {
			d.feed(lc.ProcessExited{Launch: "A"})
			d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: "A"})
			d.later()
		},
	} {
		d := reloading(t)
		fail(d)
		if name != "it dies" && d.s.Phase != lc.PhaseClearing {
			t.Errorf("%s: %s", name, d.s.Phase)
			continue
		}
		d.up("B", "3")
		if got := replies(d); got[10] == "" || got[11] == "" || d.s.Phase != lc.PhaseRunning {
			t.Errorf("%s: replies %v in %s", name, got, d.s.Phase)
		}
	}
}

// TestReloadOfAYoungProcessWaits is B253: it may be reading its configuration just now.
func TestReloadOfAYoungProcessWaits(t *testing.T) {
	d := running(t)
	d.now = d.now.Add(3 * time.Second)
	d.feed(lc.ReloadRequested{Command: 10})
	if want := []time.Duration{5 * time.Second}; d.s.Phase != lc.PhaseRunning || !slices.Equal(d.timers(), want) {
		t.Fatalf("phase %s, timers %v", d.s.Phase, d.timers())
	}
	if d.later(); d.s.Phase != lc.PhaseReloading {
		t.Errorf("phase %s", d.s.Phase)
	}
}

// TestStopDuringAReloadEndsIt is B256: nothing brings the gateway back.
func TestStopDuringAReloadEndsIt(t *testing.T) {
	d := reloading(t)
	d.feed(lc.StopRequested{Command: 20})
	if got := replies(d); got[10] != lc.OutcomeSuperseded || got[11] != lc.OutcomeSuperseded {
		t.Errorf("replies = %v", got)
	}
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: "A"})
	if d.s.Phase != lc.PhaseStopped || len(d.s.Pending) != 0 {
		t.Errorf("phase %s, pending %v", d.s.Phase, d.s.Pending)
	}
}

// TestAttachedGatewayIsNeverRestartedForAReload is B251.
func TestAttachedGatewayIsNeverRestartedForAReload(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderGateway})
	d.opened("1")
	d.feed(lc.ReloadRequested{Command: 2})
	ask := last[lc.Reload](d)
	if ask.Launch != "" {
		t.Errorf("a launch %q is named to a gateway that is not ours", ask.Launch)
	}
	d.answer(ask.Op, lc.Reloaded{Result: lc.Failed, Problem: lc.Problem{Message: "no way"}})
	if got := replies(d)[2]; got != lc.OutcomeFailed || d.s.Phase != lc.PhaseRunning {
		t.Errorf("reply %v in %s", got, d.s.Phase)
	}
}

func TestDrainLetsWorkEndFirstAndNowCutsIt(t *testing.T) {
	d := running(t)
	d.feed(lc.StopRequested{Command: 10, Drain: true})
	drain := last[lc.Drain](d)
	if d.s.Public() != lc.Stopping || d.s.Session == 0 {
		t.Fatalf("phase %s, session %d", d.s.Phase, d.s.Session)
	}
	d.feed(lc.StopRequested{Command: 11, Drain: true})
	if len(d.out) != 0 {
		t.Errorf("a second drain does %v", d.out)
	}
	d.answer(drain.Op, lc.Drained{})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: "A"})
	if got := replies(d); got[10] != lc.OutcomeApplied || got[11] != lc.OutcomeJoined || d.s.Phase != lc.PhaseStopped {
		t.Errorf("replies %v in %s", got, d.s.Phase)
	}
	d = running(t)
	d.feed(lc.StopRequested{Command: 10, Drain: true})
	d.feed(lc.StopRequested{Command: 11, Now: true})
	if got := last[lc.Terminate](d); got.Grace != 0 {
		t.Errorf("grace = %v", got.Grace)
	}
}

// windowOver lets the breaker's window pass, or the next look at it come. The launcher is asked before anything is
// touched.
func (d *drive) windowOver(timer lc.OpID, launcher lc.Result) {
	d.t.Helper()
	before := d.s
	d.answer(timer, lc.TimerFired{})
	ask := last[lc.Inspect](d)
	if d.s.Phase != before.Phase || d.s.Session != before.Session || ask.Launch != before.Launch {
		d.t.Errorf(
			"before the launcher has answered: phase %s, session %d, asked about %q", d.s.Phase, d.s.Session,
			ask.Launch,
		)
	}
	d.answer(ask.Op, lc.Inspected{Result: launcher, Found: true})
}

// TestSuppressedChannelsAreFreedByOneRestartAfterTheWindow: the breaker's window must have passed (docs/openclaw.md
// §4).
func TestSuppressedChannelsAreFreedByOneRestartAfterTheWindow(t *testing.T) {
	d := running(t)
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
	timer := last[lc.SetTimer](d)
	if timer.After < 300*time.Second || len(d.s.Conditions) != 1 {
		t.Fatalf("timer %v, conditions %v", timer.After, d.s.Conditions)
	}
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
	if len(d.timers()) != 0 {
		t.Error("a second line puts it off")
	}
	d.now = d.now.Add(timer.After)
	d.windowOver(timer.Op, lc.OK)
	d.up("B", "")
	if d.s.Phase != lc.PhaseRunning || len(d.s.Conditions) != 0 {
		t.Errorf("phase %s, conditions %v", d.s.Phase, d.s.Conditions)
	}
}

// TestSuppressedChannelsAreFreedAlsoWhenTheMomentIsBad: the window may pass while the session is opened again,
// and the process that has its channels off is still the same afterwards.
func TestSuppressedChannelsAreFreedAlsoWhenTheMomentIsBad(t *testing.T) {
	for name, busy := range map[string]func(d *drive){
		"rejoining": func(d *drive) { d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006}) },
		"reloading": func(d *drive) { d.feed(lc.ReloadRequested{Command: 2}) },
	} {
		d := running(t)
		d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
		timer := last[lc.SetTimer](d)
		d.now = d.now.Add(timer.After)
		busy(d)
		before := d.out
		d.answer(timer.Op, lc.TimerFired{})
		if d.s.Launch != "A" || d.s.Phase == lc.PhaseClearing {
			t.Errorf("%s: it is not left alone: %s", name, d.s.Phase)
		}
		again, n := d.pending(lc.TimerBreaker)
		if n != 1 {
			t.Errorf("%s: nothing will free its channels: %v", name, d.s.Pending)
			continue
		}
		if name == "reloading" {
			d.out = before
			d.answer(last[lc.Reload](d).Op, lc.Reloaded{Result: lc.OK})
			d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
			before = d.out
		}
		d.out = before
		d.opened("2")
		if d.windowOver(again, lc.OK); d.s.Phase != lc.PhaseClearing {
			t.Errorf("%s: %s", name, d.s.Phase)
		}
		d.up("B", "3")
		if _, n := d.pending(lc.TimerBreaker); n != 0 || len(d.s.Conditions) != 0 {
			t.Errorf("%s: conditions %v, pending %v", name, d.s.Conditions, d.s.Pending)
		}
	}
}

// TestSuppressedChannelsAreFreedAlsoWhenTheLauncherWasDown: the restart that frees them can't end the process, and the
// process is taken up again later. Its line was read long ago and will not come again.
func TestSuppressedChannelsAreFreedAlsoWhenTheLauncherWasDown(t *testing.T) {
	for _, viaError := range []bool{false, true} {
		d := running(t)
		d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
		timer := last[lc.SetTimer](d)
		d.now = d.now.Add(timer.After)
		d.windowOver(timer.Op, lc.OK)
		ending := d.out
		if viaError {
			d.feed(lc.WatchLost{Launch: "A", Problem: lc.Problem{Message: "the shim is gone"}})
			d.out = ending
		}
		want := lc.PhaseReady
		if viaError {
			want = lc.PhaseError
		}
		if d.notEnded(); d.s.Phase != want || d.s.Launch != "A" {
			t.Fatalf("phase %s, launch %q", d.s.Phase, d.s.Launch)
		}
		if viaError {
			d.feed(lc.StartRequested{Command: 2})
			d.answer(last[lc.Recover](d).Op, lc.Recovered{
				Result: lc.OK, Instances: []lc.Instance{{Launch: "A", Live: true, Watched: true}},
			})
		}
		d.opened("2")
		if len(d.s.Conditions) != 1 || d.s.Conditions[0].Code != "channels-suppressed" {
			t.Errorf("taken up again: conditions %v", d.s.Conditions)
		}
		again, n := d.pending(lc.TimerBreaker)
		if n != 1 {
			t.Fatalf("nothing will free its channels: %v", d.s.Pending)
		}
		if d.windowOver(again, lc.OK); d.s.Phase != lc.PhaseClearing {
			t.Errorf("they are not freed: %s", d.s.Phase)
		}
		d.up("B", "3")
		if _, n := d.pending(lc.TimerBreaker); n != 0 || len(d.s.Conditions) != 0 {
			t.Errorf("conditions %v, pending %v", d.s.Conditions, d.s.Pending)
		}
	}
}

// TestSuppressedChannelsWaitForALauncherThatIsDown: no operator requested the restart that frees them, and one that can't
// end the process would only take a gateway that works off its session. A soak found it.
func TestSuppressedChannelsWaitForALauncherThatIsDown(t *testing.T) {
	d := running(t)
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
	timer := last[lc.SetTimer](d)
	d.now = d.now.Add(timer.After)
	next := timer.Op
	for _, answer := range []lc.Result{lc.Failed, lc.Unknown, lc.Failed} {
		before := d.s
		d.windowOver(next, answer)
		if d.s.Phase != lc.PhaseRunning || d.s.Session != before.Session || d.s.Launch != "A" ||
			len(d.s.Conditions) != 1 {
			t.Fatalf(
				"launcher answers %v: phase %s, session %d, conditions %v", answer, d.s.Phase, d.s.Session,
				d.s.Conditions,
			)
		}
		var n int
		if next, n = d.pending(lc.TimerBreaker); n != 1 || last[lc.SetTimer](d).After > time.Minute {
			t.Fatalf("launcher answers %v: nothing looks again soon: %v", answer, d.s.Pending)
		}
	}

	d.answer(next, lc.TimerFired{}) // the answer comes when there is no session, and a line of the output, too
	ask := last[lc.Inspect](d)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1006})
	rejoining := d.out
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomChannelsSuppressed, Text: "breaker tripped"})
	if _, n := d.pending(lc.TimerBreaker); n != 0 {
		t.Error("it looks again although it is looking")
	}
	d.answer(ask.Op, lc.Inspected{Result: lc.OK, Found: true})
	if d.s.Launch != "A" || d.s.Phase == lc.PhaseClearing {
		t.Errorf("phase %s", d.s.Phase)
	}
	d.out = rejoining
	d.opened("2")
	next, _ = d.pending(lc.TimerBreaker)
	d.windowOver(next, lc.OK)
	d.up("B", "3")
	if _, n := d.pending(lc.TimerBreaker, lc.OpReach); n != 0 || len(d.s.Conditions) != 0 {
		t.Errorf("conditions %v, pending %v", d.s.Conditions, d.s.Pending)
	}
}

// notEnded lets the launcher fail to end the process until the host leaves that.
func (d *drive) notEnded() {
	d.t.Helper()
	for d.s.Phase == lc.PhaseClearing {
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{
			Result: lc.Failed, Launch: "A", Problem: lc.Problem{Code: "plugin_down", Message: "the launcher is down"},
		})
		if id, n := d.pending(lc.TimerTerminate); n == 1 {
			d.answer(id, lc.TimerFired{})
		}
	}
}

// TestRestartThatCannotEndTheProcessKeepsTheGateway: the command is answered, and a gateway that works is connected to again
// at once.
func TestRestartThatCannotEndTheProcessKeepsTheGateway(t *testing.T) {
	d := running(t).old()
	d.feed(lc.RestartRequested{Command: 10})
	ending := d.out
	d.feed(lc.RestartRequested{Command: 11})                         // joins
	d.feed(lc.RestartRequested{Command: 12, Delay: 2 * time.Second}) // its turn has not come
	d.feed(lc.StartRequested{Command: 13})
	d.out = ending
	d.notEnded()
	if d.s.Phase != lc.PhaseReady || d.s.Launch != "A" || d.s.Public() != lc.Reconnecting || d.s.Err != nil {
		t.Fatalf("phase %s (%s), launch %q, error %v", d.s.Phase, d.s.Public(), d.s.Launch, d.s.Err)
	}
	for _, e := range d.out {
		if r, ok := e.(lc.Reply); ok &&
			(r.Outcome.Problem == nil || r.Outcome.Problem.Code != "plugin_down" || r.Outcome.Problem.Hint == "") {
			t.Errorf("reply to %d: %+v", r.Command, r.Outcome)
		}
	}
	if got := replies(d); len(got) != 2 || got[10] != lc.OutcomeFailed || got[11] != lc.OutcomeFailed {
		t.Errorf("replies = %v", got)
	}
	d.opened("1")
	if got := replies(d); d.s.Phase != lc.PhaseRunning || d.s.Launch != "A" || len(got) != 1 ||
		got[13] != lc.OutcomeJoined {
		t.Errorf("phase %s, launch %q, replies %v", d.s.Phase, d.s.Launch, got)
	}
	if _, n := d.pending(lc.TimerRefresh); n != 1 {
		t.Errorf("the restart that is put off is forgotten: %v", d.s.Pending)
	}
}

// TestRestartThatCannotEndTheProcessIsAnErrorWhereNothingGoesOn: a gateway that has ended by itself meanwhile, that
// has no shim any more, that was in error before, or that is to be stopped by now.
func TestRestartThatCannotEndTheProcessIsAnErrorWhereNothingGoesOn(t *testing.T) {
	for name, meanwhile := range map[string]lc.Input{
		"ended":     lc.ProcessExited{Launch: "A", Exit: lc.Exit{Known: true, Code: 1}},
		"unwatched": lc.WatchLost{Launch: "A", Problem: lc.Problem{Message: "the shim is gone"}},
		"stop":      lc.StopRequested{Command: 11},
	} {
		d := running(t).old()
		d.feed(lc.RestartRequested{Command: 10})
		ending := d.out
		d.feed(meanwhile)
		d.out = ending
		if d.notEnded(); d.s.Phase != lc.PhaseError || d.s.Launch != "A" {
			t.Errorf("%s: phase %s, launch %q", name, d.s.Phase, d.s.Launch)
		}
	}

	d := running(t).old()
	d.feed(lc.StopRequested{Command: 10})
	d.notEnded() // in error, with its process
	d.feed(lc.RestartRequested{Command: 11})
	if d.notEnded(); d.s.Phase != lc.PhaseError || replies(d)[11] != lc.OutcomeFailed {
		t.Errorf("in error before: phase %s, replies %v", d.s.Phase, replies(d))
	}
}

// TestRequiredHookThatFailsEndsTheAttempt is B088.
func TestRequiredHookThatFailsEndsTheAttempt(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{
		Result: lc.Failed, Problem: lc.Problem{Code: "hook_failed", Message: "hook x failed", Fatal: true},
	})
	if d.s.Phase != lc.PhaseError || replies(d)[1] != lc.OutcomeFailed || d.s.Launch != "" {
		t.Errorf("phase %s, replies %v", d.s.Phase, replies(d))
	}
}

func TestBackoffJitterStaysWithinItsSides(t *testing.T) {
	delays := map[time.Duration]bool{}
	for i := range 50 {
		d := running(t)
		d.p.Jitter = 0.1
		d.s.Epoch += uint64(i)
		d.feed(lc.ProcessExited{Launch: "A"})
		d.answer(last[lc.Terminate](d).Op, lc.Terminated{Result: lc.OK, Launch: "A"})
		wait := d.timers()
		if len(wait) != 1 || wait[0] < 900*time.Millisecond || wait[0] > 1100*time.Millisecond {
			t.Fatalf("delay %v", wait)
		}
		delays[wait[0]] = true
	}
	if len(delays) < 40 {
		t.Errorf("only %d different delays of 50", len(delays))
	}
}
