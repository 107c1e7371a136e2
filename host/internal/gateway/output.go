package gateway

import (
	"maps"
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

// outputs opens the line pipeline of a launch.
type outputs struct {
	core  *core
	lines *lineTotals
}

func (o outputs) Open(id lifecycle.LaunchID, told engine.OutputEvents) engine.Output {
	launch := string(id)
	cursor, line := o.core.env.Journal.Output(launch)
	if c, n := o.lines.place(launch); c > cursor { // the journal may not have all of it yet
		cursor, line = c, n
	}
	r := &reader{outputs: o, launch: id, see: told.See}
	p := output.New(output.Options{
		Gateway: o.core.facts(), LaunchID: launch, Classifiers: o.core.classifiers(), Redactor: o.core.redactor(), Log: o.core.log,
		Cursor: cursor, Lines: line,
		OnLine:    r.line,
		OnGap:     func(gap output.Gap) { o.gap(launch, gap) },
		OnSymptom: told.Symptom, OnActivity: told.Activity,
	})
	o.lines.opened(p)
	p.SetChain(o.core.classifiers()) // a reload may not have seen this one yet
	o.remember(launch, told)
	return &countedOutput{Pipeline: p, lines: o.lines}
}

// reader takes the lines of one launch; the pipeline's worker alone uses it.
type reader struct {
	outputs

	launch lifecycle.LaunchID
	see    func(observe.Sight)

	refused   int       // clients since the last sight of them
	refusedAt time.Time // of the last sight, by the monotonic clock
}

// refusedEvery is between two sights of refused clients: a program that asks in a loop must not fill the engine's inbox.
const refusedEvery = time.Second

// clientRefused hands on that the gateway refused a client for its token, at the time of the line that says so.
func (o *reader) clientRefused(at time.Time) {
	o.refused++
	if now := time.Now(); o.refusedAt.IsZero() || now.Sub(o.refusedAt) >= refusedEvery {
		o.see(observe.ClientRefused{Launch: o.launch, At: at, Number: o.refused})
		o.refused, o.refusedAt = 0, now
	}
}

// classifiers are the chain, in order of the configuration.
func (c *core) classifiers() []output.Named {
	var chain []output.Named
	for _, name := range c.conf().Classifiers {
		chain = append(chain, output.Named{Name: name, Classifier: c.env.Plugins.Classifier(name)})
	}
	return chain
}

// lasting are the symptoms that stay true as long as the process lives.
var lasting = []plugin.Symptom{plugin.SymptomChannelsSuppressed}

// remember tells what lines have shown that are not read again: an earlier host has read them.
func (o outputs) remember(launch string, told engine.OutputEvents) {
	showed := o.core.env.Journal.Showed(launch)
	for _, s := range lasting {
		if text, ok := showed[s.String()]; ok {
			told.Symptom(s, plugin.Line{Text: text})
		}
	}
}

// countedOutput leaves its counts to the gateway when it ends.
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
	mu     sync.Mutex // guards all below: pipelines publish from workers of their own, and the status adds up
	past   output.Stats
	open   []*output.Pipeline
	launch string
	cursor uint64 // everything up to here was published
	line   uint64 // and so many lines ended up to there
}

func (t *lineTotals) opened(p *output.Pipeline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, p)
}

// each calls back with every pipeline that is open.
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

// place is where a launch's output goes on that this host has read before, and how many lines ended up to there.
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

// line is one classified line of output, redacted.
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
		o.see(observe.StageTold{Launch: o.launch, Stage: *c.Stage})
	}
	if c.Symptom == plugin.SymptomTokenMismatch {
		o.clientRefused(c.Time)
	}
	if !c.Hidden && (c.Level >= classifier.LevelWarn || c.Stream == plugin.Stderr) { // B298; what a gateway tells of its work is in the journal
		o.core.log.Log(hclogLevel(c.Level), "[Gateway "+c.Stream.String()+"] "+c.Shown, "rule", c.RuleID, "plugin", c.By)
	}
}

// gap is output that was overwritten before anybody could read it.
func (o outputs) gap(launch string, gap output.Gap) {
	o.core.log.Warn("output of the gateway was lost: it came faster than it could be read", "lines", gap.Lines, "bytes", gap.Bytes)
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

// OutputLine is the data of a gateway.output event; it is encoded only when somebody reads it.
type OutputLine struct{ control.LogLine }

// EventSize implements events.Sized.
func (l OutputLine) EventSize() int { return len(l.Text) + 256 + 128*len(l.Also) }

// OutputPlace implements events.Line. A gap has no line, but it moves the place.
func (l OutputLine) OutputPlace() (string, uint64, uint64) { return l.LaunchID, l.Cursor, l.Line }

// Showed implements events.Line.
func (l OutputLine) Showed() (symptom, text string) { return l.Symptom, l.Text }

// IsGap implements events.Line.
func (l OutputLine) IsGap() bool { return l.LostBytes > 0 }

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
