package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// maxStages bounds a waterfall: a start that retries for long keeps its newest stages.
const maxStages = 64

// Waterfall holds the timed stages of the last start.
type Waterfall struct {
	StartedAt time.Time
	Outcome   string // "", while it lasts; then running, error, stopped
	Total     time.Duration
	Stages    []Stage
}

// Stage is one phase of a start; Took is 0 while it lasts.
type Stage struct {
	Name   string
	Start  time.Duration // since StartedAt
	Took   time.Duration
	Detail string
}

// follow returns the waterfall after a step. It never changes w's own stages: snapshots share them.
func (w Waterfall) follow(before, after lifecycle.State, now time.Time) Waterfall {
	if before.Phase == after.Phase {
		return w
	}
	beginning := after.Phase == lifecycle.PhaseRecovering && after.Attempt <= 1 && !after.Repaired
	if beginning && before.After != lifecycle.AfterBegin {
		w = Waterfall{StartedAt: now}
	}
	if w.StartedAt.IsZero() || w.Outcome != "" {
		return w
	}
	stages := make([]Stage, len(w.Stages), len(w.Stages)+1)
	copy(stages, w.Stages)
	if n := len(stages); n > 0 && stages[n-1].Took == 0 {
		stages[n-1].Took = max(now.Sub(w.StartedAt)-stages[n-1].Start, 1)
	}
	switch after.Phase {
	case lifecycle.PhaseRunning, lifecycle.PhaseError, lifecycle.PhaseStopped:
		w.Outcome = string(after.Public())
		w.Total = now.Sub(w.StartedAt)
	case lifecycle.PhaseBackoff:
		w.Outcome = "failed"
		w.Total = now.Sub(w.StartedAt)
	default:
		stages = append(stages, Stage{Name: string(after.Phase), Start: now.Sub(w.StartedAt), Detail: detail(after)})
	}
	w.Stages = stages[max(0, len(stages)-maxStages):]
	return w
}

func detail(s lifecycle.State) string {
	switch s.Phase {
	case lifecycle.PhaseClearing, lifecycle.PhaseDiagnosing, lifecycle.PhaseRetryWait:
		return s.Cause.Message
	default:
		return ""
	}
}
