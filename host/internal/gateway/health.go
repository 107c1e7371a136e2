package gateway

import (
	"context"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// CheckHealth asks the gateway for its health now (B281); with probe it asks it even when a fresh answer is there.
func (g *Gateway) CheckHealth(ctx context.Context, probe bool) (control.HealthCheck, error) {
	began := time.Now()
	ok := g.health.Check(ctx, probe)
	if err := context.Cause(ctx); err != nil {
		return control.HealthCheck{}, err
	}
	s := g.State()
	return control.HealthCheck{OK: ok, Ready: g.ready(s), TookMs: time.Since(began).Milliseconds(), Health: g.healthStatus(s)}, nil
}

// ready: the health view says so, of a gateway that runs.
func (g *Gateway) ready(s lifecycle.State) bool {
	return s.Public() == lifecycle.Running && g.health.View().Ready
}

// healthStatus is the health view in the API's words.
func (g *Gateway) healthStatus(s lifecycle.State) *control.GatewayHealth {
	totals := g.sessions.total()
	seen := view.Seen{LastFrameAt: totals.LastFrameAt, LastMissAt: totals.LastMissAt}
	if open, ok := g.engine.Session(); ok {
		seen.Unanswered = open.Stats().Unanswered
	}
	return view.Health(s, g.health.View(), seen)
}

// Scrape is what the metrics read.
func (g *Gateway) Scrape() metrics.Gateway {
	now := time.Now()
	snap := g.engine.Snapshot()
	s := snap.State
	frames, lines := g.sessions.total(), g.lines.total()
	out := metrics.Gateway{
		Name: g.name, State: string(s.Public()), Ready: g.ready(s), Connected: s.Session != 0, UncleanEnds: snap.Record.UncleanEnds(now),
		FramesIn: frames.FramesIn, FramesOut: frames.FramesOut, Garbage: unsigned(frames.BadFrames),
		LateAnswers: unsigned(frames.UnexpectedIDs), MissedPongs: unsigned(frames.MissedPongs),
		DroppedBy: lines.DroppedBy, Repeated: lines.Repeated, Truncated: lines.Truncated, LostLines: lines.GapLines, LostBytes: lines.GapBytes,
	}
	if since := view.UptimeFrom(s); !since.IsZero() {
		out.Uptime = now.Sub(since)
	}
	for _, c := range snap.Record.Conditions() {
		out.Conditions = append(out.Conditions, c.Code)
	}
	for stream := plugin.Stdout; stream <= plugin.Stderr; stream++ {
		for level := classifier.LevelDrop; level <= classifier.LevelError; level++ {
			out.Lines = append(out.Lines, metrics.Lines{Stream: stream.String(), Level: level.String(), Count: lines.Levels[stream][level]})
		}
	}
	return out
}

func unsigned(n int) uint64 { return uint64(max(n, 0)) } //nolint:gosec // not negative
