package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// count turns a step into metrics.
func (g *gateway) count(c engine.Change) {
	m, before, after := g.host.metrics, c.Before, c.After
	if c.Ended {
		g.countStart(c)
	}
	if after.Restarts > before.Restarts {
		m.Restart(g.name, restartCause(before, after), metrics.Executed)
	}
	if after.Phase == lifecycle.PhaseError && before.Phase != lifecycle.PhaseError && after.Err != nil && before.Flow == lifecycle.FlowRevive {
		m.Restart(g.name, after.Err.Code, metrics.Suppressed)
	}
	if in, ok := c.Input.(lifecycle.SessionClosed); ok && in.Session == before.Session && in.Session != 0 {
		m.SessionLost(g.name, in.Code)
	}
}

// restartCause is why a process is replaced: a restart counts when the old one has ended, a loss when it is noticed.
func restartCause(before, after lifecycle.State) string {
	if before.After == lifecycle.AfterRestart {
		return cmp.Or(before.Cause.Code, "command")
	}
	return after.Cause.Code
}

func (g *gateway) countStart(c engine.Change) {
	w := c.Waterfall
	spawn, _ := milestones(w, c.After)
	start := metrics.Start{Outcome: w.Outcome, Total: w.Total, SpawnToReady: spawn}
	for _, st := range w.Stages {
		start.Stages = append(start.Stages, metrics.Stage{Name: st.Name, Took: st.Took})
	}
	g.host.metrics.StartEnded(g.name, start)
	if p := c.After.Err; w.Outcome == string(lifecycle.Error) && p != nil {
		g.log.Info("the start failed", "code", p.Code, "port", g.asLaunched().Port, "attempt", c.After.Attempt, "launch", g.newestLaunch())
	}
	if spawn >= slowSpawn {
		g.log.Warn("the gateway was slow to become ready", "took", spawn.Round(time.Millisecond))
	}
}

// stage takes a stage of the gateway's own start.
func (g *gateway) stage(launch string, s classifier.Stage) {
	if g.trace.take(launch, s) {
		g.log.Warn("a stage of the gateway's start was slow", "stage", s.Name, "took", time.Duration(s.DurationMs*float64(time.Millisecond)))
	}
}

// attend tells the health view of a step.
func (g *gateway) attend(c engine.Change) {
	before, after := c.Before, c.After
	if before.Session == after.Session {
		return
	}
	if before.Session != 0 {
		code := 1000 // ours
		if in, ok := c.Input.(lifecycle.SessionClosed); ok && in.Session == before.Session {
			code = in.Code
		}
		g.health.Closed(code)
	}
	if after.Session != 0 {
		g.health.Opened()
	}
}

func newHealth(g *gateway) *health.Monitor {
	return health.New(health.Options{
		Ask: g.ask, Category: category,
		OnReady: func(ready bool, by string) {
			g.watch.publish(events.GatewayReady, control.ReadyData{Ready: ready, By: by})
		},
	})
}

// ask makes one call for the health view.
func (g *gateway) ask(ctx context.Context, method string) error {
	s, ok := g.engine.Session()
	if !ok {
		return engine.ErrNotConnected
	}
	_, err := s.Call(ctx, method, json.RawMessage("{}"))
	return err
}

func category(err error) health.Category {
	return health.CategoryOf(err, engine.ErrNotConnected, session.ErrNotConnected)
}

// called is told of every call to the gateway, whoever made it.
func (g *gateway) called(session uint64, method string, took time.Duration, err error) {
	c := category(err)
	g.health.Called(session, method, took, c)
	result := metrics.Failed
	switch c {
	case health.OK:
		result = metrics.OK
	case health.Refused, health.Unavailable:
		result = metrics.Refused
	case health.Timeout:
		result = metrics.Timeout
	case health.Disconnected:
		result = metrics.Disconnected
	case health.Cancelled:
		result = metrics.Cancelled
	case health.Failed:
	}
	g.host.metrics.Call(g.name, method, result, took)
}

