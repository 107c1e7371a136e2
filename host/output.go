package host

import (
	"encoding/json"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/output"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/plugin"
)

// outputs opens the line pipeline of a launch.
type outputs struct{ g *gateway }

func (o outputs) Open(id lifecycle.LaunchID, told engine.OutputEvents) engine.Output {
	launch := string(id)
	cursor, line := o.g.host.journal.Output(launch)
	if c, n := o.g.lines.place(launch); c > cursor { // the journal may not have all of it yet
		cursor, line = c, n
	}
	p := output.New(output.Options{
		Gateway: o.g.facts(), LaunchID: launch, Classifiers: o.g.classifiers(), Redactor: o.g.redactor(), Log: o.g.log,
		Cursor: cursor, Lines: line,
		OnLine:    func(c output.Classified) { o.g.line(launch, c) },
		OnGap:     func(gap output.Gap) { o.g.gap(launch, gap) },
		OnSymptom: told.Symptom, OnActivity: told.Activity,
	})
	o.g.lines.opened(p)
	p.SetChain(o.g.classifiers()) // a reload may not have seen this one yet
	o.remember(launch, told)
	return &countedOutput{Pipeline: p, lines: &o.g.lines}
}

// classifiers are the chain, in order of the configuration.
func (g *gateway) classifiers() []output.Named {
	var chain []output.Named
	for _, name := range g.conf().Classifiers {
		chain = append(chain, output.Named{Name: name, Classifier: g.host.plugins.Classifier(name)})
	}
	return chain
}

// lasting are the symptoms that stay true as long as the process lives.
var lasting = []plugin.Symptom{plugin.SymptomChannelsSuppressed}

// remember tells what lines have shown that are not read again: an earlier host has read them.
func (o outputs) remember(launch string, told engine.OutputEvents) {
	showed := o.g.host.journal.Showed(launch)
	for _, s := range lasting {
		if text, ok := showed[s.String()]; ok {
			told.Symptom(s, plugin.Line{Text: text})
		}
	}
}

// countedOutput leaves its counts to the gateway when it ends.
type countedOutput struct {
	*output.Pipeline
	lines *lineCounts
}

func (c *countedOutput) Close() {
	c.Pipeline.Close()
	c.lines.closed(c.Pipeline)
}

// lineCounts adds up the output of a gateway over its launches, and knows the place in the newest.
type lineCounts struct {
	mu     sync.Mutex // guards all below
	past   output.Stats
	open   []*output.Pipeline
	launch string
	cursor uint64 // everything up to here was published
	line   uint64 // and so many lines ended up to there
}

func (l *lineCounts) opened(p *output.Pipeline) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, p)
}

// each calls back with every pipeline that is open.
func (l *lineCounts) each(f func(*output.Pipeline)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.open {
		f(p)
	}
}

func (l *lineCounts) closed(p *output.Pipeline) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, q := range l.open {
		if p == q {
			l.open = append(l.open[:i], l.open[i+1:]...)
			l.past = sum(l.past, p.Stats())
			return
		}
	}
}

func (l *lineCounts) published(launch string, cursor, line uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.launch, l.cursor, l.line = launch, cursor, line
}

// place is where a launch's output goes on that this host has read before, and how many lines ended up to there.
func (l *lineCounts) place(launch string) (cursor, line uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.launch != launch {
		return 0, 0
	}
	return l.cursor, l.line
}

func (l *lineCounts) total() output.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.past
	for _, p := range l.open {
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

// outputStatus is the counts in the API's words; nil before there was any output.
func (g *gateway) outputStatus() *control.Output {
	got := g.lines.total()
	if got.Read == 0 && got.Gaps == 0 {
		return nil
	}
	stats := g.host.journal.Stats()
	return &control.Output{
		Read: got.Read, Classified: got.Classified, Unclassified: got.Unclassified,
		Stored: stats.Stored[g.name], Dropped: stats.Dropped[g.name] + g.host.hub.Unstored()[g.name],
		LostLines: got.GapLines, LostBytes: got.GapBytes, Gaps: got.Gaps, Repeated: got.Repeated, HiddenBy: got.DroppedBy,
	}
}

// line is one classified line of output, redacted.
func (g *gateway) line(launch string, c output.Classified) {
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
	g.watch.publish(events.GatewayOutput, outputLine{out})
	g.lines.published(launch, c.Cursor, c.Number)
	if c.Stage != nil {
		g.stage(launch, *c.Stage)
	}
	if c.Symptom == plugin.SymptomTokenMismatch {
		g.refused.take(launch, c.Time)
	}
	if !c.Hidden && (c.Level >= classifier.LevelWarn || c.Stream == plugin.Stderr) { // B298; what a gateway tells of its work is in the journal
		g.log.Log(hclogLevel(c.Level), "[Gateway "+c.Stream.String()+"] "+c.Shown, "rule", c.RuleID, "plugin", c.By)
	}
}

// gap is output that was overwritten before anybody could read it.
func (g *gateway) gap(launch string, gap output.Gap) {
	g.log.Warn("output of the gateway was lost: it came faster than it could be read", "lines", gap.Lines, "bytes", gap.Bytes)
	g.watch.publish(events.GatewayOutput, outputLine{control.LogLine{
		Cursor: gap.To, LaunchID: launch, LostBytes: gap.Bytes, LostLines: gap.Lines, Line: gap.Line,
	}})
	g.lines.published(launch, gap.To, gap.Line)
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

// outputLine is the data of a gateway.output event; it is encoded only when somebody reads it.
type outputLine struct{ control.LogLine }

// EventSize implements events.Sized.
func (l outputLine) EventSize() int { return len(l.Text) + 256 + 128*len(l.Also) }

// OutputPlace implements events.Line. A gap has no line, but it moves the place.
func (l outputLine) OutputPlace() (string, uint64, uint64) { return l.LaunchID, l.Cursor, l.Line }

// Showed implements events.Line.
func (l outputLine) Showed() (symptom, text string) { return l.Symptom, l.Text }

// IsGap implements events.Line.
func (l outputLine) IsGap() bool { return l.LostBytes > 0 }

// logLineOf is the line of an event, fresh or read from the journal.
func logLineOf(e events.Event) (control.LogLine, bool) {
	if e.Type != events.GatewayOutput {
		return control.LogLine{}, false
	}
	switch data := e.Data.(type) {
	case outputLine:
		return data.LogLine, true
	case json.RawMessage:
		var l control.LogLine
		return l, json.Unmarshal(data, &l) == nil
	default:
		return control.LogLine{}, false
	}
}
