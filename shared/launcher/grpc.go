package launcher

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	maxBatch  = 256
	maxLabels = 64
	maxList   = 4096
	maxStdin  = 1 << 20
)

// NewClient is a Launcher on the other end of a connection.
func NewClient(cc grpc.ClientConnInterface) Launcher { return &client{pb.NewLauncherServiceClient(cc)} }

// RegisterServer serves an implementation.
func RegisterServer(s grpc.ServiceRegistrar, impl Launcher) {
	pb.RegisterLauncherServiceServer(s, &server{impl: impl})
}

type client struct{ rpc pb.LauncherServiceClient }

var _ Launcher = (*client)(nil)

func (c *client) Launch(ctx context.Context, req LaunchRequest) (Launched, error) {
	return wire.Ask(ctx, c.rpc.Launch, launchTo(req), func(r *pb.LaunchResponse) (Launched, error) {
		inst, err := same(req.LaunchID, r.GetInstance())
		if err != nil {
			return Launched{}, err
		}
		return Launched{Instance: inst, AlreadyLaunched: r.GetAlreadyLaunched()}, nil
	})
}

func (c *client) List(ctx context.Context, gateway string) (Listing, error) {
	return wire.Ask(ctx, c.rpc.List, &pb.ListRequest{Gateway: gateway}, listingFrom)
}

func listingFrom(r *pb.ListResponse) (Listing, error) {
	if len(r.GetInstances()) > maxList || len(r.GetBroken()) > maxList {
		return Listing{}, wire.Violation("it lists %d instances", len(r.GetInstances()))
	}
	var l Listing
	for _, i := range r.GetInstances() {
		inst, err := instanceFrom(i)
		if err != nil {
			return Listing{}, err
		}
		l.Instances = append(l.Instances, inst)
	}
	for _, b := range r.GetBroken() {
		l.Broken = append(l.Broken, BrokenBundle{
			Path:   wire.Text(b.GetPath(), 4096),
			Reason: wire.Text(b.GetReason(), 4096),
		})
	}
	return l, nil
}

func (c *client) Recover(ctx context.Context, launchID string) (Instance, error) {
	req := &pb.RecoverRequest{LaunchId: launchID}
	return wire.Ask(ctx, c.rpc.Recover, req, func(r *pb.RecoverResponse) (Instance, error) {
		return same(launchID, r.GetInstance())
	})
}

// same refuses an answer about another launch than the one asked for.
func same(launchID string, i *pb.Instance) (Instance, error) {
	inst, err := instanceFrom(i)
	if err == nil && inst.LaunchID != launchID {
		err = wire.Violation("asked about launch %s, it spoke of %s", launchID, inst.LaunchID)
	}
	if err != nil {
		return Instance{}, err
	}
	return inst, nil
}

func (c *client) Inspect(ctx context.Context, launchID string) (Inspection, error) {
	req := &pb.LauncherServiceInspectRequest{LaunchId: launchID}
	return wire.Ask(ctx, c.rpc.Inspect, req, func(r *pb.LauncherServiceInspectResponse) (Inspection, error) {
		inst, err := same(launchID, r.GetInstance())
		return Inspection{Instance: inst, RSSBytes: r.GetRssBytes(), Processes: int(r.GetProcesses())}, err
	})
}

func (c *client) Output(ctx context.Context, req OutputRequest, sink func(OutputItem) error) error {
	var early error
	if req.Follow {
		early = wire.Violation("the output ended without an End")
	}
	cursor := req.Cursor
	asked := &pb.OutputRequest{LaunchId: req.LaunchID, Cursor: req.Cursor, Follow: req.Follow}
	return wire.Receive(ctx, c.rpc.Output, asked, early, func(r *pb.OutputResponse) (last bool, err error) {
		item, err := itemFrom(r, &cursor)
		if err != nil {
			return false, err
		}
		_, last = item.(*End)
		return last, sink(item)
	})
}

func (c *client) Signal(ctx context.Context, launchID, signal string) error {
	req := &pb.SignalRequest{LaunchId: launchID, Signal: signal}
	_, err := wire.Ask(ctx, c.rpc.Signal, req, wire.Empty[*pb.SignalResponse])
	return err
}

func (c *client) Stop(ctx context.Context, launchID string, grace time.Duration) (Stopped, error) {
	req := &pb.StopRequest{LaunchId: launchID, Grace: durationpb.New(max(grace, 0))}
	return wire.Ask(ctx, c.rpc.Stop, req, func(r *pb.StopResponse) (Stopped, error) {
		return Stopped{Exit: wire.ExitValue(r.GetExit()), Killed: r.GetKilled(), Swept: int(r.GetSwept())}, nil
	})
}

func (c *client) Release(ctx context.Context, launchID string) error {
	_, err := wire.Ask(ctx, c.rpc.Release, &pb.ReleaseRequest{LaunchId: launchID}, wire.Empty[*pb.ReleaseResponse])
	return err
}

