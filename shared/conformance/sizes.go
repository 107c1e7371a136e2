package conformance

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

const (
	longestLine = 64 << 10
	mostStdout  = 1 << 20
	mostContent = 4 << 20
)

// oddities are texts that are valid UTF-8 and trip programs.
func oddities() []string {
	return []string{
		"", " ", "\x00", "a\x00b", "\uFFFD\uFFFD", "\ufeffwith a mark", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
		"\r\n\r", "\u202eright to left",
		"e\u0301 combined", "\U0001F9EA\U0001F468\u200D\U0001F469\u200D\U0001F467", "%s %d %n", "{\"json\": ",
		"[[[[((((", "\\", "a\tb", "\u2028\u2029",
		"../../etc/passwd", "ENOSPC\u00a0", strings.Repeat("é", 100),
	}
}

// longLine is exactly so many bytes of text, odd ones among them.
func longLine(size int) string {
	var out strings.Builder
	out.Grow(size + 64)
	odd := oddities()
	for n := 0; out.Len() < size; n++ {
		_, _ = out.WriteString(odd[n%len(odd)])
		fmt.Fprintf(&out, " part %d of a line that does not end ", n)
	}
	text := strings.ToValidUTF8(out.String()[:size], "")
	return text + strings.Repeat(".", size-len(text))
}

func doctorBig(ctx context.Context, rn *runner) error {
	runs, p, err := rn.attended(ctx)
	if err != nil {
		return err
	}
	base := runs[0]
	for _, v := range runs { // with what makes the doctor look hardest
		if len(v.rounds) > len(base.rounds) || len(v.rounds) == len(base.rounds) &&
			len(v.answer.GetFindings()) > len(base.answer.GetFindings()) {
			base = v
		}
	}
	for name, r := range map[string]*pb.DiagnoseRequest{
		"odd characters": oddQuestion(base.asked), "120 lines of 64 KiB": longQuestion(base.asked, false),
		"almost 16 MiB": longQuestion(base.asked, true),
	} {
		if err := rn.askBig(ctx, p, name, r); err != nil {
			return err
		}
	}
	return nil
}

func (rn *runner) askBig(ctx context.Context, p Process, name string, r *pb.DiagnoseRequest) error {
	bound, cancel := rn.within(ctx, deadlineDiagnose)
	defer cancel()
	got, err := rn.doctor(p).Diagnose(bound, r)
	if lost := rn.lost(p, "Doctor.Diagnose with "+name, err); lost != nil {
		return lost
	}
	if err != nil {
		return breach("take what the contract allows: 120 lines of 64 KiB, evidence of 1 MiB, content of 4 MiB",
			"Diagnose with %s fails: %v", name, err)
	}
	for _, f := range got.GetFindings() {
		if err := judgeFinding(f); err != nil {
			return breach("cut what you quote; see the comments of Finding", "a finding about %s %v", name, err)
		}
	}
	return nil
}

// oddQuestion puts odd lines between the real ones.
func oddQuestion(r *pb.DiagnoseRequest) *pb.DiagnoseRequest {
	out := withIncident(r)
	cursor := uint64(0)
	var lines []*pb.Line
	add := func(text string) {
		cursor += uint64(len(text)) + 1
		lines = append(lines, &pb.Line{Cursor: cursor, Stream: pb.Stream_STREAM_STDERR, Text: text})
	}
	for _, text := range oddities() {
		add(text)
	}
	for _, l := range out.GetIncident().GetLines() {
		add(l.GetText())
	}
	out.Incident.Lines = lines[max(0, len(lines)-mostLines):]
	out.Incident.ErrorMessage = strings.Join(oddities(), " ")
	for _, e := range out.GetEvidence() {
		e.Stdout = strings.Join(oddities(), "\n") + e.GetStdout()
	}
	return out
}

// longQuestion makes every line as long as it may be; full fills the evidence, too.
func longQuestion(r *pb.DiagnoseRequest, full bool) *pb.DiagnoseRequest {
	out := withIncident(r)
	lines := out.GetIncident().GetLines()
	out.Incident.Lines = nil
	for n := range mostLines {
		text := longLine(longestLine)
		if n < len(lines) { // the real ones, with a tail
			text = lines[n].GetText() + text[len(lines[n].GetText()):]
			text = strings.ToValidUTF8(text[:min(len(text), longestLine)], ".")
		}
		out.Incident.Lines = append(out.Incident.Lines, &pb.Line{
			Cursor: uint64(n+1) * longestLine, Stream: pb.Stream_STREAM_STDERR, //nolint:gosec // a small number
			Text: text, Truncated: true,
		})
	}
	if !full {
		return out
	}
	for n := len(out.GetEvidence()); n < 2; n++ {
		out.Evidence = append(out.Evidence, &pb.Evidence{
			Id: fmt.Sprintf("verify-%d", n), Available: true,
			Exists: true,
		})
	}
	for n, e := range out.GetEvidence()[:2] {
		e.Stdout, e.Stderr = longLine(mostStdout), longLine(mostStdout)
		if n == 0 {
			e.Content, e.Size = []byte(longLine(mostContent)), mostContent
		}
	}
	return out
}

func withIncident(r *pb.DiagnoseRequest) *pb.DiagnoseRequest {
	out, ok := proto.Clone(r).(*pb.DiagnoseRequest)
	if !ok {
		out = &pb.DiagnoseRequest{}
	}
	if out.GetIncident() == nil {
		out.Incident = &pb.Incident{ErrorCode: "exited_before_ready", Exit: &pb.Exit{Code: 1, Known: true}}
	}
	return out
}
