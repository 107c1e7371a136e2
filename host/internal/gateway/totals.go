package gateway

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/session"
)

// sessionTotals adds up the frames of a gateway over its sessions.
type sessionTotals struct {
	mu   sync.Mutex // guards all below: sessions come and go in goroutines of their own
	past session.Stats
	open []*openSession
}

func (t *sessionTotals) opened(s *openSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, s)
}

func (t *sessionTotals) closed(s *openSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.open, s); i >= 0 {
		t.open = slices.Delete(t.open, i, i+1)
		t.past = added(t.past, s.s.Stats())
	}
}

// each calls back with every session that is open.
func (t *sessionTotals) each(do func(*openSession)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.open {
		do(s)
	}
}

// total has the counts of all sessions, and of the times the newest.
func (t *sessionTotals) total() session.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.past
	for _, s := range t.open {
		all = added(all, s.s.Stats())
	}
	return all
}

func added(a, b session.Stats) session.Stats {
	newest := func(x, y time.Time) time.Time {
		if x.After(y) {
			return x
		}
		return y
	}
	return session.Stats{
		FramesIn: a.FramesIn + b.FramesIn, FramesOut: a.FramesOut + b.FramesOut, BadFrames: a.BadFrames + b.BadFrames,
		UnexpectedIDs: a.UnexpectedIDs + b.UnexpectedIDs, MissedPongs: a.MissedPongs + b.MissedPongs,
		LastFrameAt: newest(a.LastFrameAt, b.LastFrameAt), LastMissAt: newest(a.LastMissAt, b.LastMissAt),
	}
}

// sumRules adds up what rules dropped; each launch tells of a bounded number of them.
func sumRules(a, b map[string]uint64) map[string]uint64 {
	if len(a) == 0 {
		return b
	}
	out := maps.Clone(a)
	for rule, n := range b {
		if _, known := out[rule]; known || len(out) < maxRules {
			out[rule] += n
		}
	}
	return out
}

// maxRules bounds the rules of a gateway whose lines are counted apart.
const maxRules = 128
