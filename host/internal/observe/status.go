package observe

import (
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// Waterfall returns the timed stages of the last start. The caller must not change it.
func (r Record) Waterfall() Waterfall { return r.waterfall }

// Reconnect returns the sum of the automatic attempts; nil before the first.
func (r Record) Reconnect() *control.Reconnect { return r.reconnects.status() }

// ExitTail returns the last lines of the process whose end is the last exit of the state.
func (r Record) ExitTail() []string { return r.ended.tail }

// UncleanEnds returns how many unclean ends OpenClaw's crash-loop breaker counts at a moment.
func (r Record) UncleanEnds(now time.Time) int { return len(within(r.unclean, now)) }

// LastStart returns the last start, with what the gateway itself reported about it; nil before the first.
func (r Record) LastStart() *control.Start {
	w := r.waterfall
	if w.StartedAt.IsZero() {
		return nil
	}
	start := &control.Start{Outcome: w.Outcome, Trace: r.trace.summary()}
	if spawn, connect := milestones(w, r.state); spawn > 0 {
		start.SpawnToReadyMs, start.ReadyToConnectMs = control.Ms(spawn), control.Ms(connect)
	}
	if w.Outcome != "" {
		start.TotalMs = control.Ms(w.Total)
	}
	for _, st := range w.Stages {
		stage := control.Stage{Name: st.Name, StartMs: st.Start.Milliseconds(), Detail: st.Detail}
		if st.Took > 0 {
			stage.Ms = control.Ms(st.Took)
		}
		start.Stages = append(start.Stages, stage)
	}
	if t := start.Trace; t != nil { // the gateway reports about the time until it was ready
		for i := len(start.Stages) - 1; i >= 0; i-- {
			if st := &start.Stages[i]; st.Name == string(lifecycle.PhaseReady) {
				st.Detail = fmt.Sprintf("%d stages of its own, the slowest %s with %.0f ms", t.Count, t.Slowest[0].Name,
					t.Slowest[0].Ms)
				break
			}
		}
	}
	return start
}
