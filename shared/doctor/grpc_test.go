package doctor_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wiretest"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

var rules = wiretest.Rules{
	"plugin.GatewayFacts.Port": func(t *rapid.T) any { return rapid.IntRange(1, 65535).Draw(t, "port") },
	"plugin.Stream":            func(t *rapid.T) any { return rapid.IntRange(1, 2).Draw(t, "stream") },
	"doctor.Outcome":           func(t *rapid.T) any { return rapid.IntRange(0, 2).Draw(t, "outcome") },
	"plugin.Severity":          func(t *rapid.T) any { return rapid.IntRange(1, 3).Draw(t, "severity") },
	"plugin.Symptom":           func(t *rapid.T) any { return rapid.IntRange(0, 11).Draw(t, "symptom") },
	"doctor.Finding.Code": func(t *rapid.T) any {
		return rapid.StringMatching(`[a-z]{1,9}(-[a-z0-9]{1,9}){0,3}`).Draw(t, "code")
	},
	"doctor.WriteFileStep.ExpectedSHA256": func(t *rapid.T) any {
		return rapid.StringMatching(`[0-9a-f]{64}|`).Draw(t, "sum")
	},
	"doctor.EvidenceRequest.File": func(*rapid.T) any { return "" }, // one of the two; the other is tested by hand
	"doctor.Progress.Percent": func(t *rapid.T) any {
		n := rapid.IntRange(0, 100).Draw(t, "percent")
		return &n
	},
}

type echo struct {
	mu       sync.Mutex // one test goroutine at a time; for the race detector
	asked    []any
	diag     doctor.Diagnosis
	plan     *doctor.Plan
	progress []doctor.Progress
	result   doctor.RepairResult
	verified doctor.Verification
	err      error
}

func (e *echo) Verify(_ context.Context, r doctor.VerifyRequest) (doctor.Verification, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = []any{r}
	return e.verified, e.err
}

func (e *echo) Diagnose(_ context.Context, r doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = []any{r}
	return e.diag, e.err
}

func (e *echo) Plan(_ context.Context, gw plugin.GatewayFacts, f doctor.Finding) (*doctor.Plan, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = []any{gw, f}
	return e.plan, e.err
}

func (e *echo) Repair(
	_ context.Context, r doctor.RepairRequest, progress func(doctor.Progress),
) (doctor.RepairResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = []any{r}
	for _, p := range e.progress {
		progress(p)
	}
	return e.result, e.err
}

func dial(t *testing.T, impl doctor.Doctor) doctor.Verifier {
	t.Helper()
	return doctor.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { doctor.RegisterServer(s, impl) }))
}

func TestEveryFieldSurvivesTheRoundTrip(t *testing.T) {
	e := &echo{}
	c, ctx := dial(t, e), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		req := wiretest.Draw[doctor.DiagnoseRequest](t, rules)
		e.diag = wiretest.Draw[doctor.Diagnosis](t, rules)
		for i := range e.diag.Wants {
			e.diag.Wants[i].ID += strings.Repeat("x", i+100) // unique
		}
		d, err := c.Diagnose(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the request of Diagnose", e.asked, []any{req})
		wiretest.Same(t, "the answer of Diagnose", d, e.diag)

		gw, f := wiretest.Draw[plugin.GatewayFacts](t, rules), wiretest.Draw[doctor.Finding](t, rules)
		p := wiretest.Draw[doctor.Plan](t, rules)
		for i := range p.Steps { // exactly one action each
			s := &p.Steps[i]
			switch rapid.IntRange(0, 2).Draw(t, "action") {
			case 0:
				s.WriteFile, s.Delegate = nil, nil
			case 1:
				s.Exec, s.Delegate = nil, nil
			case 2:
				s.Exec, s.WriteFile = nil, nil
			}
		}
		e.plan = &p
		got, err := c.Plan(ctx, gw, f)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the request of Plan", e.asked, []any{gw, f})
		wiretest.Same(t, "the answer of Plan", got, &p)

		repair := wiretest.Draw[doctor.RepairRequest](t, rules)
		e.progress = wiretest.Draw[[]doctor.Progress](t, rules)
		e.result = wiretest.Draw[doctor.RepairResult](t, rules)
		var progress []doctor.Progress
		r, err := c.Repair(ctx, repair, func(p doctor.Progress) { progress = append(progress, p) })
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the progress of Repair", progress, e.progress)
		wiretest.Same(t, "the request of Repair", e.asked, []any{repair})
		wiretest.Same(t, "the result of Repair", r, e.result)
	})
}

func TestAbsentThingsStayAbsent(t *testing.T) {
	e := &echo{diag: doctor.Diagnosis{Wants: []doctor.EvidenceRequest{{ID: "a", File: "openclaw.json"}}}}
	c := dial(t, e)
	d, err := c.Diagnose(t.Context(), doctor.DiagnoseRequest{})
	if err != nil || len(d.Wants) != 1 || d.Wants[0].File != "openclaw.json" || d.Wants[0].Argv != nil {
		t.Errorf("diagnosis = %+v, %v", d, err)
	}
	if e.asked[0].(doctor.DiagnoseRequest).Incident != nil {
		t.Error("an incident came from nowhere")
	}
	if p, err := c.Plan(t.Context(), plugin.GatewayFacts{}, doctor.Finding{Code: "x"}); p != nil || err != nil {
		t.Errorf("plan = %v, %v", p, err)
	}
}

