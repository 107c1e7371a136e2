package lifecycle_test

import (
	"testing"
	"time"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// TestSilenceCountsAgainAfterAReloadThatCameToNothing: the reload overtook a verification, whose answer was lost; then
// the reload failed, and the restart instead of it was refused. The simulator found it (seed 17777).
func TestSilenceCountsAgainAfterAReloadThatCameToNothing(t *testing.T) {
	d := asking(t)
	timer, n := d.pending(lc.TimerSilence)
	if n != 1 {
		t.Fatalf("%d timers for silence", n)
	}
	d.now = d.now.Add(d.p.Silence)
	d.answer(timer, lc.TimerFired{})
	verify := last[lc.VerifySession](d)
	d.feed(lc.ReloadRequested{Command: 2, Delay: time.Second})
	due, _ := d.pending(lc.TimerRefresh)
	d.now = d.now.Add(time.Second)
	d.answer(due, lc.TimerFired{})
	reload := last[lc.Reload](d)
	d.answer(verify.Op, lc.Verified{Session: verify.Session})
	d.answer(reload.Op, lc.Reloaded{Result: lc.OK}) // taken, and never done
	d.answer(last[lc.SetTimer](d).Op, lc.TimerFired{})
	d.preflight(lc.Failed)
	if _, n := d.pending(lc.TimerSilence); d.s.Phase != lc.PhaseRunning || n != 1 {
		t.Errorf("phase %s with %d timers for silence", d.s.Phase, n)
	}
}
