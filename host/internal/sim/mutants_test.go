//go:build mutants

package sim_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehost/gatehost/host/internal/lifecycle/mutant"
)

// mostSchedules is how many schedules a planted bug may survive. The hardest needs a few hundred.
const mostSchedules = 10_000

// TestMutants plants one bug after the other: a check that finds none of them would be worth nothing.
func TestMutants(t *testing.T) {
	var table strings.Builder
	for _, m := range mutant.All() {
		t.Run(strings.ReplaceAll(string(m), " ", "-"), func(t *testing.T) {
			mutant.Plant(m)
			t.Cleanup(func() { mutant.Plant("") })
			caught, needed := hunt(t)
			if caught == nil {
				t.Errorf("%q survives %d schedules", m, mostSchedules)
				return
			}
			fmt.Fprintf(&table, "| %s | %s: %s | %d |\n", m, caught.wrong.invariant, caught.wrong.text, needed)
			if os.Getenv("SIM_HISTORY") != "" {
				t.Log(caught.history())
			}
		})
	}
	t.Logf("| mutant | invariant that caught it | schedules |\n|---|---|---|\n%s", table.String())
}

// hunt runs schedules until one fails, and says how many that took: the lowest seed that fails.
func hunt(t *testing.T) (*result, uint64) {
	t.Helper()
	var next atomic.Uint64
	var mu sync.Mutex
	var best *result
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				seed := next.Add(1)
				mu.Lock()
				done := seed > mostSchedules || best != nil && best.seed < seed
				mu.Unlock()
				if done {
					return
				}
				if r := run(t, seed); r.wrong != nil {
					mu.Lock()
					if best == nil || r.seed < best.seed {
						best = &r
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if best == nil {
		return nil, mostSchedules
	}
	return best, best.seed
}

// TestAnswersThatComeTwiceChangeNothing: the same schedules with every answer given a second time hold all the same.
func TestAnswersThatComeTwiceChangeNothing(t *testing.T) {
	mutant.Plant(mutant.AnsweredTwice)
	t.Cleanup(func() { mutant.Plant("") })
	for seed := range uint64(1000) {
		if r := run(t, seed+1); r.wrong != nil {
			r.report(t)
			return
		}
	}
}
