package lifecycle_test

import (
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// inError drives a new gateway to an error: a stranger has the port.
func inError(t *testing.T) *drive {
	t.Helper()
	d := &drive{t: t, p: lc.DefaultPolicy(), s: lc.New(), now: t0}
	d.feed(lc.StartRequested{Command: 1})
	d.answer(last[lc.Recover](d).Op, lc.Recovered{Result: lc.OK})
	d.answer(last[lc.ClearServices](d).Op, lc.ServicesCleared{Result: lc.OK})
	d.answer(last[lc.ProbePort](d).Op, lc.PortProbed{
		Holder:  lc.HolderStranger,
		Problem: lc.Problem{Code: "port_conflict", Message: "port 1 is held by pid 7", Hint: "end it"},
	})
	if d.s.Phase != lc.PhaseError {
		t.Fatalf("phase = %s", d.s.Phase)
	}
	return d
}

// TestReloadInErrorIsRefusedWithTheError: nothing is reloaded.
func TestReloadInErrorIsRefusedWithTheError(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		d := inError(t)
		d.feed(lc.ReloadRequested{Command: 2, Delay: delay})
		got := last[lc.Reply](d).Outcome
		if got.Kind != lc.OutcomeFailed || got.Problem.Hint != "end it" || d.s.Phase != lc.PhaseError {
			t.Errorf("delay %v: %+v", delay, got)
		}
	}
}

// TestRevisionReplacesTheErrorThatWasMeantOnly and starts nothing.
func TestRevisionReplacesTheErrorThatWasMeantOnly(t *testing.T) {
	d := inError(t)
	pending := len(d.s.Pending)
	d.feed(lc.ErrorRevised{Since: d.s.PhaseSince, Problem: lc.Problem{Code: "repaired", Message: "m", Fatal: true}})
	if d.s.Err.Code != "repaired" || d.s.Err.Fatal || len(d.out) != 0 || len(d.s.Pending) != pending {
		t.Errorf("error %+v, effects %v", d.s.Err, d.out)
	}
	for what, d := range map[string]*drive{"an older error": inError(t), "a gateway that runs": running(t)} {
		before := d.s
		d.feed(lc.ErrorRevised{Since: d.s.PhaseSince.Add(-time.Second), Problem: lc.Problem{Code: "repaired"}})
		if !has[lc.Ignored](d) || d.s.Err != before.Err {
			t.Errorf("%s: error %+v, effects %v", what, d.s.Err, d.out)
		}
	}
}
