package classifier_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

var rules = wiretest.Rules{
	"plugin.GatewayFacts.Port": func(t *rapid.T) any { return rapid.IntRange(1, 65535).Draw(t, "port") },
	"plugin.Stream":            func(t *rapid.T) any { return rapid.IntRange(1, 2).Draw(t, "stream") },
	"plugin.Symptom":           func(t *rapid.T) any { return rapid.IntRange(0, 11).Draw(t, "symptom") },
	"classifier.Level":         func(t *rapid.T) any { return rapid.IntRange(1, 5).Draw(t, "level") },
}

func dial(t *testing.T, impl classifier.Classifier) classifier.Classifier {
	t.Helper()
	return classifier.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { classifier.RegisterServer(s, impl) }))
}

type recorder struct {
	*classifier.Fake
	opened []any
}

func (r *recorder) Open(ctx context.Context, gw plugin.GatewayFacts, launchID string) (classifier.Stream, error) {
	r.opened = append(r.opened, gw, launchID)
	return r.Fake.Open(ctx, gw, launchID)
}

func TestEveryFieldSurvivesTheRoundTripInOrder(t *testing.T) {
	rec := &recorder{Fake: &classifier.Fake{}}
	verdicts := map[uint64]classifier.Verdict{}
	rec.Judge = func(l classifier.NumberedLine) classifier.Verdict { return verdicts[l.Seq] }
	c := dial(t, rec)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		gw := wiretest.Draw[plugin.GatewayFacts](t, rules)
		s, err := c.Open(ctx, gw, "launch")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		seq := uint64(0)
		for range 3 {
			before := len(rec.Seen())
			lines := wiretest.Draw[[]classifier.NumberedLine](t, rules)
			var want []classifier.Verdict
			for i := range lines {
				seq++
				lines[i].Seq = seq
				v := wiretest.Draw[classifier.Verdict](t, rules)
				v.Seq = seq
				verdicts[seq] = v
				want = append(want, v)
			}
			got, err := s.Classify(ctx, lines)
			if err != nil {
				t.Fatal(err)
			}
			wiretest.Same(t, "the verdicts", got, want)
			wiretest.Same(t, "the lines", rec.Seen()[before:], lines)
		}
		wiretest.Same(t, "the opening", rec.opened[len(rec.opened)-2:], []any{gw, "launch"})
	})
}

func TestSlowClassifierIsGivenUpAtTheDeadlineAndTheStreamIsCut(t *testing.T) {
	f := &classifier.Fake{Blocks: make(chan struct{})}
	s, err := dial(t, f).Open(t.Context(), plugin.GatewayFacts{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Classify(ctx, lines(1, 2)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	if _, err := s.Classify(t.Context(), lines(1, 2)); err == nil {
		t.Error("a cut stream answered")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailedBatchKeepsItsErrorAndANewStreamGoesOn(t *testing.T) {
	f := &classifier.Fake{FailAt: 2}
	c := dial(t, f)
	s, err := c.Open(t.Context(), plugin.GatewayFacts{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Classify(t.Context(), lines(1, 2, 3)); err == nil {
		t.Fatal("no error")
	}
	_ = s.Close()
	if s, err = c.Open(t.Context(), plugin.GatewayFacts{}, "x"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Classify(t.Context(), lines(1, 2, 3)); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

func lines(seqs ...uint64) []classifier.NumberedLine {
	var out []classifier.NumberedLine
	for _, s := range seqs {
		out = append(out, classifier.NumberedLine{Seq: s, Line: plugin.Line{
			Cursor: s, Stream: plugin.Stderr,
			Text: fmt.Sprint("line ", s),
		}})
	}
	return out
}

type liar struct {
	pb.UnimplementedClassifierServiceServer
	answers []*pb.Verdict
}

func (l *liar) Classify(s grpc.BidiStreamingServer[pb.ClassifyRequest, pb.ClassifyResponse]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	return s.Send(&pb.ClassifyResponse{Verdicts: l.answers}) // and that is all
}

func TestNonsenseIsRefusedInWords(t *testing.T) {
	l := &liar{}
	c := classifier.NewClient(wiretest.Dial(t,
		func(s grpc.ServiceRegistrar) { pb.RegisterClassifierServiceServer(s, l) }))
	classify := func(answers ...*pb.Verdict) ([]classifier.Verdict, error) {
		l.answers = answers
		s, err := c.Open(t.Context(), plugin.GatewayFacts{}, "x")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		return s.Classify(t.Context(), lines(1, 2))
	}
	for name, answers := range map[string][]*pb.Verdict{
		"out of turn": {{Seq: 2}, {Seq: 1}}, "twice": {{Seq: 1}, {Seq: 1}}, "too many": {{Seq: 1}, {Seq: 2}, {Seq: 3}},
	} {
		if _, err := classify(answers...); !errors.Is(err, fault.ErrInternal) ||
			!strings.Contains(err.Error(), "plugin violated the contract: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := classify(&pb.Verdict{Seq: 1}); err == nil || len(got) != 1 {
		t.Errorf("a stream that ends early: %v, %v", got, err)
	}
	inf := math.Inf(1)
	got, err := classify(
		&pb.Verdict{Seq: 1, Level: 99, Symptom: 99, Stage: &pb.Stage{Name: "x", DurationMs: math.NaN()}},
		&pb.Verdict{
			Seq: 2, Level: pb.Level_LEVEL_DROP, Stage: &pb.Stage{Name: "x", DurationMs: 1, TotalMs: &inf},
			Text: strings.Repeat("€", 1<<20),
		},
	)
	if err != nil || got[0].Level != classifier.LevelWarn || got[0].Symptom != plugin.NoSymptom ||
		got[0].Stage != nil || got[1].Stage != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if len(got[1].Text) > 64<<10 {
		t.Errorf("a text of %d bytes", len(got[1].Text))
	}
}

func TestClassifierThatForgetsALineIsAnErrorNotAWait(t *testing.T) {
	s, err := dial(t, forgetful{}).Open(t.Context(), plugin.GatewayFacts{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Classify(t.Context(), lines(1, 2)); !errors.Is(err, fault.ErrInternal) {
		t.Errorf("error = %v", err)
	}
	_ = s.Close()
}

type forgetful struct{}

func (forgetful) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return forgetful{}, nil
}

func (forgetful) Classify(_ context.Context, l []classifier.NumberedLine) ([]classifier.Verdict, error) {
	return []classifier.Verdict{{Seq: l[0].Seq}}, nil
}

func (forgetful) Close() error { return nil }
