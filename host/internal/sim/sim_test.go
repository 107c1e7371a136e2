package sim_test

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// TestMain lets garbage be: the schedules are short and many.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// step is a step of an engine, for the history.
type step struct{ observe.Change }

func (s step) String() string {
	var effects []string
	for _, e := range s.Effects {
		effects = append(effects, name(e))
	}
	a := s.After
	state := fmt.Sprintf(
		"%s/%s up=%v launch=%q session=%d attempt=%d reconnects=%d", a.Phase, a.Flow, a.Up, a.Launch, a.Session,
		a.Attempt, a.Reconnects,
	)
	if a.Phase == lc.PhaseClearing {
		state += " after=" + string(a.After)
	}
	if a.Err != nil {
		state += " err=" + a.Err.Code
	}
	op := ""
	if a, ok := s.Input.(lc.Answer); ok {
		if was, ok := s.Before.Pending[a.Op]; ok {
			op = " (" + string(was.Kind) + ")"
		}
	}
	return fmt.Sprintf("%s%s -> %s [%s]", name(s.Input), op, state, strings.Join(effects, ", "))
}

func name(v any) string {
	if r, ok := v.(lc.Reply); ok { // its pointer would be different in each run
		text := fmt.Sprintf("Reply{Command:%d %s", r.Command, r.Outcome.Kind)
		if r.Outcome.Problem != nil {
			text += " " + r.Outcome.Problem.Code
		}
		return text + "}"
	}
	if a, ok := v.(lc.Answer); ok {
		return fmt.Sprintf("%d: %s", a.Op, name(a.Report))
	}
	if d, ok := v.(lc.Diagnose); ok {
		return fmt.Sprintf("Diagnose{Op:%d Launch:%s Problem:%s}", d.Op, d.Incident.Launch, d.Incident.Problem.Code)
	}
	return strings.TrimPrefix(
		strings.ReplaceAll(fmt.Sprintf("%T%+v", v, v), "0001-01-01 00:00:00 +0000 UTC", "-"), "lifecycle.",
	)
}

// result is what came of one schedule.
type result struct {
	seed    uint64
	wrong   *violation
	history func() string
	steps   int
}

// run lives one schedule.
func run(t *testing.T, seed uint64) (r result) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%v\nreplay it with: SIM_SEED=%d go test ./host/internal/sim", p, seed))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed)
		w.life()
		r = result{seed: seed, wrong: w.wrong, history: w.history, steps: len(w.log)}
	})
	return r
}

func (r result) report(t *testing.T) {
	t.Helper()
	if r.wrong != nil && os.Getenv("SIM_BRIEF") != "" {
		t.Errorf("seed %d: invariant %s: %s", r.seed, r.wrong.invariant, r.wrong.text)
	} else if r.wrong != nil {
		t.Errorf("seed %d: invariant %s: %s\n"+
			"replay it with: SIM_SEED=%d go test -run TestSchedules ./host/internal/sim\n%s",
			r.seed, r.wrong.invariant, r.wrong.text, r.seed, r.history())
	}
}

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("cannot read %s: %v", name, err)
	}
	return n
}

// schedules is how many run without SIM_SCHEDULES; the race detector makes each many times slower.
func schedules() uint64 {
	if raceDetector {
		return 1000
	}
	return 10_000
}

// TestSchedules runs the real engine under random faults and commands, and checks the invariants of docs/architecture.md. Seeds
// are 1, 2, 3 and so on, the same on every machine: what `make test` has seen once is not different the next time. make
// sim goes further.
func TestSchedules(t *testing.T) {
	if seed := fromEnv(t, "SIM_SEED", 0); seed != 0 {
		r := run(t, seed)
		if r.report(t); r.wrong == nil {
			t.Logf("seed %d holds\n%s", seed, r.history())
		}
		return
	}
	from, n := fromEnv(t, "SIM_FROM", 1), fromEnv(t, "SIM_SCHEDULES", schedules())
	most := uint64(3) // histories to read
	if os.Getenv("SIM_BRIEF") != "" {
		most = n
	}
	most = fromEnv(t, "SIM_VIOLATIONS", most)
	var next, wrong, steps atomic.Uint64
	t.Run("all", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				for wrong.Load() < most {
					i := next.Add(1) - 1
					if i >= n {
						return
					}
					r := run(t, from+i)
					steps.Add(uint64(r.steps))
					if r.report(t); r.wrong != nil {
						wrong.Add(1)
					}
				}
			})
		}
	})
	t.Logf("%d schedules from seed %d, %d lines of history", min(next.Load(), n), from, steps.Load())
}

// TestASeedReplaysExactly: without this, a seed that is printed is worth nothing.
func TestASeedReplaysExactly(t *testing.T) {
	for seed := range uint64(100) {
		first, second := run(t, seed+1_000_000), run(t, seed+1_000_000)
		if a, b := first.history(), second.history(); a != b {
			la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
			i := 0
			for i < min(len(la), len(lb)) && la[i] == lb[i] {
				i++
			}
			t.Fatalf("seed %d went two ways; the last common lines and the first that differ:\n"+
				"%s\n--- first\n%s\n--- second\n%s", seed+1_000_000,
				strings.Join(la[max(0, i-10):i], "\n"), strings.Join(la[i:min(i+3, len(la))], "\n"), strings.Join(
					lb[i:min(i+3, len(lb))], "\n",
				))
		}
	}
}
