package classifier

import (
	"context"
	"slices"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Fake is a Classifier for tests. The zero value calls every line info; the exported fields are knobs, to be set before
// the first call. Safe for concurrent use, also inside a synctest bubble.
type Fake struct {
	Judge   func(NumberedLine) Verdict // Seq is filled in
	OpenErr error
	FailAt  uint64        // the batch with this Seq fails once, and its stream with it; 0: none
	Blocks  chan struct{} // Classify waits until it is closed, or ctx is done

	mu     sync.Mutex // guards all below
	seen   []NumberedLine
	opened int
	open   int
	failed bool
}

var _ Classifier = (*Fake)(nil)

// Seen are the lines so far, in order of arrival; a line that was sent again is there twice.
func (f *Fake) Seen() []NumberedLine {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// Streams says how many streams were opened, and how many are open now.
func (f *Fake) Streams() (opened, open int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened, f.open
}

// Open is part of Classifier.
func (f *Fake) Open(ctx context.Context, _ plugin.GatewayFacts, _ string) (Stream, error) {
	if f.OpenErr != nil {
		return nil, f.OpenErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	f.open++
	return &fakeStream{f: f, ctx: ctx}, nil
}

type fakeStream struct {
	f      *Fake
	ctx    context.Context //nolint:containedctx // the life of the stream, as Open's contract says
	broken bool
	once   sync.Once
}

func (s *fakeStream) Classify(ctx context.Context, lines []NumberedLine) ([]Verdict, error) {
	if s.broken {
		return nil, fault.New(fault.FailedPrecondition, "the stream is broken")
	}
	if err := s.wait(ctx); err != nil {
		s.broken = true
		return nil, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	var out []Verdict
	for _, l := range lines {
		s.f.seen = append(s.f.seen, l)
		if l.Seq == s.f.FailAt && !s.f.failed {
			s.f.failed, s.broken = true, true
			return out, fault.New(fault.PluginGone, "planted")
		}
		v := Verdict{Level: LevelInfo}
		if s.f.Judge != nil {
			v = s.f.Judge(l)
		}
		v.Seq = l.Seq
		out = append(out, v)
	}
	return out, nil
}

func (s *fakeStream) wait(ctx context.Context) error {
	if s.f.Blocks != nil {
		select {
		case <-s.f.Blocks:
		case <-ctx.Done():
		case <-s.ctx.Done():
		}
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *fakeStream) Close() error {
	s.once.Do(func() {
		s.f.mu.Lock()
		defer s.f.mu.Unlock()
		s.f.open--
	})
	return nil
}
