package output

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// link is one classifier of the chain and its stream; used by the worker only.
type link struct {
	named  Named
	stream classifier.Stream
	silent time.Time // not asked before then
}

func (l *link) close() {
	if l.stream != nil {
		_ = l.stream.Close()
		l.stream = nil
	}
}

// judge asks the chain and hands the lines on. The first classifier that claims a line decides it: by a rule, a symptom or a stage.
func (p *Pipeline) judge(ctx context.Context, batch []classifier.NumberedLine, numbers []uint64) {
	verdicts := make([]*classifier.Verdict, len(batch))
	open := batch // lines that nobody has claimed
	for _, l := range p.chain {
		if len(open) == 0 {
			break
		}
		got := p.ask(ctx, l, open)
		var rest []classifier.NumberedLine
		for i, line := range open {
			at := int(line.Seq - batch[0].Seq) //nolint:gosec // within a batch
			if i < len(got) {
				verdicts[at] = &got[i]
				if claims(got[i]) {
					continue
				}
			}
			rest = append(rest, line)
		}
		open = rest
	}
	for i, line := range batch {
		p.deliver(line.Line, numbers[i], verdicts[i])
	}
}

func claims(v classifier.Verdict) bool {
	return v.RuleID != "" || v.Symptom != plugin.NoSymptom || v.Stage != nil
}

// ask puts one batch to a classifier: within its deadline, on a new stream whenever the old one broke, with the lines that had no
// verdict yet. A plugin that died is usually back within the deadline, and the lines of a failing start are worth that
// wait. What comes back is the verdicts of the first lines, as many as there were.
func (p *Pipeline) ask(ctx context.Context, l *link, lines []classifier.NumberedLine) []classifier.Verdict {
	if time.Now().Before(l.silent) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var all []classifier.Verdict
	for pause := firstPause; ; pause *= 2 {
		got, err := p.try(ctx, l, lines[len(all):])
		all = append(all, got...)
		if err == nil {
			return all
		}
		l.close()
		if ctx.Err() != nil || len(all) == len(lines) {
			break
		}
		p.o.Log.Debug("classifier stream broke", "plugin", l.named.Name, "error", err)
		if len(got) == 0 { // no progress
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
	l.silent = time.Now().Add(classifyGap)
	p.o.Log.Warn("classifier does not answer; lines pass as warn", "plugin", l.named.Name, "for", classifyGap)
	return all
}

// try checks what it is told: a verdict for each line, in order, and no more.
func (p *Pipeline) try(ctx context.Context, l *link, lines []classifier.NumberedLine) (good []classifier.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bug: classifier panicked: %v", r)
		}
	}()
	if l.stream == nil {
		// The stream outlives the batch: its context is the worker's, by way of Close.
		if l.stream, err = l.named.Classifier.Open(context.WithoutCancel(ctx), p.o.Gateway, p.o.LaunchID); err != nil {
			l.stream = nil
			return nil, err
		}
	}
	got, err := l.stream.Classify(ctx, lines)
	for i, v := range got {
		if i >= len(lines) || v.Seq != lines[i].Seq {
			return got[:i], fmt.Errorf("a verdict about line %d that was not its turn", v.Seq)
		}
	}
	if err == nil && len(got) < len(lines) {
		err = fmt.Errorf("%d verdicts for %d lines", len(got), len(lines))
	}
	return got, err
}

// deliver hands one line on.
func (p *Pipeline) deliver(l plugin.Line, number uint64, v *classifier.Verdict) {
	c := Classified{Line: l, Number: number, Level: classifier.LevelWarn, Shown: l.Text}
	if v != nil {
		c.Level, c.RuleID, c.Symptom, c.Tags, c.Stage = v.Level, v.RuleID, v.Symptom, v.Tags, v.Stage
		if v.Text != "" {
			c.Shown = p.o.Redactor.Text(v.Text)
		}
	}
	fresh := p.book(&c, v != nil)
	p.o.OnLine(c)
	if fresh {
		p.o.OnSymptom(c.Symptom, l)
	}
}

// book counts a line and reports whether its symptom is new.
func (p *Pipeline) book(c *Classified, classified bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if classified {
		p.stats.Classified++
	} else {
		p.stats.Unclassified++
	}
	p.stats.Levels.count(c.Stream, c.Level)
	if c.Level == classifier.LevelDrop {
		p.stats.Dropped++
		p.dropped(p.o.Redactor.Text(c.RuleID))
		c.Hidden = true
	}
	p.repeat(c)
	if c.Symptom == plugin.NoSymptom || slices.Contains(p.symptoms, c.Symptom) {
		return false
	}
	p.symptoms = append(p.symptoms, c.Symptom)
	return true
}

func (p *Pipeline) dropped(rule string) {
	if p.stats.DroppedBy == nil {
		p.stats.DroppedBy = map[string]uint64{}
	}
	if _, known := p.stats.DroppedBy[rule]; known || len(p.stats.DroppedBy) < maxRules {
		p.stats.DroppedBy[rule]++
	}
}

// repeat shows identical lines once, and every 50th time at debug with their number (B300). The table is bounded: when it is full,
// new texts are shown each time.
func (p *Pipeline) repeat(c *Classified) {
	key := maphash.String(p.seed, c.Text)
	n, known := p.repeats[key]
	if !known && len(p.repeats) >= maxRepeats {
		return
	}
	p.repeats[key] = n + 1
	if n == 0 {
		return
	}
	p.stats.Repeated++
	c.Repeats = n
	if n%repeatEvery != 0 {
		c.Hidden = true
		return
	}
	c.Level = classifier.LevelDebug
	c.Shown = fmt.Sprintf("%s (suppressed %d repeats)", c.Shown, repeatEvery-1)
}
