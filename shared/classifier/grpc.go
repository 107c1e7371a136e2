package classifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// MaxBatch is the largest number of lines in one Classify.
const MaxBatch = 256

const (
	maxWord = 256
	maxTags = 16
	maxMs   = 365 * 24 * 3600 * 1000 // a year
)

// NewClient is a Classifier on the other end of a connection.
func NewClient(cc grpc.ClientConnInterface) Classifier {
	return &client{pb.NewClassifierServiceClient(cc)}
}

// RegisterServer serves an implementation.
func RegisterServer(s grpc.ServiceRegistrar, impl Classifier) {
	pb.RegisterClassifierServiceServer(s, &server{impl: impl})
}

type client struct{ rpc pb.ClassifierServiceClient }

var _ Classifier = (*client)(nil)

func (c *client) Open(ctx context.Context, gw plugin.GatewayFacts, launchID string) (Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	outcome := &fault.Outcome{}
	rpc, err := c.rpc.Classify(ctx, outcome)
	if err != nil {
		cancel()
		return nil, fault.FromStatus(err)
	}
	first := &pb.ClassifyRequest{Gateway: wire.Facts(gw), LaunchId: launchID}
	return &stream{rpc: rpc, outcome: outcome, cancel: cancel, first: first}, nil
}

type stream struct {
	rpc     grpc.BidiStreamingClient[pb.ClassifyRequest, pb.ClassifyResponse]
	outcome *fault.Outcome // of each batch
	cancel  context.CancelFunc
	once    sync.Once
	first   *pb.ClassifyRequest // sent with the first lines
}

// Classify sends one batch and reads until each of its lines has a verdict. When ctx ends first, the stream ends.
func (s *stream) Classify(ctx context.Context, lines []NumberedLine) ([]Verdict, error) {
	stop := context.AfterFunc(ctx, s.cancel) // Recv knows only the stream's context
	defer stop()
	got, err := s.exchange(lines)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	s.outcome.Tell(err)
	return got, err
}

func (s *stream) exchange(lines []NumberedLine) ([]Verdict, error) {
	req := s.first
	if req == nil {
		req = &pb.ClassifyRequest{}
	}
	s.first = nil
	for _, l := range lines {
		req.Lines = append(req.Lines, &pb.NumberedLine{Seq: l.Seq, Line: wire.Line(l.Line)})
	}
	if err := s.rpc.Send(req); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv tells the cause
		return nil, fault.FromStatus(err)
	}
	verdicts := make([]Verdict, 0, len(lines))
	for len(verdicts) < len(lines) {
		r, err := s.rpc.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fault.New(fault.PluginGone, "the classifier ended its stream")
			}
			return verdicts, fault.FromStatus(err)
		}
		for _, v := range r.GetVerdicts() {
			if len(verdicts) == len(lines) || v.GetSeq() != lines[len(verdicts)].Seq {
				return verdicts, wire.Violation("a verdict about line %d that was not its turn", v.GetSeq())
			}
			verdicts = append(verdicts, verdictFrom(v))
		}
	}
	return verdicts, nil
}

func (s *stream) Close() error {
	s.once.Do(func() {
		_ = s.rpc.CloseSend()
		s.cancel()
	})
	return nil
}

func verdictFrom(v *pb.Verdict) Verdict {
	out := Verdict{
		Seq: v.GetSeq(), Level: Level(v.GetLevel()), Text: wire.Text(v.GetText(), wire.MaxLine),
		RuleID:  wire.Text(v.GetRuleId(), maxWord),
		Symptom: wire.SymptomFrom(v.GetSymptom()), Tags: wire.Strings(v.GetTags(), maxTags, maxWord),
	}
	if out.Level < LevelDrop || out.Level > LevelError {
		out.Level = LevelWarn
	}
	if st := v.GetStage(); st != nil && measured(st.GetDurationMs()) &&
		(st.TotalMs == nil || measured(st.GetTotalMs())) {
		out.Stage = &Stage{Name: wire.Text(st.GetName(), maxWord), DurationMs: st.GetDurationMs(), TotalMs: st.TotalMs}
	}
	return out
}

// measured reports whether ms can be a duration: NaN and infinity would break every JSON that contains them.
func measured(ms float64) bool { return ms >= 0 && ms <= maxMs }

func verdictTo(v Verdict) *pb.Verdict {
	out := &pb.Verdict{
		Seq: v.Seq, Level: pb.Level(v.Level), Text: wire.Text(v.Text, wire.MaxLine), //nolint:gosec // a small enum
		RuleId:  wire.Text(v.RuleID, maxWord),
		Symptom: wire.Symptom(v.Symptom), Tags: wire.Strings(v.Tags, maxTags, maxWord),
	}
	if v.Stage != nil {
		out.Stage = &pb.Stage{
			Name: wire.Text(v.Stage.Name, maxWord), DurationMs: v.Stage.DurationMs,
			TotalMs: v.Stage.TotalMs,
		}
	}
	return out
}

type server struct {
	pb.UnimplementedClassifierServiceServer
	impl Classifier
}

func (s *server) Classify(rpc grpc.BidiStreamingServer[pb.ClassifyRequest, pb.ClassifyResponse]) error {
	var open Stream
	for {
		req, err := rpc.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if open == nil {
			if open, err = s.impl.Open(rpc.Context(), wire.FactsFrom(req.GetGateway()), req.GetLaunchId()); err != nil {
				return fault.ToStatus(err)
			}
			defer func() { _ = open.Close() }()
		}
		if len(req.GetLines()) > MaxBatch {
			return fault.ToStatus(fault.New(fault.InvalidArgument, "more than 256 lines in a batch"))
		}
		lines := make([]NumberedLine, 0, len(req.GetLines()))
		for _, l := range req.GetLines() {
			lines = append(lines, NumberedLine{Seq: l.GetSeq(), Line: wire.LineFrom(l.GetLine())})
		}
		verdicts, err := open.Classify(rpc.Context(), lines)
		if err != nil {
			return fault.ToStatus(err)
		}
		if len(verdicts) != len(lines) { // otherwise the host would wait for the rest in vain
			return fault.ToStatus(fault.New(fault.Internal, fmt.Sprintf("%d verdicts about %d lines", len(verdicts),
				len(lines))))
		}
		out := &pb.ClassifyResponse{}
		for _, v := range verdicts {
			out.Verdicts = append(out.Verdicts, verdictTo(v))
		}
		if err := rpc.Send(out); err != nil {
			return err
		}
	}
}