// pluginCalled is told of every call to a plugin.
func (h *Host) pluginCalled(c pluginhost.Call) {
	result := metrics.Failed
	switch {
	case c.Err == nil:
		result = metrics.OK
	case errors.Is(c.Err, fault.ErrPluginGone), errors.Is(c.Err, fault.ErrPluginDown):
		result = metrics.Disconnected
	case errors.Is(c.Err, fault.ErrDeadlineExceeded), errors.Is(c.Err, context.DeadlineExceeded):
		result = metrics.Timeout
	case errors.Is(c.Err, fault.ErrCancelled), errors.Is(c.Err, context.Canceled):
		result = metrics.Cancelled
	case fault.CodeOf(c.Err) != fault.Internal:
		result = metrics.Refused
	}
	h.metrics.PluginCall(c.Plugin, c.Method, result, c.Took, c.Stream)
}

// breakerSpan is how far back OpenClaw's crash-loop breaker looks (docs/openclaw.md §4).
const breakerSpan = 300 * time.Second

// exCleanly are the exit codes of a gateway that ended in order, or that never began: a configuration error.
var exCleanly = []int{0, 78}

// ends remembers the unclean ends within the breaker's window. Safe for concurrent use.
type ends struct {
	mu      sync.Mutex // guards unclean
	unclean []time.Time
}

func (e *ends) take(x *lifecycle.Exit, now time.Time) {
	if x.Known && x.Signal == "" && slices.Contains(exCleanly, x.Code) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unclean = append(e.within(now), now)
}

// within is those of the window, in a slice of its own; e is locked.
func (e *ends) within(now time.Time) []time.Time {
	var out []time.Time
	for _, at := range e.unclean {
		if now.Sub(at) < breakerSpan {
			out = append(out, at)
		}
	}
	return out
}

func (e *ends) number(now time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.within(now))
}

// frameCounts adds up the frames of a gateway over its sessions.
type frameCounts struct {
	mu   sync.Mutex // guards all below
	past engine.SessionStats
	open []*openSession
}

func (f *frameCounts) opened(s *openSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = append(f.open, s)
}

func (f *frameCounts) closed(s *openSession) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.open, s); i >= 0 {
		f.open = slices.Delete(f.open, i, i+1)
		f.past = added(f.past, s.Stats())
	}
}

// each calls back with every session that is open.
func (f *frameCounts) each(do func(*openSession)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.open {
		do(s)
	}
}

// total has the counts of all sessions, and of the times the newest.
func (f *frameCounts) total() engine.SessionStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.past
	for _, s := range f.open {
		all = added(all, s.Stats())
	}
	return all
}

func added(a, b engine.SessionStats) engine.SessionStats {
	newest := func(x, y time.Time) time.Time {
		if x.After(y) {
			return x
		}
		return y
	}
	return engine.SessionStats{
		FramesIn: a.FramesIn + b.FramesIn, FramesOut: a.FramesOut + b.FramesOut, BadFrames: a.BadFrames + b.BadFrames,
		LateAnswers: a.LateAnswers + b.LateAnswers, MissedPongs: a.MissedPongs + b.MissedPongs,
		LastFrameAt: newest(a.LastFrameAt, b.LastFrameAt), LastMissAt: newest(a.LastMissAt, b.LastMissAt),
	}
}

// scrape is what metrics read.
func (h *Host) scrape() metrics.Snapshot {
	published, missed := h.hub.Counts()
	kept := h.journal.Stats()
	out := metrics.Snapshot{
		Version: h.version, EventsPublished: published, EventsUnstored: missed + kept.Lost, JournalFaulty: kept.Fault != nil,
	}
	unstored := h.hub.Unstored()
	for _, g := range h.ordered() {
		one := g.scrape()
		one.Stored, one.Unstored = kept.Stored[g.name], kept.Dropped[g.name]+unstored[g.name]
		out.Gateways = append(out.Gateways, one)
	}
	for _, p := range h.plugins.Plugins() {
		out.Plugins = append(out.Plugins, metrics.Plugin{Name: p.Name, State: p.State, Restarts: p.Restarts, RSS: h.plugins.RSS(p.Name)})
	}
	return out
}

