package doctor

import (
	"context"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	pb2 "github.com/gatehost/gatehost/shared/pb/pluginv1alpha2"
)

// NewClient2 is a doctor of version 2, which is experimental, on the other end of a connection.
func NewClient2(cc grpc.ClientConnInterface) Verifier {
	rpc := pb2.NewDoctorServiceClient(cc)
	return &client2{client: client{rpc: &asVersion1{rpc}}, rpc2: rpc}
}

// RegisterServer2 serves an implementation in version 2, which is experimental. Version 1 is served by RegisterServer, beside it.
func RegisterServer2(s grpc.ServiceRegistrar, impl Verifier) {
	pb2.RegisterDoctorServiceServer(s, &server2{v1: server{impl: impl}, impl: impl})
}

// client2 is the client of version 1 on the methods of version 2, and what is new there.
type client2 struct {
	client

	rpc2 pb2.DoctorServiceClient
}

var _ Verifier = (*client2)(nil)

func (c *client2) Verify(ctx context.Context, req VerifyRequest) (Verification, error) {
	r, err := c.rpc2.Verify(ctx, verifyTo(req))
	if err != nil {
		return Verification{}, fault.FromStatus(err)
	}
	return verificationFrom(r)
}

// asVersion1 is a service of version 2 in the messages of version 1: they have the same fields.
type asVersion1 struct{ rpc pb2.DoctorServiceClient }

var _ pb.DoctorServiceClient = (*asVersion1)(nil)

func (a *asVersion1) Diagnose(ctx context.Context, r *pb.DiagnoseRequest, opts ...grpc.CallOption) (*pb.DiagnoseResponse, error) {
	got, err := a.rpc.Diagnose(ctx, &pb2.DiagnoseRequest{Gateway: r.GetGateway(), Incident: r.GetIncident(), Evidence: r.GetEvidence()}, opts...)
	if err != nil {
		return nil, err
	}
	return &pb.DiagnoseResponse{Findings: got.GetFindings(), Wants: got.GetWants()}, nil
}

func (a *asVersion1) Plan(ctx context.Context, r *pb.PlanRequest, opts ...grpc.CallOption) (*pb.PlanResponse, error) {
	got, err := a.rpc.Plan(ctx, &pb2.PlanRequest{Gateway: r.GetGateway(), Finding: r.GetFinding()}, opts...)
	if err != nil {
		return nil, err
	}
	return &pb.PlanResponse{Plan: got.GetPlan()}, nil
}

func (a *asVersion1) Repair(ctx context.Context, r *pb.RepairRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RepairResponse], error) {
	stream, err := a.rpc.Repair(ctx, &pb2.RepairRequest{
		Gateway: r.GetGateway(), Finding: r.GetFinding(), StepId: r.GetStepId(), DryRun: r.GetDryRun(),
	}, opts...)
	if err != nil {
		return nil, err
	}
	return &repairReceiver{ClientStream: stream, from: stream}, nil
}

type repairReceiver struct {
	grpc.ClientStream

	from grpc.ServerStreamingClient[pb2.RepairResponse]
}

func (r *repairReceiver) Recv() (*pb.RepairResponse, error) {
	got, err := r.from.Recv()
	if err != nil {
		return nil, err
	}
	switch item := got.GetItem().(type) {
	case *pb2.RepairResponse_Progress:
		return &pb.RepairResponse{Item: &pb.RepairResponse_Progress{Progress: item.Progress}}, nil
	case *pb2.RepairResponse_Result:
		return &pb.RepairResponse{Item: &pb.RepairResponse_Result{Result: item.Result}}, nil
	default:
		return &pb.RepairResponse{}, nil
	}
}

// server2 is the server of version 1 behind the methods of version 2, and what is new there.
type server2 struct {
	pb2.UnimplementedDoctorServiceServer

	v1   server
	impl Verifier
}

func (s *server2) Diagnose(ctx context.Context, r *pb2.DiagnoseRequest) (*pb2.DiagnoseResponse, error) {
	got, err := s.v1.Diagnose(ctx, &pb.DiagnoseRequest{Gateway: r.GetGateway(), Incident: r.GetIncident(), Evidence: r.GetEvidence()})
	if err != nil {
		return nil, err
	}
	return &pb2.DiagnoseResponse{Findings: got.GetFindings(), Wants: got.GetWants()}, nil
}

func (s *server2) Plan(ctx context.Context, r *pb2.PlanRequest) (*pb2.PlanResponse, error) {
	got, err := s.v1.Plan(ctx, &pb.PlanRequest{Gateway: r.GetGateway(), Finding: r.GetFinding()})
	if err != nil {
		return nil, err
	}
	return &pb2.PlanResponse{Plan: got.GetPlan()}, nil
}

func (s *server2) Repair(r *pb2.RepairRequest, stream grpc.ServerStreamingServer[pb2.RepairResponse]) error {
	return s.v1.Repair(&pb.RepairRequest{
		Gateway: r.GetGateway(), Finding: r.GetFinding(), StepId: r.GetStepId(), DryRun: r.GetDryRun(),
	}, &repairSender{ServerStream: stream, to: stream})
}

type repairSender struct {
	grpc.ServerStream

	to grpc.ServerStreamingServer[pb2.RepairResponse]
}

func (r *repairSender) Send(m *pb.RepairResponse) error {
	switch item := m.GetItem().(type) {
	case *pb.RepairResponse_Progress:
		return r.to.Send(&pb2.RepairResponse{Item: &pb2.RepairResponse_Progress{Progress: item.Progress}})
	case *pb.RepairResponse_Result:
		return r.to.Send(&pb2.RepairResponse{Item: &pb2.RepairResponse_Result{Result: item.Result}})
	default:
		return r.to.Send(&pb2.RepairResponse{})
	}
}

func (s *server2) Verify(ctx context.Context, r *pb2.VerifyRequest) (*pb2.VerifyResponse, error) {
	req, err := verifyFrom(r)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	v, err := s.impl.Verify(ctx, req)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return verificationTo(v), nil
}
