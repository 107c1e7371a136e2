package output

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	tailLines   = 120             // for diagnosis and crash reports (B297)
	maxBatch    = 256             // lines in one batch for a classifier
	queueLines  = 2048            // between the stream and the worker; beyond that the stream waits
	deadline    = 2 * time.Second // of a batch; then its lines pass as warn
	firstPause  = 50 * time.Millisecond
	classifyGap = 5 * time.Second // how long a classifier that failed is not asked
	maxRepeats  = 4096            // texts whose repeats are counted
	maxRules    = 64              // rules whose dropped lines are counted separately
	repeatEvery = 50              // every so many repeats one line says so (B300)
)

// Named is a classifier of the chain.
type Named struct {
	Name       string
	Classifier classifier.Classifier
}

// Options of a pipeline. Its one worker goroutine calls all callbacks, in the order of the lines.
type Options struct {
	Gateway     plugin.GatewayFacts
	LaunchID    string
	Cursor      uint64 // an earlier host has processed the lines up to here
	Lines       uint64 // number of lines of the launch up to Cursor; 0 with a Cursor: unknown
	Classifiers []Named
	Redactor    *redact.Redactor
	Log         hclog.Logger
	OnLine      func(Classified)
	OnGap       func(Gap) // output that was lost before it could be read, in its place among the lines
	OnSymptom   func(plugin.Symptom, plugin.Line)
	OnActivity  func()
}

// Classified is a line and its meaning. Its text is redacted.
type Classified struct {
	plugin.Line
	Number  uint64 // the number of the line in the launch, of both streams together; 0: unknown, or the line has no end
	Level   classifier.Level
	Shown   string // text to show; the line's own, or the classifier's words
	RuleID  string
	Symptom plugin.Symptom
	Tags    []string
	Stage   *classifier.Stage
	By      string  // the classifier that claimed the line first, and decided; "" when none did
	Also    []Claim // of the other classifiers that claimed it, in the order of the chain
	Repeats int     // how often this text came before; every 50th is shown
	Hidden  bool    // a repeat, or level drop: stored, not shown
}

// Claim is what a classifier says about a line that another one decided.
type Claim struct {
	Plugin  string
	Level   classifier.Level
	RuleID  string
	Symptom plugin.Symptom
}

// Gap is output that was lost.
type Gap struct {
	launcher.Gap
	Lines uint64 // how many lines; 0 when that is unknown
	Line  uint64 // number of lines of the launch up to its end; 0: unknown
}

// Stats count lines; Read = Classified + Unclassified once the queue is empty.
type Stats struct {
	Read, Classified, Unclassified uint64
	Dropped                        uint64            // by a rule, of Classified
	DroppedBy                      map[string]uint64 // the same by rule (B295); the first 64 rules
	Repeated                       uint64
	Truncated                      uint64
	Levels                         Levels
	Gaps, GapBytes, GapLines       uint64
}

// Levels counts lines by stream and level, both as their numbers. Lines of an unknown stream or level count as the
// zero one.
type Levels [plugin.Stderr + 1][classifier.LevelError + 1]uint64

func (l *Levels) count(s plugin.Stream, level classifier.Level) {
	if s < 0 || int(s) >= len(l) {
		s = 0
	}
	if level < 0 || int(level) >= len(l[0]) {
		level = 0
	}
	l[s][level]++
}

// Plus returns the sum of both.
func (l Levels) Plus(other Levels) Levels {
	for s := range l {
		for level := range l[s] {
			l[s][level] += other[s][level]
		}
	}
	return l
}

// Pipeline processes the output of one launch. Feed is called by one goroutine; everything else is safe for
// concurrent use.
type Pipeline struct {
	o      Options
	queue  chan entry
	cancel context.CancelFunc
	done   chan struct{}
	chain  []*link                         // of the worker
	lines  [plugin.Stderr + 1]redact.Lines // of Feed, by stream
	wanted atomic.Pointer[[]Named]         // the chain that replaces it with the next batch; nil: it stays

	mu       sync.Mutex    // guards all fields below
	tail     []plugin.Line // a ring once it is full
	oldest   int           // in tail
	symptoms []plugin.Symptom
	stats    Stats
	cursor   uint64
	seq      uint64
	line     uint64         // number of lines of the launch up to cursor
	counted  bool           // line is known
	repeats  map[uint64]int // by hash: counting must not keep the text of long lines
	seed     maphash.Seed
}

// entry is a line, a gap, or a mark in the queue that is closed when everything before it was processed.
type entry struct {
	line   plugin.Line
	number uint64 // of the line in its launch; 0: unknown
	gap    *Gap
	mark   chan struct{}
}

// New starts a pipeline; Close ends it.
func New(o Options) *Pipeline {
	ctx, cancel := context.WithCancel(context.Background())
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.OnLine == nil {
		o.OnLine = func(Classified) {}
	}
	if o.OnGap == nil {
		o.OnGap = func(Gap) {}
	}
	if o.OnSymptom == nil {
		o.OnSymptom = func(plugin.Symptom, plugin.Line) {}
	}
	if o.OnActivity == nil {
		o.OnActivity = func() {}
	}
	p := &Pipeline{
		o: o, queue: make(chan entry, queueLines), cancel: cancel, done: make(chan struct{}), cursor: o.Cursor,
		line: o.Lines, counted: o.Lines > 0 || o.Cursor == 0, repeats: map[uint64]int{}, seed: maphash.MakeSeed(),
	}
	for _, n := range o.Classifiers {
		p.chain = append(p.chain, &link{named: n})
	}
	go p.work(ctx)
	return p
}

