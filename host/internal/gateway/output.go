package gateway

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// OutputLine is the data of a gateway.output event; it is encoded only when a reader asks for it.
type OutputLine struct{ control.LogLine }

// EventSize implements events.Sized.
func (l OutputLine) EventSize() int { return len(l.Text) + 256 + 128*len(l.Also) }

// OutputPlace implements events.Line. A gap has no line, but it moves the place.
func (l OutputLine) OutputPlace() (string, uint64, uint64) { return l.LaunchID, l.Cursor, l.Line }

// Showed implements events.Line.
func (l OutputLine) Showed() (symptom, text string) { return l.Symptom, l.Text }

// IsGap implements events.Line.
func (l OutputLine) IsGap() bool { return l.LostBytes > 0 }

// outputs opens the line pipeline of a launch.
type outputs struct {
	core  *core
	lines *lineTotals
}

func (o outputs) Open(id lifecycle.LaunchID, report engine.OutputEvents) engine.Output {
	launch := string(id)
	cursor, line := o.core.env.Journal.Output(launch)
	if c, n := o.lines.place(launch); c > cursor { // the journal may not have all output yet
		cursor, line = c, n
	}
	r := &reader{outputs: o, launch: id, see: report.See}
	p := output.New(output.Options{
		Gateway: o.core.facts(), LaunchID: launch, Classifiers: o.core.classifiers(), Redactor: o.core.redactor(),
		Log: o.core.log, Cursor: cursor, Lines: line,
		OnLine:    r.line,
		OnGap:     func(gap output.Gap) { o.gap(launch, gap) },
		OnSymptom: report.Symptom, OnActivity: report.Activity,
	})
	o.lines.opened(p)
	p.SetChain(o.core.classifiers()) // a reload that ran meanwhile has not seen this pipeline
	o.remember(launch, report)
	return &countedOutput{Pipeline: p, lines: o.lines}
}

// reader takes the lines of one launch. Only the worker of the pipeline uses it.
type reader struct {
	outputs

	launch lifecycle.LaunchID
	see    func(observe.Sight)

	refused   int       // clients since the last sight of them
	refusedAt time.Time // of the last sight, by the monotonic clock
}

// refusedEvery is between two sights of refused clients: a client that tries in a loop must not fill the engine's
// inbox.
const refusedEvery = time.Second

// clientRefused reports that the gateway refused a client for its token, at the time of the line that says so.
func (o *reader) clientRefused(at time.Time) {
	o.refused++
	if now := time.Now(); o.refusedAt.IsZero() || now.Sub(o.refusedAt) >= refusedEvery {
		o.see(observe.ClientRefused{Launch: o.launch, At: at, Number: o.refused})
		o.refused, o.refusedAt = 0, now
	}
}

// classifiers returns the chain, in the order of the configuration.
func (c *core) classifiers() []output.Named {
	var chain []output.Named
	for _, name := range c.conf().Classifiers {
		chain = append(chain, output.Named{Name: name, Classifier: c.env.Plugins.Classifier(name)})
	}
	return chain
}

// lasting are the symptoms that stay true as long as the process lives.
var lasting = []plugin.Symptom{plugin.SymptomChannelsSuppressed, plugin.SymptomInstallReplaced}

// remember reports the lasting symptoms of lines that an earlier host has read: this host does not read them again.
func (o outputs) remember(launch string, report engine.OutputEvents) {
	showed := o.core.env.Journal.Showed(launch)
	for _, s := range lasting {
		if text, ok := showed[s.String()]; ok {
			report.Symptom(s, plugin.Line{Text: text})
			if s == plugin.SymptomInstallReplaced {
				report.See(observe.InstallReplaced{Launch: lifecycle.LaunchID(launch), At: time.Now()})
			}
		}
	}
}

// countedOutput adds its counts to those of the gateway when it ends.
type countedOutput struct {
	*output.Pipeline
	lines *lineTotals
}

func (c *countedOutput) Close() {
	c.Pipeline.Close()
	c.lines.closed(c.Pipeline)
}

// lineTotals adds up the output of a gateway over its launches, and knows the place in the newest.
type lineTotals struct {
	mu     sync.Mutex // guards all below: pipelines publish from their own goroutines, and the status adds up
	past   output.Stats
	open   []*output.Pipeline
	launch string
	cursor uint64 // everything up to this byte was published
	line   uint64 // how many lines ended up to the cursor
}

func (t *lineTotals) opened(p *output.Pipeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, p)
}

// each calls f with every open pipeline.
func (t *lineTotals) each(f func(*output.Pipeline)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.open {
		f(p)
	}
}

