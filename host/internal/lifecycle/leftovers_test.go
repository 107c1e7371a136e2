package lifecycle_test

import (
	"testing"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// The tests in this file are what the simulator (host/internal/sim) found, each as short as it can be said.

func alive(ids ...lc.LaunchID) []lc.Instance {
	var out []lc.Instance
	for _, id := range ids {
		out = append(out, lc.Instance{Launch: id, Live: true, Watched: true})
	}
	return out
}

func has[E lc.Effect](d *drive) bool {
	for _, out := range d.out {
		if _, ok := out.(E); ok {
			return true
		}
	}
	return false
}

// TestStopEndsWhatAnEarlierHostLeft: a stop that comes before anybody has looked is not answered while a gateway of
// ours lives.
func TestStopEndsWhatAnEarlierHostLeft(t *testing.T) {
	for _, row := range []struct {
		name   string
		before []lc.Input
	}{
		{"by a host that was asked for nothing yet", nil},
		{"while it is being looked for", []lc.Input{lc.StartRequested{Command: 1}}},
		{"after it could not be looked for", []lc.Input{
			lc.StartRequested{Command: 1}, lc.Answer{
				Op: 2, Report: lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "x", Fatal: true}},
			},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
			for _, in := range row.before {
				d.feed(in)
			}
			d.feed(lc.StopRequested{Command: 9})
			d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down"}})
			d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
			d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: alive("A", "B")})
			for _, id := range []lc.LaunchID{"A", "B"} {
				kill := last[lc.Terminate](d)
				if kill.Launch != id || has[lc.Reply](d) {
					t.Fatalf("effects = %v, want the end of %s and no answer", d.out, id)
				}
				d.answer(kill.Op, lc.Terminated{Launch: id, Result: lc.OK})
				if id == "A" {
					d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: alive("B")})
				}
			}
			if r := last[lc.Reply](d); r.Command != 9 || r.Outcome.Kind != lc.OutcomeApplied ||
				d.s.Phase != lc.PhaseStopped {
				t.Errorf("reply = %+v, phase = %s", r, d.s.Phase)
			}
			d.feed(lc.StopRequested{Command: 10})
			if r := last[lc.Reply](d); r.Command != 10 {
				t.Errorf("reply = %+v: nothing is left to look for", r)
			}
		})
	}
}

// TestStopFailsWhenNoLauncherCanListWhatLives: it does not claim what it does not know.
func TestStopFailsWhenNoLauncherCanListWhatLives(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StopRequested{Command: 1})
	for range 2 {
		d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down"}})
		d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
	}
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down"}})
	if r := last[lc.Reply](d); r.Outcome.Kind != lc.OutcomeFailed || d.s.Phase != lc.PhaseError ||
		len(d.s.Pending) != 0 {
		t.Errorf("reply = %+v, phase = %s, pending = %v", r, d.s.Phase, d.s.Pending)
	}
}

// TestRestartDoesNotAdopt: what an earlier host left is older than the request for a new process.
func TestRestartDoesNotAdopt(t *testing.T) {
	for _, first := range []lc.Input{lc.RestartRequested{Command: 1}, lc.StartRequested{Command: 1}} {
		d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
		d.feed(first)
		looking := last[lc.Recover](d)
		d.feed(lc.RestartRequested{Command: 2})
		d.answer(looking.Op, lc.Recovered{Result: lc.OK, Instances: alive("old")})
		if kill := last[lc.Terminate](d); kill.Launch != "old" || !has[lc.Watch](d) {
			t.Errorf("effects = %v, want the old one's end, and its last lines", d.out)
		}
	}
}

// TestAGatewayThatCannotRestartDoesNotOverrideAStop: its words may come while it is being stopped for good.
func TestAGatewayThatCannotRestartDoesNotOverrideAStop(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
	d.feed(lc.StopRequested{Command: 2})
	kill := last[lc.Terminate](d)
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomZombie, Text: "port in use"})
	d.answer(kill.Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if r := last[lc.Reply](d); r.Command != 2 || d.s.Phase != lc.PhaseStopped {
		t.Errorf("reply = %+v, phase = %s", r, d.s.Phase)
	}
}

// TestWhatFollowsAFailedRestartInPlaceIsBounded: a repair leads from there to a start, and each start has its deadline.
func TestWhatFollowsAFailedRestartInPlaceIsBounded(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomZombie, Text: "port in use"})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.answer(last[lc.Diagnose](d).Op, lc.Diagnosed{Found: true, Plan: "fix"})
	d.answer(last[lc.Repair](d).Op, lc.Repaired{Result: lc.OK})
	for _, op := range d.s.Pending {
		if op.Kind == lc.TimerStart {
			return
		}
	}
	t.Errorf("phase %s, pending = %v: no deadline", d.s.Phase, d.s.Pending)
}

