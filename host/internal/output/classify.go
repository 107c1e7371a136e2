package output

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/plugin"
)

// link is one classifier of the chain and its stream; used by the worker, and by one goroutine that it waits for.
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

// judge asks the whole chain at the same time and delivers the lines: a slow classifier delays them no longer than
// its own deadline, and the claims of all classifiers are known.
func (p *Pipeline) judge(ctx context.Context, batch []classifier.NumberedLine, numbers []uint64) {
	p.renew()
	answers := make([][]classifier.Verdict, len(p.chain))
	if len(p.chain) == 1 {
		answers[0] = p.ask(ctx, p.chain[0], batch)
	} else {
		var asked sync.WaitGroup
		for k, l := range p.chain {
			asked.Go(func() { answers[k] = p.ask(ctx, l, batch) })
		}
		asked.Wait()
	}
	for i, line := range batch {
		p.deliver(line.Line, numbers[i], p.decide(answers, i))
	}
}

// decision is what a chain says about a line.
type decision struct {
	by      string              // who decided; "" when no classifier claimed the line
	verdict *classifier.Verdict // nil: no classifier answered
	also    []Claim
}

// decide takes the verdict of the first classifier of the chain that claims the line by a rule, a symptom or a
// stage; it decides everything, including the symptom. Without a claim the first answer decides the level.
func (p *Pipeline) decide(answers [][]classifier.Verdict, i int) decision {
	var d decision
	for k, got := range answers {
		if i >= len(got) {
			continue
		}
		v, name := &got[i], p.chain[k].named.Name
		switch {
		case claims(*v) && d.by == "":
			d.by, d.verdict = name, v
		case claims(*v):
			d.also = append(d.also,
				Claim{Plugin: name, Level: v.Level, RuleID: p.o.Redactor.Line(v.RuleID), Symptom: v.Symptom})
		case d.verdict == nil:
			d.verdict = v
		}
	}
	return d
}

// renew takes the chain that was set last. A classifier that stays in the chain keeps its stream.
func (p *Pipeline) renew() {
	wanted := p.wanted.Swap(nil)
	if wanted == nil {
		return
	}
	var chain []*link
	for _, n := range *wanted {
		i := slices.IndexFunc(p.chain, func(l *link) bool { return l.named.Name == n.Name })
		if i < 0 {
			chain = append(chain, &link{named: n})
			continue
		}
		chain = append(chain, p.chain[i])
	}
	for _, l := range p.chain {
		if !slices.Contains(chain, l) {
			l.close()
		}
	}
	p.chain = chain
}

func claims(v classifier.Verdict) bool {
	return v.RuleID != "" || v.Symptom != plugin.NoSymptom || v.Stage != nil
}

// ask sends one batch to a classifier within its deadline. When the stream breaks it opens a new one, with the
// lines that had no verdict yet: a plugin that died is usually back within the deadline, and the lines of a failing
// start are worth that wait. It returns the verdicts of the first lines, as many as there were.
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

// try checks the answers: a verdict for each line, in order, and no more.
func (p *Pipeline) try(ctx context.Context, l *link, lines []classifier.NumberedLine) (
	good []classifier.Verdict, err error,
) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bug: classifier panicked: %v", r)
		}
	}()
	if l.stream == nil {
		// The stream outlives the batch: its context is that of the worker, which Close ends.
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

// deliver hands one line to OnLine.
func (p *Pipeline) deliver(l plugin.Line, number uint64, d decision) {
	c := Classified{Line: l, Number: number, Level: classifier.LevelWarn, Shown: l.Text, By: d.by, Also: d.also}
	v := d.verdict
	if v != nil {
		c.Level, c.Symptom, c.RuleID = v.Level, v.Symptom, p.o.Redactor.Line(v.RuleID)
		for _, tag := range v.Tags {
			c.Tags = append(c.Tags, p.o.Redactor.Line(tag))
		}
		if v.Stage != nil {
			stage := *v.Stage
			stage.Name = p.o.Redactor.Line(stage.Name)
			c.Stage = &stage
		}
		if v.Text != "" {
			c.Shown = p.o.Redactor.Line(v.Text)
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
		p.dropped(c.RuleID)
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

// repeat shows identical lines once, and every 50th time at debug with their number (B300). The table is bounded:
// when it is full, new texts are shown each time.
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