func (t *lineTotals) closed(p *output.Pipeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, q := range t.open {
		if p == q {
			t.open = append(t.open[:i], t.open[i+1:]...)
			t.past = sum(t.past, p.Stats())
			return
		}
	}
}

func (t *lineTotals) published(launch string, cursor, line uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.launch, t.cursor, t.line = launch, cursor, line
}

// place returns where a launch's output that this host has read before goes on, and how many lines ended up to there.
func (t *lineTotals) place(launch string) (cursor, line uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.launch != launch {
		return 0, 0
	}
	return t.cursor, t.line
}

func (t *lineTotals) total() output.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.past
	for _, p := range t.open {
		all = sum(all, p.Stats())
	}
	return all
}

func sum(a, b output.Stats) output.Stats {
	return output.Stats{
		Read: a.Read + b.Read, Classified: a.Classified + b.Classified, Unclassified: a.Unclassified + b.Unclassified,
		Gaps: a.Gaps + b.Gaps, GapBytes: a.GapBytes + b.GapBytes, GapLines: a.GapLines + b.GapLines,
		Dropped: a.Dropped + b.Dropped, DroppedBy: sumRules(a.DroppedBy, b.DroppedBy), Repeated: a.Repeated + b.Repeated,
		Truncated: a.Truncated + b.Truncated, Levels: a.Levels.Plus(b.Levels),
	}
}

// sumRules adds up what rules dropped; each launch reports a bounded number of them.
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

// maxRules bounds the rules of a gateway whose lines are counted one by one.
const maxRules = 128

// line publishes and logs one classified line of output, which is redacted.
func (o *reader) line(c output.Classified) {
	launch := string(o.launch)
	out := control.LogLine{
		Cursor: c.Cursor, Time: control.At(c.Time), LaunchID: launch, Stream: c.Stream.String(), Level: c.Level.String(),
		Text: c.Shown, RuleID: c.RuleID, Plugin: c.By, Tags: c.Tags, Truncated: c.Truncated, Hidden: c.Hidden,
		Line: c.Number,
	}
	if c.Symptom != 0 {
		out.Symptom = c.Symptom.String()
	}
	for _, claim := range c.Also {
		also := control.Claim{Plugin: claim.Plugin, Level: claim.Level.String(), RuleID: claim.RuleID}
		if claim.Symptom != 0 {
			also.Symptom = claim.Symptom.String()
		}
		out.Also = append(out.Also, also)
	}
	o.core.publish(events.GatewayOutput, OutputLine{out})
	o.lines.published(launch, c.Cursor, c.Number)
	if c.Stage != nil {
		o.see(observe.StageReported{Launch: o.launch, Stage: *c.Stage})
	}
	switch c.Symptom { //nolint:exhaustive // the others are the lifecycle's and the doctors'
	case plugin.SymptomTokenMismatch:
		o.clientRefused(c.Time)
	case plugin.SymptomInstallReplaced:
		o.see(observe.InstallReplaced{Launch: o.launch, At: c.Time})
	}
	if heapExhausted(c) {
		o.see(observe.HeapExhausted{Launch: o.launch, At: c.Time})
	}
	// B298; the lines about a gateway's normal work are in the journal only
	if !c.Hidden && (c.Level >= classifier.LevelWarn || c.Stream == plugin.Stderr) {
		o.core.log.Log(hclogLevel(c.Level), "[Gateway "+c.Stream.String()+"] "+c.Shown, "rule", c.RuleID, "plugin", c.By)
	}
}

// heapExhausted recognizes V8's last words, which stand before a long stack: the end of the output does not have them.
func heapExhausted(c output.Classified) bool {
	return c.Stream != plugin.Stdout && strings.HasPrefix(c.Shown, "FATAL ERROR: ") && strings.Contains(c.Shown, "heap")
}

// gap publishes and logs output that was overwritten before the host could read it.
func (o outputs) gap(launch string, gap output.Gap) {
	o.core.log.Warn("output of the gateway was lost: it came faster than it could be read", "lines", gap.Lines,
		"bytes", gap.Bytes)
	o.core.publish(events.GatewayOutput, OutputLine{control.LogLine{
		Cursor: gap.To, LaunchID: launch, LostBytes: gap.Bytes, LostLines: gap.Lines, Line: gap.Line,
	}})
	o.lines.published(launch, gap.To, gap.Line)
}

func hclogLevel(l classifier.Level) hclog.Level {
	switch l {
	case classifier.LevelError:
		return hclog.Error
	case classifier.LevelInfo:
		return hclog.Info
	case classifier.LevelDebug, classifier.LevelDrop:
		return hclog.Debug
	default:
		return hclog.Warn
	}
}