func TestEveryFieldOfVerifySurvivesTheRoundTrip(t *testing.T) {
	e := &echo{}
	c, ctx := dial(t, e), t.Context()
	rapid.Check(t, func(t *rapid.T) {
		req := wiretest.Draw[doctor.VerifyRequest](t, rules)
		e.verified = wiretest.Draw[doctor.Verification](t, rules)
		for i := range e.verified.Wants {
			e.verified.Wants[i].ID += strings.Repeat("x", i+100) // unique
		}
		got, err := c.Verify(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		wiretest.Same(t, "the request of Verify", e.asked, []any{req})
		wiretest.Same(t, "the answer of Verify", got, e.verified)
	})
	e.err = fault.New(fault.Unsupported, "not my finding").WithHint("ask another")
	_, err := c.Verify(ctx, doctor.VerifyRequest{Finding: doctor.Finding{Code: "x"}})
	if !errors.Is(err, fault.ErrUnsupported) || fault.HintOf(err) != "ask another" {
		t.Errorf("error = %v", err)
	}
}

// TestDoctorWithoutVerifySaysSo: a host that asks it all the same is told so, not misled.
func TestDoctorWithoutVerifySaysSo(t *testing.T) {
	c := dial(t, &doctor.Fake{})
	if _, err := c.Verify(t.Context(), doctor.VerifyRequest{Finding: doctor.Finding{Code: "x"}}); !errors.Is(err,
		fault.ErrUnsupported) {
		t.Errorf("error = %v", err)
	}
}

func TestVerificationThatIsNonsenseIsRefusedAndAnUnknownOutcomeIsUnknown(t *testing.T) {
	l := &liarVerifier{}
	c := doctor.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { pb.RegisterDoctorServiceServer(s, l) }))
	req := doctor.VerifyRequest{Finding: doctor.Finding{Code: "x"}}
	l.answer = &pb.VerifyResponse{Outcome: 77, Text: "a\x1b[2J"}
	if got, err := c.Verify(t.Context(), req); err != nil || got.Outcome != doctor.OutcomeUnknown {
		t.Errorf("got %+v, %v", got, err)
	}
	file := &pb.EvidenceRequest{Id: "x", Want: &pb.EvidenceRequest_File{File: &pb.FileWant{Path: "x"}}}
	for want, wants := range map[string][]*pb.EvidenceRequest{
		"17 requests": make([]*pb.EvidenceRequest, 17), "wants nothing": {{Id: "x"}}, "two requests": {file, file},
	} {
		l.answer = &pb.VerifyResponse{Wants: wants}
		if _, err := c.Verify(t.Context(), req); !errors.Is(err, fault.ErrInternal) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
}

type liarVerifier struct {
	pb.UnimplementedDoctorServiceServer
	answer *pb.VerifyResponse
}

func (l *liarVerifier) Verify(context.Context, *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	return l.answer, nil
}

func TestErrorsKeepCodeAndHintAlsoAfterProgress(t *testing.T) {
	e := &echo{progress: []doctor.Progress{{Text: "one"}}, err: fault.New(fault.PermissionDenied,
		"no").WithHint("grant it")}
	n := 0
	_, err := dial(t, e).Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "x"}},
		func(doctor.Progress) { n++ })
	if !errors.Is(err, fault.ErrPermissionDenied) || fault.HintOf(err) != "grant it" || n != 1 {
		t.Errorf("%v after %d", err, n)
	}
}

func TestCancelledRepairEndsOnBothSides(t *testing.T) {
	f := &doctor.Fake{Blocks: make(chan struct{}), Progress: []doctor.Progress{{Text: "begun"}}}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := dial(t, f).Repair(ctx, doctor.RepairRequest{Finding: doctor.Finding{Code: "x"}},
		func(doctor.Progress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
} // the server's Stop waits for its handler: a deaf one would hang here

func TestProgressFromManyGoroutinesAndAfterTheEndIsHarmless(t *testing.T) {
	late := make(chan func())
	impl := &lateReporter{late: late}
	c := dial(t, impl)
	if _, err := c.Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "x"}}, nil); err != nil {
		t.Fatal(err)
	}
	(<-late)()
}

type lateReporter struct {
	doctor.Fake
	late chan func()
}

func (l *lateReporter) Repair(
	_ context.Context, _ doctor.RepairRequest, progress func(doctor.Progress),
) (doctor.RepairResult, error) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { progress(doctor.Progress{Text: "x"}) })
	}
	all.Wait()
	go func() { l.late <- func() { progress(doctor.Progress{Text: "late"}) } }()
	return doctor.RepairResult{}, nil
}