// Close ends the worker; lines still queued are dropped.
func (p *Pipeline) Close() {
	p.cancel()
	<-p.done
}

// SetChain replaces the chain, from the next batch of lines on.
func (p *Pipeline) SetChain(chain []Named) {
	chain = slices.Clone(chain)
	p.wanted.Store(&chain)
}

// Feed takes the next item of a launch's output. It waits when the worker is far behind.
func (p *Pipeline) Feed(ctx context.Context, item launcher.OutputItem) error {
	switch item := item.(type) {
	case *launcher.LineBatch:
		for _, l := range item.Lines {
			// Only lines that are in the queue count as read: the rest of a batch that was cut off comes again,
			// from Cursor.
			l.Text = p.lines[min(max(l.Stream, 0), plugin.Stderr)].Line(p.o.Redactor, l.Text)
			if err := p.put(ctx, entry{line: l, number: p.number(l)}); err != nil {
				return err
			}
			p.accept(l)
		}
	case *launcher.Gap:
		lost := p.lost(item)
		if err := p.put(ctx, entry{gap: &Gap{Gap: *item, Lines: lost, Line: item.ToLine}}); err != nil {
			return err
		}
		p.mu.Lock()
		if item.ToLine > 0 {
			p.line, p.counted = item.ToLine, true
		}
		p.stats.Gaps++
		p.stats.GapBytes += item.Bytes
		p.stats.GapLines += lost
		p.cursor = max(p.cursor, item.To)
		p.mu.Unlock()
	case *launcher.Heartbeat, *launcher.End:
	}
	return nil
}

// number returns the number of the next line of the launch; 0 when it is unknown.
func (p *Pipeline) number(l plugin.Line) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.counted || l.Partial {
		return 0
	}
	return p.line + 1
}

// lost returns how many lines of a gap were not read before; 0 when that is unknown.
func (p *Pipeline) lost(g *launcher.Gap) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.counted || g.ToLine < p.line {
		return 0
	}
	return g.ToLine - p.line
}

// accept counts a line and adds it to the tail at once: a crash report must not wait for a classifier.
func (p *Pipeline) accept(l plugin.Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = max(p.cursor, l.Cursor)
	if !l.Partial {
		p.line++
	}
	p.stats.Read++
	if l.Truncated {
		p.stats.Truncated++
	}
	if len(p.tail) < tailLines {
		p.tail = append(p.tail, l)
	} else {
		p.tail[p.oldest] = l
		p.oldest = (p.oldest + 1) % tailLines
	}
}

func (p *Pipeline) put(ctx context.Context, e entry) error {
	select {
	case p.queue <- e:
		return nil
	case <-p.done:
		return context.Canceled
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Drained waits until everything that was fed is processed, or ctx is done.
func (p *Pipeline) Drained(ctx context.Context) {
	mark := make(chan struct{})
	if p.put(ctx, entry{mark: mark}) != nil {
		return
	}
	select {
	case <-mark:
	case <-p.done:
	case <-ctx.Done():
	}
}

// Cursor returns where to continue reading the output.
func (p *Pipeline) Cursor() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cursor
}

// Tail returns the last n lines, at most 120, oldest first, redacted.
func (p *Pipeline) Tail(n int) []plugin.Line {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Concat(p.tail[p.oldest:], p.tail[:p.oldest])
	return all[max(0, len(all)-max(n, 0)):]
}

// Symptoms returns what the lines showed, each symptom once, in order.
func (p *Pipeline) Symptoms() []plugin.Symptom {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]plugin.Symptom(nil), p.symptoms...)
}

// Stats returns the counts so far.
func (p *Pipeline) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.stats
	out.DroppedBy = maps.Clone(p.stats.DroppedBy)
	return out
}

// work takes what is there, up to a batch: the first line of an idle stream is processed at once, a flood in large
// batches.
func (p *Pipeline) work(ctx context.Context) {
	defer close(p.done)
	defer func() {
		for _, l := range p.chain {
			l.close()
		}
	}()
	for {
		var first entry
		select {
		case first = <-p.queue:
		case <-ctx.Done():
			return
		}
		batch, numbers, gap, marks := p.collect(first)
		if len(batch) > 0 {
			p.o.OnActivity()
			p.judge(ctx, batch, numbers)
		}
		if gap != nil {
			p.o.OnGap(*gap)
		}
		for _, m := range marks {
			close(m)
		}
	}
}

// collect takes lines up to a gap, and the gap.
func (p *Pipeline) collect(first entry) (batch []classifier.NumberedLine, numbers []uint64, gap *Gap,
	marks []chan struct{},
) {
	take := func(e entry) {
		switch {
		case e.mark != nil:
			marks = append(marks, e.mark)
			return
		case e.gap != nil:
			gap = e.gap
			return
		}
		p.seq++ // only the worker counts
		batch, numbers = append(batch, classifier.NumberedLine{Seq: p.seq, Line: e.line}), append(numbers, e.number)
	}
	take(first)
	for len(batch) < maxBatch && gap == nil {
		select {
		case e := <-p.queue:
			take(e)
		default:
			return batch, numbers, gap, marks
		}
	}
	return batch, numbers, gap, marks
}