func (g *gateway) scrape() metrics.Gateway {
	now := time.Now()
	s := g.engine.Snapshot().State
	frames, lines := g.frames.total(), g.lines.total()
	out := metrics.Gateway{
		Name: g.name, State: string(s.Public()), Ready: g.ready(s), Connected: s.Session != 0, UncleanEnds: g.ends.number(now),
		FramesIn: frames.FramesIn, FramesOut: frames.FramesOut, Garbage: unsigned(frames.BadFrames),
		LateAnswers: unsigned(frames.LateAnswers), MissedPongs: unsigned(frames.MissedPongs),
		DroppedBy: lines.DroppedBy, Repeated: lines.Repeated, Truncated: lines.Truncated, LostLines: lines.GapLines, LostBytes: lines.GapBytes,
	}
	if since := uptimeFrom(s); !since.IsZero() {
		out.Uptime = now.Sub(since)
	}
	for _, c := range s.Conditions {
		out.Conditions = append(out.Conditions, c.Code)
	}
	for _, c := range g.conditionsNow(s) {
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

// ready: the health view says so, of a gateway that runs.
func (g *gateway) ready(s lifecycle.State) bool {
	return s.Public() == lifecycle.Running && g.health.View().Ready
}

// healthStatus is the view in the API's words.
func (g *gateway) healthStatus(s lifecycle.State) *control.GatewayHealth {
	v, frames := g.health.View(), g.frames.total()
	unanswered := 0
	if open, ok := g.engine.Session(); ok {
		unanswered = open.Stats().Unanswered
	}
	state, reasons := v.Overall(health.Signs{
		MissedPongs: unanswered, Up: s.Public() == lifecycle.Running || s.Public() == lifecycle.Reconnecting,
		Suppressed: hasCondition(s, string(lifecycle.SymptomChannelsSuppressed)),
	})
	out := &control.GatewayHealth{
		State: string(state), Reasons: reasons, ReadySince: control.At(v.ReadySince),
		Core: control.Core{
			Process: "none", Transport: "disconnected", Router: string(v.Router), ProbedAt: control.At(v.ProbedAt), ProbeError: string(v.ProbeError),
		},
		Capabilities: map[string]control.Capability{},
		Diagnostics: control.Diagnostics{
			LastAliveAt: control.At(frames.LastFrameAt), LastCallOkAt: control.At(v.LastCallOK), LastCallFailedAt: control.At(v.LastCallFailed),
			LastCallFailedMethod: v.LastFailedMethod, ConsecutiveCallFailures: v.ConsecutiveFailures,
			LastMissedPongAt: control.At(frames.LastMissAt), MissedPongs: unanswered,
			LastCloseAt: control.At(v.LastClose), LastCloseCode: v.LastCloseCode,
		},
	}
	switch {
	case s.Attached:
		out.Core.Process = "attached"
	case s.Process.PID != 0:
		out.Core.Process = "running"
	}
	if v.Connected {
		out.Core.Transport = "connected"
	}
	if v.ProbeTook > 0 {
		out.Core.ProbeMs = control.Ms(v.ProbeTook)
	}
	for name, c := range v.Capabilities {
		one := control.Capability{State: string(c.State), At: control.At(c.At), Error: string(c.Error)}
		if c.Duration > 0 {
			one.Ms = control.Ms(c.Duration)
		}
		out.Capabilities[name] = one
	}
	return out
}

// Health asks a gateway for its health now (B281).
func (a api) Health(ctx context.Context, name string, probe bool) (control.HealthCheck, error) {
	g, err := a.find(name)
	if err != nil {
		return control.HealthCheck{}, err
	}
	began := time.Now()
	ok := g.health.Check(ctx, probe)
	if err := context.Cause(ctx); err != nil {
		return control.HealthCheck{}, err
	}
	s := g.engine.Snapshot().State
	return control.HealthCheck{OK: ok, Ready: g.ready(s), TookMs: time.Since(began).Milliseconds(), Health: g.healthStatus(s)}, nil
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
