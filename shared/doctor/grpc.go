package doctor

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// NewClient is a doctor on the other end of a connection. Its Verify fails with fault.Unsupported when that has none.
func NewClient(cc grpc.ClientConnInterface) Verifier { return &client{pb.NewDoctorServiceClient(cc)} }

// RegisterServer serves an implementation, with Verify when it is a Verifier.
func RegisterServer(s grpc.ServiceRegistrar, impl Doctor) {
	pb.RegisterDoctorServiceServer(s, &server{impl: impl})
}

type client struct{ rpc pb.DoctorServiceClient }

var _ Verifier = (*client)(nil)

func (c *client) Diagnose(ctx context.Context, req DiagnoseRequest) (Diagnosis, error) {
	return wire.Ask(ctx, c.rpc.Diagnose, diagnoseTo(req), diagnosisFrom)
}

func diagnosisFrom(r *pb.DiagnoseResponse) (Diagnosis, error) {
	if len(r.GetFindings()) > maxFindings {
		return Diagnosis{}, wire.Violation("%d findings", len(r.GetFindings()))
	}
	var d Diagnosis
	for _, f := range r.GetFindings() {
		got, err := findingFrom(f)
		if err != nil {
			return Diagnosis{}, err
		}
		d.Findings = append(d.Findings, got)
	}
	var err error
	if d.Wants, err = wantsFrom(r.GetWants()); err != nil {
		return Diagnosis{}, err
	}
	return d, nil
}

func (c *client) Plan(ctx context.Context, gw plugin.GatewayFacts, f Finding) (*Plan, error) {
	req := &pb.PlanRequest{Gateway: wire.Facts(gw), Finding: findingTo(f)}
	return wire.Ask(ctx, c.rpc.Plan, req, func(r *pb.PlanResponse) (*Plan, error) { return planFrom(r.GetPlan()) })
}

func (c *client) Repair(ctx context.Context, req RepairRequest, progress func(Progress)) (RepairResult, error) {
	asked := &pb.RepairRequest{
		Gateway: wire.Facts(req.Gateway), Finding: findingTo(req.Finding), StepId: req.StepID, DryRun: req.DryRun,
	}
	var out RepairResult
	early := wire.Violation("a repair ended without a result")
	err := wire.Receive(ctx, c.rpc.Repair, asked, early, func(r *pb.RepairResponse) (last bool, err error) {
		switch item := r.GetItem().(type) {
		case *pb.RepairResponse_Progress:
			p := Progress{Text: wire.Text(item.Progress.GetText(), maxText)}
			if item.Progress.Percent != nil {
				n := int(min(item.Progress.GetPercent(), 100))
				p.Percent = &n
			}
			if progress != nil {
				progress(p)
			}
			return false, nil
		case *pb.RepairResponse_Result:
			out = RepairResult{Changed: item.Result.GetChanged(), Summary: wire.Text(item.Result.GetSummary(), maxText)}
			return true, nil
		default:
			return false, wire.Violation("an empty item in a repair")
		}
	})
	return out, err
}

func (c *client) Verify(ctx context.Context, req VerifyRequest) (Verification, error) {
	return wire.Ask(ctx, c.rpc.Verify, verifyTo(req), verificationFrom)
}

type server struct {
	pb.UnimplementedDoctorServiceServer
	impl Doctor
}

func (s *server) Diagnose(ctx context.Context, r *pb.DiagnoseRequest) (*pb.DiagnoseResponse, error) {
	d, err := s.impl.Diagnose(ctx, diagnoseFrom(r))
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	out := &pb.DiagnoseResponse{}
	for _, f := range d.Findings {
		out.Findings = append(out.Findings, findingTo(f))
	}
	for _, w := range d.Wants {
		out.Wants = append(out.Wants, wantTo(w))
	}
	return out, nil
}

func (s *server) Plan(ctx context.Context, r *pb.PlanRequest) (*pb.PlanResponse, error) {
	f, err := findingFrom(r.GetFinding())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	p, err := s.impl.Plan(ctx, wire.FactsFrom(r.GetGateway()), f)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.PlanResponse{Plan: planTo(p)}, nil
}

func (s *server) Repair(r *pb.RepairRequest, stream grpc.ServerStreamingServer[pb.RepairResponse]) error {
	f, err := findingFrom(r.GetFinding())
	if err != nil {
		return fault.ToStatus(err)
	}
	req := RepairRequest{
		Gateway: wire.FactsFrom(r.GetGateway()), Finding: f, StepID: r.GetStepId(),
		DryRun: r.GetDryRun(),
	}
	var mu sync.Mutex // guards the stream: an author may report from several goroutines, and after the end
	over := false
	defer func() { // also after a panic
		mu.Lock()
		over = true
		mu.Unlock()
	}()
	got, err := s.impl.Repair(stream.Context(), req, func(p Progress) {
		out := &pb.RepairProgress{Text: wire.Text(p.Text, maxText)}
		if p.Percent != nil {
			n := uint32(min(max(*p.Percent, 0), 100)) //nolint:gosec // between 0 and 100
			out.Percent = &n
		}
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		// A failed send shows as a cancelled context: the author need not look.
		_ = stream.Send(&pb.RepairResponse{Item: &pb.RepairResponse_Progress{Progress: out}})
	})
	if err != nil {
		return fault.ToStatus(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return stream.Send(&pb.RepairResponse{Item: &pb.RepairResponse_Result{Result: &pb.RepairResult{
		Changed: got.Changed, Summary: wire.Text(got.Summary, maxText),
	}}})
}

func (s *server) Verify(ctx context.Context, r *pb.VerifyRequest) (*pb.VerifyResponse, error) {
	impl, ok := s.impl.(Verifier)
	if !ok {
		return nil, fault.ToStatus(fault.New(fault.Unsupported, "this doctor does not verify"))
	}
	req, err := verifyFrom(r)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	v, err := impl.Verify(ctx, req)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return verificationTo(v), nil
}
