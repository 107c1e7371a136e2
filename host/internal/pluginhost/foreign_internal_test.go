package pluginhost

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// exactTexts are the strings of answers that are for programs. A new field of the contract belongs here or to
// foreignTexts.
var exactTexts = []string{
	"ConfigField.default_json", "ConfigField.path", "ConfigField.type", "DelegateStep.id", "DelegateStep.paths",
	"DescribeResponse.name", "DescribeResponse.wanted_grants", "Diagnostic.path", "EvidenceRequest.id",
	"ExecStep.argv", "ExecWant.argv", "Exit.signal", "FaultDetail.code", "FileWant.path", "Finding.code",
	"BrokenBundle.path", "Instance.boot_id", "Instance.detail", "Instance.gateway", "Instance.labels",
	"Instance.launch_id",
	"Instance.start_time", "Line.text", "PlatformService.id", "PlatformService.manager", "PlatformService.path",
	"RepairPlan.touches", "ServiceInfo.capabilities", "Stage.name", "Verdict.rule_id", "Verdict.tags", "Verdict.text",
	"WriteFileStep.expected_sha256", "WriteFileStep.path",
}

// TestEveryTextOfAnAnswerIsForeignOrExact reads the contract: all messages that a plugin can answer.
func TestEveryTextOfAnAnswerIsForeignOrExact(t *testing.T) {
	const prefix = "gatehost.plugin.v1alpha1."
	seen, stale := map[protoreflect.FullName]bool{}, map[string]bool{}
	for _, name := range exactTexts {
		stale[name] = true
	}
	for name := range foreignTexts {
		stale[strings.TrimPrefix(string(name), prefix)] = true
	}
	var visit func(m protoreflect.MessageDescriptor)
	visit = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || !strings.HasPrefix(string(m.FullName()), prefix) {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			text := f.Kind() == protoreflect.StringKind || f.IsMap() && f.MapValue().Kind() == protoreflect.StringKind
			short := strings.TrimPrefix(string(f.FullName()), prefix)
			if text && !foreignTexts[f.FullName()] && !slices.Contains(exactTexts, short) {
				t.Errorf("%s: is it for people (foreignTexts) or exact?", short)
			}
			delete(stale, short)
			if f.Message() != nil && !f.IsMap() {
				visit(f.Message())
			}
		}
	}
	visit((&pb.FaultDetail{}).ProtoReflect().Descriptor())
	protoregistry.GlobalFiles.RangeFilesByPackage("gatehost.plugin.v1alpha1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for m := range f.Services().Get(i).Methods().Len() {
				visit(f.Services().Get(i).Methods().Get(m).Output())
			}
		}
		return true
	})
	for name := range stale {
		t.Errorf("%s is in no answer", name)
	}
}

// TestNothingOfAnAnswerThatPeopleReadCarriesASecret fills every text of every answer with a known secret, a key and an
// escape sequence.
func TestNothingOfAnAnswerThatPeopleReadCarriesASecret(t *testing.T) {
	const evil = "\x1b]0;x\x07 tok-0123456789abcdef, sk-proj-ABCDEFGHIJKLMNOPQRST \u009b31m\u202e"
	r := redact.New([]string{"tok-0123456789abcdef"})
	finding := func() *pb.Finding {
		return &pb.Finding{Code: "exact", Text: evil, Hint: evil, Evidence: []string{"a", evil}, ConfigPath: evil}
	}
	for _, m := range []proto.Message{
		&pb.DiagnoseResponse{Findings: []*pb.Finding{finding(), finding()}},
		&pb.PlanResponse{Plan: &pb.RepairPlan{Title: evil, Steps: []*pb.Step{{Title: evil}}}},
		&pb.RepairResponse{Item: &pb.RepairResponse_Progress{Progress: &pb.RepairProgress{Text: evil}}},
		&pb.RepairResponse{Item: &pb.RepairResponse_Result{Result: &pb.RepairResult{Summary: evil}}},
		&pb.VerifyResponse{Text: evil, Hint: evil},
		&pb.UnloaderServiceInspectResponse{Services: []*pb.PlatformService{{Reason: evil, DisableCommand: evil}}},
		&pb.ConfigureResponse{Diagnostics: []*pb.Diagnostic{{Message: evil, Hint: evil}}},
	} {
		if err := cleanAnswer(r, ourServices+"x", m, nil); err != nil {
			t.Fatal(err)
		}
		text, err := proto.MarshalOptions{}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b]", "\a", "0123456789abcdef", "ABCDEFGH", "\u009b", "\u202e"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%T still has %q: %q", m, bad, text)
			}
		}
		if !strings.Contains(string(text), redact.Mark) {
			t.Errorf("%T: %q", m, text)
		}
	}
}

func TestErrorsOfAPluginAreCleanAndKeepTheirMeaning(t *testing.T) {
	const token = "tok-0123456789abcdef"
	r := redact.New([]string{token})
	f := fault.New(fault.FailedPrecondition, "with \x1b[2J"+token).WithHint("say " + token)
	f.Retryable, f.Details = true, map[string]string{"a": token, "b\x1b[2J": "x"}
	got := fault.FromStatus(cleanAnswer(r, ourServices+"x", nil, fault.ToStatus(f)))
	e, ok := errors.AsType[*fault.Error](got)
	if !ok || e.Code != fault.FailedPrecondition || !e.Retryable || e.Message != "with [redacted]" ||
		e.Hint != "say [redacted]" || len(e.Details) != 1 || e.Details["a"] != redact.Mark {
		t.Errorf("%+v", got)
	}
	plain := cleanAnswer(r, ourServices+"x", nil, status.Error(codes.Unknown, "plain "+token))
	if s := status.Convert(plain); s.Code() != codes.Unknown || s.Message() != "plain [redacted]" {
		t.Error(plain)
	}
	other := errors.New("not a status " + token)
	if got := cleanAnswer(r, "/plugin.GRPCStdio/x", nil, other); !errors.Is(got, other) {
		t.Error(got)
	}
}
