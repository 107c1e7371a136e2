package lifecycle_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
)

// shake does one random thing to the machine.
func (w *world) shake() {
	switch rapid.IntRange(0, 43).Draw(w.t, "what") {
	case 0:
		w.feed(lc.StartRequested{
			Command: w.command("start"), Auto: rapid.IntRange(0, 3).Draw(w.t, "auto") == 0,
			Adopt: rapid.IntRange(0, 3).Draw(w.t, "adopt") == 0,
		})
	case 1:
		w.feed(lc.StopRequested{
			Command: w.command("stop"), Now: rapid.Bool().Draw(w.t, "now"), Drain: rapid.Bool().Draw(w.t, "drain"),
			External: rapid.Bool().Draw(w.t, "external"),
		})
	case 2, 40:
		w.feed(lc.RestartRequested{Command: w.command("restart"), Delay: w.delay()})
	case 41, 42:
		w.feed(lc.ReloadRequested{Command: w.command("reload"), Delay: w.delay()})
	case 3:
		w.fireNext()
	case 4, 11, 12, 13:
		if w.s.Phase == lc.PhaseRunning && rapid.IntRange(0, 3).Draw(w.t, "spared") > 0 {
			return // a start is where exits are most interesting
		}
		for _, id := range slices.Sorted(maps.Keys(w.procs)) {
			delete(w.procs, id)
			w.feed(lc.ProcessExited{Launch: id, Exit: lc.Exit{Known: true, Code: 1, At: w.now}})
		}
	case 5:
		for _, id := range slices.Sorted(maps.Keys(w.sessions)) {
			delete(w.sessions, id)
			w.feed(lc.SessionClosed{
				Session: id, Code: 1006,
				Announce: lc.Announce(rapid.IntRange(0, 2).Draw(w.t, "announce")),
				Expected: time.Duration(rapid.Int64Range(-1e9, 1e11).Draw(w.t, "expected")),
			})
		}
	case 6:
		w.feed(lc.SessionAlive{Session: lc.SessionID(rapid.Uint64Range(0, 5).Draw(w.t, "session"))})
	case 7:
		w.feed(lc.SymptomSeen{Launch: w.anyLaunch(), Symptom: rapid.SampledFrom([]lc.Symptom{
			lc.SymptomChannelsSuppressed, lc.SymptomZombie, lc.SymptomConfigInvalid,
		}).Draw(w.t, "symptom")})
	case 8: // an answer to no pending operation
		w.answer(lc.OpID(rapid.Uint64Range(900, 999).Draw(w.t, "op")), lc.Terminated{
			Result: lc.OK, Launch: w.anyLaunch(),
		})
	case 9:
		w.feed(lc.WatchLost{Launch: w.anyLaunch(), Problem: lc.Problem{Code: "unwatched", Message: "shim gone"}})
	case 10:
		w.feed(lc.OutputSeen{Launch: w.anyLaunch()})
	case 43: // the operator's settings change under whatever is going on
		w.p.Repair = rapid.SampledFrom([]lc.RepairMode{lc.RepairAuto, lc.RepairAsk, lc.RepairOff}).Draw(w.t, "repair")
		w.p.OnConflict = rapid.SampledFrom([]lc.ConflictMode{lc.ConflictAttach, lc.ConflictFail}).Draw(
			w.t, "on conflict",
		)
		w.p.OnShimLoss = rapid.SampledFrom([]lc.ShimLossMode{lc.ShimLossRestart, lc.ShimLossKeep}).Draw(
			w.t, "on shim loss",
		)
		w.p.SlowRetry = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(w.t, "slow retry")
		w.p.Silence = rapid.SampledFrom([]time.Duration{time.Second, time.Hour}).Draw(w.t, "silence")
		w.p.StartAttempts = rapid.IntRange(1, 4).Draw(w.t, "start attempts")
		w.feed(lc.Reconfigured{
			Drift: rapid.SliceOfN(rapid.SampledFrom([]string{"port", "token"}), 0, 2).Draw(w.t, "drift"),
		})
	default:
		if len(w.queue) > 0 {
			w.answerOne(rapid.IntRange(0, len(w.queue)-1).Draw(w.t, "which"))
		} else if w.s.Phase != lc.PhaseRunning {
			w.fireNext()
		}
	}
}

// delay is a debounce, mostly none.
func (w *world) delay() time.Duration {
	return rapid.SampledFrom([]time.Duration{0, 0, 2 * time.Second, 8 * time.Second}).Draw(w.t, "delay")
}

func (w *world) anyLaunch() lc.LaunchID {
	if ids := slices.Sorted(maps.Keys(w.known)); len(ids) > 0 {
		return rapid.SampledFrom(ids).Draw(w.t, "launch")
	}
	return "none"
}

// settle lets everything that is under way end well, until the machine is in a state where only time could do more.
func (w *world) settle() {
	w.calm = true
	for range 300 {
		switch {
		case len(w.queue) > 0:
			w.answerOne(0)
		case w.s.Final() || w.s.Phase == lc.PhaseRunning:
			return
		default:
			if !w.fireNext() {
				w.failf("nothing is pending and nothing is final")
			}
		}
	}
	w.failf("the machine does not come to rest")
}

// TestInvariantsHoldUnderRandomFaults drives the machine by commands, answers, losses and faults in any order. The
// world checks invariants 1, 2, 4, 5, 7 and 8 after every step; rapid prints the seed of a failure.
func TestInvariantsHoldUnderRandomFaults(t *testing.T) {
	for range 8 { // rapid's hundred checks are too few for the deep states
		rapid.Check(t, aRandomLife)
	}
}

func aRandomLife(rt *rapid.T) {
	w := newWorld(rt)
	for range rapid.IntRange(50, 400).Draw(rt, "steps") {
		w.shake()
	}
	w.settle()
	stop := w.command("stop")
	w.feed(lc.StopRequested{Command: stop})
	w.settle()
	if w.s.Phase != lc.PhaseStopped {
		w.failf("a stop in a calm world ends in %s", w.s.Phase)
	}
	w.checkNothingAlive()
	for id := range w.sessions {
		w.failf("session %d is open after the stop", id)
	}
	for id, kind := range w.asked {
		if w.replies[id] != 1 {
			w.failf("command %d (%s) was answered %d times", id, kind, w.replies[id])
		}
	}
}

// TestAnyHistoryCanBeStartedAgain: whatever happened, a start in a calm world ends in running.
func TestAnyHistoryCanBeStartedAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			w.shake()
		}
		w.settle()
		w.feed(lc.StartRequested{Command: w.command("start")})
		w.settle()
		if w.s.Public() != lc.Running {
			w.failf("a start in a calm world ends in %s", w.s.Phase)
		}
	})
}

// TestNothingArmedBeforeStopRevivesTheGateway is invariant 6: after a stop, earlier timers and answers change
// nothing.
func TestNothingArmedBeforeStopRevivesTheGateway(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			w.shake()
		}
		w.feed(lc.StopRequested{Command: w.command("stop")})
		w.settle()
		for id := lc.OpID(1); id < 200; id++ {
			w.answer(id, lc.TimerFired{})
			w.answer(id, lc.ReadyProbed{Readiness: lc.ReadinessReady})
			w.answer(id, lc.Recovered{Result: lc.OK})
		}
		if w.s.Phase != lc.PhaseStopped || len(w.queue) != 0 {
			w.failf("revived: %s %v", w.s.Phase, w.queue)
		}
	})
}