func (c *client) Exec(ctx context.Context, req ExecRequest, sink func(plugin.Line) error) (ExecResult, error) {
	asked := &pb.ExecRequest{
		Gateway: wire.Facts(req.Gateway), Process: wire.Process(req.Process), Timeout: durationpb.New(req.Timeout),
		Stdin: req.Stdin, MaxOutputBytes: req.MaxOutputBytes,
	}
	var out ExecResult
	early := wire.Violation("a command ended without a result")
	err := wire.Receive(ctx, c.rpc.Exec, asked, early, func(r *pb.ExecResponse) (last bool, err error) {
		switch item := r.GetItem().(type) {
		case *pb.ExecResponse_Line:
			return false, sink(wire.LineFrom(item.Line))
		case *pb.ExecResponse_Result:
			out = ExecResult{
				Exit: wire.ExitValue(item.Result.GetExit()), TimedOut: item.Result.GetTimedOut(),
				DroppedBytes: item.Result.GetDroppedBytes(),
			}
			return true, nil
		default:
			return false, wire.Violation("an empty item in a command's output")
		}
	})
	return out, err
}

type server struct {
	pb.UnimplementedLauncherServiceServer
	impl Launcher
}

func (s *server) Launch(ctx context.Context, r *pb.LaunchRequest) (*pb.LaunchResponse, error) {
	req, err := launchFrom(r)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	got, err := s.impl.Launch(ctx, req)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.LaunchResponse{Instance: instanceTo(got.Instance), AlreadyLaunched: got.AlreadyLaunched}, nil
}

func (s *server) List(ctx context.Context, r *pb.ListRequest) (*pb.ListResponse, error) {
	l, err := s.impl.List(ctx, r.GetGateway())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	out := &pb.ListResponse{}
	for _, i := range l.Instances {
		out.Instances = append(out.Instances, instanceTo(i))
	}
	for _, b := range l.Broken {
		out.Broken = append(out.Broken, &pb.BrokenBundle{
			Path:   wire.Text(b.Path, 4096),
			Reason: wire.Text(b.Reason, 4096),
		})
	}
	return out, nil
}

func (s *server) Recover(ctx context.Context, r *pb.RecoverRequest) (*pb.RecoverResponse, error) {
	i, err := s.impl.Recover(ctx, r.GetLaunchId())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.RecoverResponse{Instance: instanceTo(i)}, nil
}

func (s *server) Inspect(
	ctx context.Context, r *pb.LauncherServiceInspectRequest,
) (*pb.LauncherServiceInspectResponse, error) {
	i, err := s.impl.Inspect(ctx, r.GetLaunchId())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.LauncherServiceInspectResponse{
		Instance: instanceTo(i.Instance), RssBytes: i.RSSBytes,
		Processes: uint32(max(i.Processes, 0)), //nolint:gosec // a count of processes
	}, nil
}

func (s *server) Output(r *pb.OutputRequest, stream grpc.ServerStreamingServer[pb.OutputResponse]) error {
	req := OutputRequest{LaunchID: r.GetLaunchId(), Cursor: r.GetCursor(), Follow: r.GetFollow()}
	return fault.ToStatus(s.impl.Output(stream.Context(), req, func(item OutputItem) error {
		for _, m := range itemTo(item) {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return nil
	}))
}

func (s *server) Signal(ctx context.Context, r *pb.SignalRequest) (*pb.SignalResponse, error) {
	if err := s.impl.Signal(ctx, r.GetLaunchId(), r.GetSignal()); err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.SignalResponse{}, nil
}

func (s *server) Stop(ctx context.Context, r *pb.StopRequest) (*pb.StopResponse, error) {
	got, err := s.impl.Stop(ctx, r.GetLaunchId(), r.GetGrace().AsDuration())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	swept := uint32(max(got.Swept, 0)) //nolint:gosec // a count of processes
	return &pb.StopResponse{Exit: wire.Exit(&got.Exit), Killed: got.Killed, Swept: swept}, nil
}

func (s *server) Release(ctx context.Context, r *pb.ReleaseRequest) (*pb.ReleaseResponse, error) {
	if err := s.impl.Release(ctx, r.GetLaunchId()); err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.ReleaseResponse{}, nil
}

func (s *server) Exec(r *pb.ExecRequest, stream grpc.ServerStreamingServer[pb.ExecResponse]) error {
	req := ExecRequest{
		Gateway: wire.FactsFrom(r.GetGateway()), Process: wire.ProcessFrom(r.GetProcess()),
		Timeout: r.GetTimeout().AsDuration(),
		Stdin:   r.GetStdin(), MaxOutputBytes: r.GetMaxOutputBytes(),
	}
	if err := checkExec(req); err != nil {
		return fault.ToStatus(err)
	}
	got, err := s.impl.Exec(stream.Context(), req, func(l plugin.Line) error {
		return stream.Send(&pb.ExecResponse{Item: &pb.ExecResponse_Line{Line: wire.Line(l)}})
	})
	if err != nil {
		return fault.ToStatus(err)
	}
	return stream.Send(&pb.ExecResponse{Item: &pb.ExecResponse_Result{Result: &pb.ExecResult{
		Exit: wire.Exit(&got.Exit), TimedOut: got.TimedOut, DroppedBytes: got.DroppedBytes,
	}}})
}

func checkExec(req ExecRequest) error {
	switch {
	case req.Timeout <= 0:
		return fault.New(fault.InvalidArgument, "cannot run a command: it needs a positive timeout")
	case len(req.Process.Argv) == 0 || req.Process.Argv[0] == "":
		return fault.New(fault.InvalidArgument, "cannot run a command: no program is named")
	case len(req.Stdin) > maxStdin:
		return fault.New(fault.InvalidArgument, "cannot run a command: more than 1 MiB for its standard input")
	}
	return checkEnv(req.Process.Env)
}
