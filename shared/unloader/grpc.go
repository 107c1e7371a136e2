package unloader

import (
	"context"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	maxServices = 256
	maxUndo     = 64 << 10
	maxText     = 4096
)

// NewClient is an Unloader on the other end of a connection.
func NewClient(cc grpc.ClientConnInterface) Unloader { return &client{pb.NewUnloaderServiceClient(cc)} }

// RegisterServer serves an implementation.
func RegisterServer(s grpc.ServiceRegistrar, impl Unloader) {
	pb.RegisterUnloaderServiceServer(s, &server{impl: impl})
}

type client struct{ rpc pb.UnloaderServiceClient }

var _ Unloader = (*client)(nil)

func (c *client) Inspect(ctx context.Context, gw plugin.GatewayFacts) ([]Service, error) {
	return wire.Ask(ctx, c.rpc.Inspect, &pb.UnloaderServiceInspectRequest{Gateway: wire.Facts(gw)}, servicesFrom)
}

func servicesFrom(r *pb.UnloaderServiceInspectResponse) ([]Service, error) {
	if len(r.GetServices()) > maxServices {
		return nil, wire.Violation("%d services", len(r.GetServices()))
	}
	var out []Service
	for _, s := range r.GetServices() {
		if s.GetId() == "" || s.GetPid() < 0 {
			return nil, wire.Violation("a service without an id, or with pid %d", s.GetPid())
		}
		out = append(out, Service{
			ID: wire.Text(s.GetId(), maxText), Manager: wire.Text(s.GetManager(), 256),
			Path: wire.Text(s.GetPath(), maxText), Loaded: s.GetLoaded(), PID: int(s.GetPid()),
			KeepsAlive: s.GetKeepsAlive(), Reason: wire.Text(s.GetReason(), maxText),
			DisableCommand: wire.Text(s.GetDisableCommand(), maxText),
		})
	}
	return out, nil
}

func (c *client) Unload(ctx context.Context, gw plugin.GatewayFacts, serviceID string) (Unloaded, error) {
	req := &pb.UnloadRequest{Gateway: wire.Facts(gw), ServiceId: serviceID}
	return wire.Ask(ctx, c.rpc.Unload, req, func(r *pb.UnloadResponse) (Unloaded, error) {
		if len(r.GetUndo()) > maxUndo {
			return Unloaded{}, wire.Violation("an undo record of %d bytes", len(r.GetUndo()))
		}
		return Unloaded{Changed: r.GetChanged(), Undo: r.GetUndo()}, nil
	})
}

func (c *client) Restore(ctx context.Context, undo []byte) (bool, error) {
	return wire.Ask(ctx, c.rpc.Restore, &pb.RestoreRequest{Undo: undo}, func(r *pb.RestoreResponse) (bool, error) {
		return r.GetChanged(), nil
	})
}

type server struct {
	pb.UnimplementedUnloaderServiceServer
	impl Unloader
}

func (s *server) Inspect(
	ctx context.Context, r *pb.UnloaderServiceInspectRequest,
) (*pb.UnloaderServiceInspectResponse, error) {
	services, err := s.impl.Inspect(ctx, wire.FactsFrom(r.GetGateway()))
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	out := &pb.UnloaderServiceInspectResponse{}
	for _, x := range services {
		out.Services = append(out.Services, &pb.PlatformService{
			Id: wire.Text(x.ID, maxText), Manager: x.Manager, Path: wire.Text(x.Path, maxText), Loaded: x.Loaded,
			Pid:        int64(x.PID),
			KeepsAlive: x.KeepsAlive, Reason: wire.Text(x.Reason, maxText), DisableCommand: wire.Text(x.DisableCommand,
				maxText),
		})
	}
	return out, nil
}

func (s *server) Unload(ctx context.Context, r *pb.UnloadRequest) (*pb.UnloadResponse, error) {
	got, err := s.impl.Unload(ctx, wire.FactsFrom(r.GetGateway()), r.GetServiceId())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.UnloadResponse{Changed: got.Changed, Undo: got.Undo}, nil
}

func (s *server) Restore(ctx context.Context, r *pb.RestoreRequest) (*pb.RestoreResponse, error) {
	if len(r.GetUndo()) > maxUndo {
		return nil, fault.ToStatus(fault.New(fault.InvalidArgument, "cannot restore: the undo record is too long"))
	}
	changed, err := s.impl.Restore(ctx, r.GetUndo())
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.RestoreResponse{Changed: changed}, nil
}
