package observe

import (
	"cmp"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
)

// slowStage is how long a stage of the gateway's own start may take until that is worth a warning (B301).
const slowStage = 10 * time.Second

const (
	shownStages  = 10 // of a start, the slowest
	maxStageName = 96 // bytes
)

// startTrace collects what a gateway tells of the stages of its own start: of its newest launch, until the session of that start ends. It is a
// value: follow and take return the next one.
type startTrace struct {
	launch string
	over   bool
	flow   time.Time // begin of the start
	got    control.Trace
}

// follow looks at a step: a new start, or a new launch within one, begins a new trace.
func (t startTrace) follow(c Change, w Waterfall) startTrace {
	launch := string(c.After.Launch)
	switch begin := w.StartedAt; {
	case !begin.Equal(t.flow):
		t.flow, t.launch, t.got, t.over = begin, launch, control.Trace{}, false
	case launch != "" && launch != t.launch:
		t.launch, t.got, t.over = launch, control.Trace{}, false
	case c.After.Phase == lifecycle.PhaseReloading, c.After.Flow == lifecycle.FlowRejoin: // what comes now is another start in the process
		t.over = true
	}
	return t
}

// take adds a stage and reports whether it is a slow one.
func (t startTrace) take(launch string, s classifier.Stage) (next startTrace, slow bool) {
	if launch != t.launch || t.over {
		return t, false
	}
	stage := control.TraceStage{Name: s.Name[:min(len(s.Name), maxStageName)], Ms: s.DurationMs, TotalMs: s.TotalMs}
	t.got.Count++
	t.got.Last = stage
	if s.TotalMs != nil {
		t.got.TotalMs = max(t.got.TotalMs, *s.TotalMs)
	}
	t.got.Slowest = append(slices.Clip(t.got.Slowest), stage) // a copy: status holds the one before
	slices.SortStableFunc(t.got.Slowest, func(a, b control.TraceStage) int { return cmp.Compare(b.Ms, a.Ms) })
	t.got.Slowest = t.got.Slowest[:min(len(t.got.Slowest), shownStages)]
	return t, s.DurationMs >= float64(slowStage.Milliseconds())
}

// summary is what was told so far; nil when there was nothing.
func (t startTrace) summary() *control.Trace {
	if t.got.Count == 0 {
		return nil
	}
	out := t.got
	return &out
}

// milestones are the two parts of a start that came to running: until the launched process took a connect, and from there to the session.
// Both are 0 for any other start, such as an adoption.
func milestones(w Waterfall, s lifecycle.State) (spawnToReady, readyToConnect time.Duration) {
	n := len(w.Stages)
	if w.Outcome != string(lifecycle.Running) || n == 0 || w.Stages[n-1].Name != string(lifecycle.PhaseConnecting) ||
		s.SpawnedAt.Before(w.StartedAt) || s.Adopted || s.Attached {
		return 0, 0
	}
	last := w.Stages[n-1]
	return max(w.StartedAt.Add(last.Start).Sub(s.SpawnedAt), 0), last.Took
}