// TestFailedRestartsInPlaceCountAsAttempts: a gateway that comes up, restarts in place, fails and is repaired could go
// on like that for ever.
func TestFailedRestartsInPlaceCountAsAttempts(t *testing.T) {
	d := running(t)
	d.p.ReconnectAttempts = 0
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
	d.feed(lc.SymptomSeen{Launch: "A", Symptom: lc.SymptomZombie, Text: "port in use"})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if d.s.Phase != lc.PhaseError {
		t.Errorf("phase = %s: the cap of fast attempts is 0", d.s.Phase)
	}
}

// TestShimLostWhileRejoiningRevives: no start may be walked as a rejoin, whose deadline is gone: a gateway that talks
// and never becomes ready would be waited for for ever.
func TestShimLostWhileRejoiningRevives(t *testing.T) {
	d := running(t)
	d.feed(lc.SessionClosed{Session: d.s.Session, Code: 1012, Announce: lc.AnnounceRestart})
	d.feed(lc.WatchLost{Launch: "A", Problem: lc.Problem{Code: "unwatched"}})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	if d.s.Phase != lc.PhaseBackoff || d.s.Flow != lc.FlowRevive {
		t.Errorf("phase = %s, flow = %s", d.s.Phase, d.s.Flow)
	}
}

// TestOutputOfALateLaunchIsRead: a launch that is not wanted any more has written output, too.
func TestOutputOfALateLaunchIsRead(t *testing.T) {
	d := running(t)
	d.feed(lc.RestartRequested{Command: 2})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "A", Result: lc.OK})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{Holder: lc.HolderNone})
	d.answer(last[lc.RunHooks](d).Op, lc.HooksDone{Result: lc.OK})
	d.answer(last[lc.PrepareLaunch](d).Op, lc.LaunchPrepared{Result: lc.OK, Launch: "B"})
	d.answer(last[lc.AlignConfig](d).Op, lc.ConfigAligned{Result: lc.OK})
	launching := last[lc.Launch](d)
	d.feed(lc.StopRequested{Command: 3})
	d.answer(launching.Op, lc.Launched{Result: lc.OK, Instance: alive("B")[0]})
	if w, kill := last[lc.Watch](d), last[lc.Terminate](d); w.Launch != "B" || kill.Launch != "B" {
		t.Errorf("effects = %v", d.out)
	}
}

// TestStopThatWasGivenUpAndSucceedsLaterIsAnExit: two stops are under way, the first fails for good, and a start adopts
// the process that lives. When the second one ends it after all, the gateway is lost: it is not running without a
// process.
func TestStopThatWasGivenUpAndSucceedsLaterIsAnExit(t *testing.T) {
	for _, connected := range []bool{false, true} {
		d := running(t)
		d.feed(lc.StopRequested{Command: 2})
		first := last[lc.Terminate](d)
		d.feed(lc.StopRequested{Command: 3, Now: true})
		second := last[lc.Terminate](d)
		failed := lc.Terminated{Result: lc.Failed, Launch: "A", Problem: lc.Problem{Code: "x", Message: "no"}}
		d.answer(first.Op, failed)
		for d.s.Phase != lc.PhaseError {
			d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
			d.answer(last[lc.Terminate](d).Op, failed)
		}
		d.feed(lc.StartRequested{Command: 4})
		if has[lc.Recover](d) {
			d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: alive("A")})
		}
		ready := last[lc.ProbeReady](d)
		if connected {
			d.answer(ready.Op, lc.ReadyProbed{Readiness: lc.ReadinessReady})
			open := last[lc.OpenSession](d)
			d.answer(open.Op, lc.SessionOpened{Session: open.Session})
		}
		d.answer(second.Op, lc.Terminated{Result: lc.OK, Launch: "A", Exit: lc.Exit{Known: true, Signal: "SIGKILL"}})
		if d.s.Public() == lc.Running || d.s.Phase != lc.PhaseClearing {
			t.Fatalf("connected %t: %s in phase %s, owner %s", connected, d.s.Public(), d.s.Phase, d.s.Owner())
		}
		if end := last[lc.Terminate](d); end.Launch != "A" {
			t.Errorf("connected %t: the rest of its tree is not ended: %v", connected, d.out)
		}
		if d.s.LastExit == nil || d.s.LastExit.Signal != "SIGKILL" {
			t.Errorf("connected %t: last exit %+v", connected, d.s.LastExit)
		}
	}
}
