package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

func classifierChecks() []Check {
	k := plugin.KindClassifier
	return []Check{
		{
			ID: "classifier/order", Kind: k, Title: "each line gets one verdict, in order",
			Row: "Classifier.Classify: one a line, in order of seq", try: classifierOrder,
		},
		{
			ID: "classifier/resend", Kind: k, Title: "lines that are sent again after a break get the same verdicts",
			Row: "Classifier.Classify: idempotent by seq", try: classifierResend,
		},
		{
			ID: "classifier/streams", Kind: k, Title: "the output of several launches is classified at once",
			Row: "Classifier.Classify: one stream a launch_id", try: classifierStreams,
		},
		{
			ID: "classifier/big-lines", Kind: k,
			Title: "lines of 64 KiB, odd characters and batches up to 16 MiB are judged",
			Row:   "Sizes: a message has at most 16 MiB", try: classifierBig,
		},
		{
			ID: "classifier/throughput", Kind: k, Title: "a batch of 256 lines is judged within 2 s",
			Row: "Classifier.Classify: 2 s a batch", try: classifierThroughput,
		},
	}
}

const mostBatch = 256

// sampleLines are what gateways print, each of its own sort.
func sampleLines() []string {
	var out []string
	for _, i := range builtIn() {
		out = append(out, i.Lines...)
	}
	return out[:min(len(out), 200)]
}

// batchOf numbers lines from a sequence number on.
func batchOf(from uint64, lines ...string) []*pb.NumberedLine {
	var out []*pb.NumberedLine
	for n, text := range lines {
		seq := from + uint64(n) //nolint:gosec // a small number
		out = append(out, &pb.NumberedLine{Seq: seq, Line: &pb.Line{
			Cursor: seq * 100, Stream: pb.Stream_STREAM_STDERR,
			Text: text,
		}})
	}
	return out
}

// verdicts is a stream of verdicts about one launch.
type verdicts struct {
	rpc   grpc.BidiStreamingClient[pb.ClassifyRequest, pb.ClassifyResponse]
	first *pb.ClassifyRequest
}

func openStream(
	ctx context.Context, cc grpc.ClientConnInterface, gateway *pb.GatewayFacts, launch string,
) (*verdicts, error) {
	rpc, err := pb.NewClassifierServiceClient(cc).Classify(ctx)
	return &verdicts{rpc: rpc, first: &pb.ClassifyRequest{Gateway: gateway, LaunchId: launch}}, err
}

// judge sends a batch and reads as many verdicts as it has lines, whatever lines they are about.
func (v *verdicts) judge(lines []*pb.NumberedLine) ([]*pb.Verdict, error) {
	req := v.first
	if req == nil {
		req = &pb.ClassifyRequest{}
	}
	v.first, req.Lines = nil, lines
	if err := v.rpc.Send(req); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv tells the cause
		return nil, err
	}
	var out []*pb.Verdict
	for len(out) < len(lines) {
		r, err := v.rpc.Recv()
		if errors.Is(err, io.EOF) {
			return out, fmt.Errorf("the stream ends after %d verdicts about %d lines", len(out), len(lines))
		}
		if err != nil {
			return out, err
		}
		out = append(out, r.GetVerdicts()...)
	}
	return out, nil
}

// classify is a stream with one batch.
func classify(
	ctx context.Context, cc grpc.ClientConnInterface, gateway *pb.GatewayFacts, launch string,
	lines []*pb.NumberedLine,
) ([]*pb.Verdict, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v, err := openStream(ctx, cc, gateway, launch)
	if err != nil {
		return nil, err
	}
	var out []*pb.Verdict
	for len(lines) > 0 {
		n := min(len(lines), mostBatch)
		got, err := v.judge(lines[:n])
		if err != nil {
			return out, err
		}
		out, lines = append(out, got...), lines[n:]
	}
	return out, nil
}

func verdictsInWords(list []*pb.Verdict) string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprintf("%d %d %s", v.GetLevel(), v.GetSymptom(), v.GetRuleId()))
	}
	return strings.Join(out, ", ")
}

func gatewayOfLines() *pb.GatewayFacts {
	return factsIn("/nowhere/verify", Incident{})
}

// verdictBound bounds the wait for verdicts where their number and order count: how quick they are is a check of its
// own.
const verdictBound = 30 * time.Second