type liar struct {
	pb.UnimplementedDoctorServiceServer
	diag *pb.DiagnoseResponse
	plan *pb.RepairPlan
}

func (l *liar) Diagnose(context.Context, *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	return l.diag, nil
}

func (l *liar) Plan(context.Context, *pb.PlanRequest) (*pb.PlanResponse, error) {
	return &pb.PlanResponse{Plan: l.plan}, nil
}

func (l *liar) Repair(*pb.RepairRequest, grpc.ServerStreamingServer[pb.RepairResponse]) error {
	return nil // no result
}

func TestNonsenseIsRefusedInWords(t *testing.T) {
	l := &liar{}
	c := doctor.NewClient(wiretest.Dial(t, func(s grpc.ServiceRegistrar) { pb.RegisterDoctorServiceServer(s, l) }))
	nonsense := func(want string, err error) {
		t.Helper()
		if !errors.Is(err, fault.ErrInternal) || !strings.Contains(err.Error(), "plugin violated the contract: ") ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	file := func(id string) *pb.EvidenceRequest {
		return &pb.EvidenceRequest{Id: id, Want: &pb.EvidenceRequest_File{File: &pb.FileWant{Path: "x"}}}
	}
	for want, d := range map[string]*pb.DiagnoseResponse{
		`code ""`:               {Findings: []*pb.Finding{{}}},
		`code "CONFIG\x1b[31m"`: {Findings: []*pb.Finding{{Code: "CONFIG\x1b[31m"}}},
		"65537 bytes of data":   {Findings: []*pb.Finding{{Code: "x", Data: make([]byte, 64<<10+1)}}},
		"65 findings":           {Findings: make([]*pb.Finding, 65)},
		"wants nothing":         {Wants: []*pb.EvidenceRequest{{Id: "x"}}},
		"two requests":          {Wants: []*pb.EvidenceRequest{file("x"), file("x")}},
		"300 times an argument": {Wants: []*pb.EvidenceRequest{{
			Id:   "x",
			Want: &pb.EvidenceRequest_Exec{Exec: &pb.ExecWant{Argv: make([]string, 300)}},
		}}},
		"time limit": {Wants: []*pb.EvidenceRequest{{Id: "x", Want: &pb.EvidenceRequest_Exec{Exec: &pb.ExecWant{
			Argv: []string{"x"}, Timeout: durationpb.New(-1),
		}}}}},
	} {
		l.diag = d
		_, err := c.Diagnose(t.Context(), doctor.DiagnoseRequest{})
		nonsense(want, err)
	}
	step := func(s *pb.Step) *pb.RepairPlan { return &pb.RepairPlan{Steps: []*pb.Step{s}} }
	long := strings.Repeat("x", 9<<10)
	for want, p := range map[string]*pb.RepairPlan{
		"a plan of 33 steps": {Steps: make([]*pb.Step, 33)},
		"does nothing":       step(&pb.Step{}),
		"runs no program":    step(&pb.Step{Action: &pb.Step_Exec{Exec: &pb.ExecStep{}}}),
		"an argument of 9216 bytes": step(
			&pb.Step{Action: &pb.Step_Exec{Exec: &pb.ExecStep{Argv: []string{"x", long}}}}),
		"without a path": step(&pb.Step{Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{}}}),
		"a path of 9216 bytes": step(
			&pb.Step{Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{Path: long}}}),
		"a sha256 that is none": step(&pb.Step{Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{
			Path:           "x",
			ExpectedSha256: "abc",
		}}}),
		"writes 4194305 bytes": step(&pb.Step{Action: &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{
			Path:    "x",
			Content: make([]byte, 4<<20+1),
		}}}),
		"delegates without an id": step(&pb.Step{Action: &pb.Step_Delegate{Delegate: &pb.DelegateStep{}}}),
		"65 times a file to back up": step(
			&pb.Step{Action: &pb.Step_Delegate{Delegate: &pb.DelegateStep{Id: "x", Paths: make([]string, 65)}}}),
		"a touched file of 3 bytes": {
			Steps:   []*pb.Step{{Action: &pb.Step_Exec{Exec: &pb.ExecStep{Argv: []string{"x"}}}}},
			Touches: []string{"a\x00b"},
		},
	} {
		l.plan = p
		_, err := c.Plan(t.Context(), plugin.GatewayFacts{}, doctor.Finding{Code: "x"})
		nonsense(want, err)
	}
	_, err := c.Repair(t.Context(), doctor.RepairRequest{Finding: doctor.Finding{Code: "x"}}, nil)
	nonsense("without a result", err)
	l.plan = step(
		&pb.Step{Action: &pb.Step_Exec{Exec: &pb.ExecStep{Argv: []string{"x"}, Timeout: durationpb.New(time.Hour)}}})
	if p, err := c.Plan(t.Context(), plugin.GatewayFacts{}, doctor.Finding{Code: "x"}); err != nil ||
		p.Steps[0].Exec.Timeout != 10*time.Minute {
		t.Errorf("a limit of an hour became %+v, %v", p, err)
	}
}
