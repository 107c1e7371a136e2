package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

func away() []lc.Instance { return []lc.Instance{{Launch: "A", Elsewhere: "it runs on host \"red\""}} }

// TestGatewayElsewhereIsLeftAlone: no second one is started, nothing of it is released or ended, and it is asked for
// again without a further attempt that would be shown.
func TestGatewayElsewhereIsLeftAlone(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.p.SlowRetry = 0 // what the operator says of failed starts is not about this
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: away()})
	if has[lc.ClearServices](d) || has[lc.Release](d) || has[lc.Terminate](d) {
		t.Fatalf("effects = %v", d.out)
	}
	r := last[lc.Reply](d)
	if r.Outcome.Kind != lc.OutcomeFailed || d.s.Err == nil || d.s.Err.Code != "elsewhere" ||
		!strings.Contains(d.s.Err.Message, `on host "red"`) {
		t.Fatalf("reply = %+v, error = %+v", r, d.s.Err)
	}
	for range 3 {
		timer := last[lc.SetTimer](d)
		if timer.After > 15*time.Second {
			t.Fatalf("it is asked for after %v", timer.After)
		}
		d.answer(timer.Op, lc.TimerFired{})
		asked := last[lc.Recover](d)
		d.answer(asked.Op, lc.Recovered{Result: lc.OK, Instances: away()})
		if d.s.Phase != lc.PhaseError || has[lc.Release](d) {
			t.Fatalf("phase = %s, effects = %v", d.s.Phase, d.out)
		}
	}
	d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.Failed, Problem: lc.Problem{Code: "plugin_down"}})
	d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{}) // an answer that failed ends nothing
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: []lc.Instance{{Launch: "A"}}})
	if d.s.Phase != lc.PhaseRecovering || d.s.Err != nil {
		t.Fatalf("it has ended, and the phase is %s, the error %+v", d.s.Phase, d.s.Err)
	}
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: []lc.Instance{{Launch: "A"}}})
	if !has[lc.ClearServices](d) || last[lc.Release](d).Launch != "A" {
		t.Errorf("effects = %v", d.out)
	}
}

// TestStopOfAGatewayElsewhereFails: it would be a lie that it is down.
func TestStopOfAGatewayElsewhereFails(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StopRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: away()})
	r := last[lc.Reply](d)
	if r.Outcome.Kind != lc.OutcomeFailed || !strings.Contains(r.Outcome.Problem.Message, "cannot stop the gateway") {
		t.Errorf("reply = %+v", r)
	}
	if len(d.s.Pending) != 0 {
		t.Errorf("it is not wanted, and %v is pending", d.s.Pending)
	}
	d.feed(lc.StopRequested{Command: 2}) // it may have ended meanwhile
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	if r := last[lc.Reply](d); r.Command != 2 || r.Outcome.Kind != lc.OutcomeApplied || d.s.Phase != lc.PhaseStopped {
		t.Errorf("reply = %+v, phase = %s", r, d.s.Phase)
	}
}

// TestGatewayHereIsAdoptedBesideOneElsewhere: it runs already; but after it no other is started.
func TestGatewayHereIsAdoptedBesideOneElsewhere(t *testing.T) {
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: append(away(), alive("B")...)})
	if d.s.Launch != "B" || !d.s.Adopted {
		t.Fatalf("launch = %q, adopted = %v", d.s.Launch, d.s.Adopted)
	}
	d.feed(lc.StopRequested{Command: 2})
	d.answer(last[lc.Terminate](d).Op, lc.Terminated{Launch: "B", Result: lc.OK})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK, Instances: away()})
	if r := last[lc.Reply](d); r.Command != 2 || r.Outcome.Kind != lc.OutcomeFailed {
		t.Errorf("reply = %+v: one lives", r)
	}
}