// classified is classify with a bound, and explains a missing answer.
func (rn *runner) classified(
	ctx context.Context, p Process, launch string, lines []*pb.NumberedLine,
) ([]*pb.Verdict, error) {
	bound, cancel := context.WithTimeout(ctx, verdictBound)
	defer cancel()
	got, err := classify(bound, p.Conn(), gatewayOfLines(), launch, lines)
	if lost := rn.lost(p, "Classifier.Classify", err); lost != nil {
		return nil, fmt.Errorf("%d verdicts about %d lines: %w", len(got), len(lines), lost)
	}
	if err != nil {
		return nil, breach("a line that you do not know is a verdict, too: level unspecified", "Classify fails: %v",
			fault.FromStatus(err))
	}
	return got, nil
}

func classifierOrder(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	lines := batchOf(41, append(sampleLines(), sampleLines()...)...) // more than one batch, and not from 1
	got, err := rn.classified(ctx, p, "order", lines)
	if err != nil {
		return err
	}
	if len(got) != len(lines) {
		return breach("answer one verdict a line", "%d verdicts about %d lines", len(got), len(lines))
	}
	for n, v := range got {
		if v.GetSeq() != lines[n].GetSeq() {
			return breach("answer in the order in which the lines came",
				"verdict %d is about line %d, it is the turn of line %d", n+1, v.GetSeq(), lines[n].GetSeq())
		}
	}
	rn.noteDown("%d lines", len(lines))
	return nil
}

func classifierResend(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	lines := batchOf(1, sampleLines()...)
	want, err := rn.classified(ctx, p, "resend", lines)
	if err != nil {
		return err
	}
	// A stream that is cut after its lines were sent and before its verdicts were read.
	cut, cancel := context.WithCancel(ctx)
	v, err := openStream(cut, p.Conn(), gatewayOfLines(), "resend")
	if err == nil {
		v.first.Lines = lines
		err = v.rpc.Send(v.first)
	}
	cancel()
	if lost := rn.lost(p, "a stream that was cut", err); lost != nil {
		return lost
	}
	got, err := rn.classified(ctx, p, "resend", lines)
	if err != nil {
		return fmt.Errorf("after a break: %w", err)
	}
	if a, b := verdictsInWords(got), verdictsInWords(want); a != b {
		return breach("a verdict depends on the line and on those before it in its stream",
			"sent again after a break the lines get other verdicts: %.300s; before: %.300s", a, b)
	}
	return nil
}

func classifierStreams(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	lines := batchOf(1, sampleLines()...)
	want, err := rn.classified(ctx, p, "alone", lines)
	if err != nil {
		return err
	}
	const streams = 6
	errs := make([]error, streams)
	var calls sync.WaitGroup
	for n := range streams {
		calls.Go(func() {
			got, err := rn.classified(ctx, p, fmt.Sprintf("stream-%d", n), lines)
			if err == nil && verdictsInWords(got) != verdictsInWords(want) {
				err = breach("keep no state that streams share",
					"beside other streams the same lines get other verdicts")
			}
			errs[n] = err
		})
	}
	calls.Wait()
	rn.noteDown("%d streams", streams)
	return errors.Join(errs...)
}

func classifierBig(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	long := make([]string, 250) // 15.6 MiB
	for n := range long {
		long[n] = longLine(longestLine)
	}
	for name, lines := range map[string][]string{"odd lines": oddities(), "lines of 64 KiB": long} {
		got, err := rn.classified(ctx, p, "big", batchOf(1, lines...))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(got) != len(lines) {
			return breach("answer one verdict a line", "%d verdicts about %d %s", len(got), len(lines), name)
		}
	}
	return nil
}

// measured is for how long the throughput is measured.
const measured = time.Second

func classifierThroughput(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	v, err := openStream(bound, p.Conn(), gatewayOfLines(), "throughput")
	if err != nil {
		return rn.lost(p, "Classifier.Classify", err)
	}
	sample := sampleLines()
	lines, began := 0, time.Now()
	for seq := uint64(1); time.Since(began) < measured; seq += mostBatch {
		var batch []string
		for n := range mostBatch {
			batch = append(batch, sample[n%len(sample)])
		}
		at := time.Now()
		_, err := v.judge(batchOf(seq, batch...))
		if lost := rn.lost(p, "Classifier.Classify", err); lost != nil {
			return lost
		}
		if err != nil {
			return breach("see the comments of Classify", "Classify fails: %v", fault.FromStatus(err))
		}
		if took := time.Since(at); took > deadlineBatch {
			return breach("lines that wait longer pass as warn without a symptom",
				"a batch of %d lines took %d ms, the deadline is %d ms", mostBatch, took.Milliseconds(),
				deadlineBatch.Milliseconds())
		}
		lines += mostBatch
	}
	rn.noteDown("%.0f lines/s", float64(lines)/time.Since(began).Seconds())
	return nil
}
