package pluginkit

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/internal/wire"
	"github.com/gatehost/gatehost/shared/launcher"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/unloader"
)

// MaxMessage is the largest message in bytes, either way.
const MaxMessage = wire.MaxMessage

// Register serves p on a gRPC server, as Serve does: for tests, and for authors who bring their own server.
func Register(s grpc.ServiceRegistrar, p Plugin) {
	pb.RegisterPluginServiceServer(s, &base{p: p})
	if p.Launcher != nil {
		launcher.RegisterServer(s, p.Launcher)
	}
	if p.Unloader != nil {
		unloader.RegisterServer(s, p.Unloader)
	}
	if p.Doctor != nil {
		doctor.RegisterServer(s, p.Doctor)
	}
	if p.Classifier != nil {
		classifier.RegisterServer(s, p.Classifier)
	}
}

// grpcPlugin is go-plugin's view of a Plugin.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	p   Plugin
	ctx context.Context //nolint:containedctx // the life of the host, for every call
}

var _ goplugin.GRPCPlugin = (*grpcPlugin)(nil)

func (g *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	Register(s, g.p)
	return nil
}

func (g *grpcPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, cc *grpc.ClientConn) (any, error) {
	return cc, nil
}

// ClientPlugins is the plugin set of the host's side: dispensing PluginName gives the *grpc.ClientConn.
func ClientPlugins() goplugin.PluginSet { return goplugin.PluginSet{PluginName: &grpcPlugin{}} }

// ServerOptions make a server keep the contract's promises: only the host is served, bounded messages, panics become
// errors, calls end with host. The secret that proves the host is read from the environment and removed there, once.
func ServerOptions(host context.Context) []grpc.ServerOption {
	return serverOptions(host, &calls{}, hostSecret())
}

func serverOptions(host context.Context, running *calls, secret string) []grpc.ServerOption {
	return append(proveHost(secret), //nolint:contextcheck // each call has its own
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo,
			next grpc.UnaryHandler,
		) (resp any, err error) {
			defer running.begin(info.FullMethod)()
			ctx, done := until(ctx, host)
			defer done()
			defer func() {
				if r := recover(); r != nil {
					logPanic(info.FullMethod, r)
					resp, err = nil, fault.ToStatus(fault.Recovered(r))
				}
			}()
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo,
			next grpc.StreamHandler,
		) (err error) {
			defer running.begin(info.FullMethod)()
			ctx, done := until(ss.Context(), host)
			defer done()
			defer func() {
				if r := recover(); r != nil {
					logPanic(info.FullMethod, r)
					err = fault.ToStatus(fault.Recovered(r))
				}
			}()
			return next(srv, &boundStream{ServerStream: ss, ctx: ctx})
		}),
	)
}

// logPanic says in the host's log where an implementation panicked: an answer has the text only.
func logPanic(method string, r any) {
	Logger("pluginkit").Error("a call panicked", "method", method, "panic", fmt.Sprint(r), "at", panicked())
}

// panicked returns the calls that led to a panic, the innermost first, without those of the runtime and of gRPC:
// "main.go:41 main.(*mine).Diagnose". It is called while a deferred call recovers.
func panicked() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	var out []string
	for more := true; more; {
		var f runtime.Frame
		switch f, more = frames.Next(); {
		case f.Function == "runtime.gopanic":
			out = nil // what came after the panic
		case strings.HasPrefix(f.Function, "google.golang.org/grpc"):
			more = false
		case f.Function != "" && !strings.HasPrefix(f.Function, "runtime."):
			out = append(out, fmt.Sprintf("%s:%d %s", filepath.Base(f.File), f.Line, f.Function))
		}
	}
	return strings.Join(out[:min(len(out), 8)], " < ")
}

// until is ctx that also ends with host.
func until(ctx, host context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(host, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

type boundStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // gRPC's own way to give a stream its context
}

func (b *boundStream) Context() context.Context { return b.ctx }

// grpcServer makes the server when go-plugin asks for it, and remembers it.
func grpcServer(host context.Context, running *calls, secret string, made *atomic.Pointer[grpc.Server]) func(
	[]grpc.ServerOption) *grpc.Server {
	return func(opts []grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(append(opts, serverOptions(host, running, secret)...)...)
		made.Store(s)
		return s
	}
}

// base serves what every plugin serves.
type base struct {
	pb.UnimplementedPluginServiceServer
	p Plugin
}

func (b *base) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return wire.Info(b.p.Info()), nil
}

func (b *base) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	req := wire.ConfigureFrom(r)
	if b.p.Configure == nil {
		_, diagnostics := DecodeConfig(req.Config, struct{}{})
		return &pb.ConfigureResponse{Diagnostics: wire.Diagnostics(diagnostics)}, nil
	}
	diagnostics, err := b.p.Configure(ctx, req)
	if err != nil {
		return nil, fault.ToStatus(err)
	}
	return &pb.ConfigureResponse{Diagnostics: wire.Diagnostics(diagnostics)}, nil
}

// NewClient is a client of a plugin's common service.
func NewClient(cc grpc.ClientConnInterface) plugin.Plugin {
	return &baseClient{pb.NewPluginServiceClient(cc)}
}

type baseClient struct{ rpc pb.PluginServiceClient }

var _ plugin.Plugin = (*baseClient)(nil)

func (c *baseClient) Describe(ctx context.Context, h plugin.HostInfo) (plugin.Info, error) {
	r, err := c.rpc.Describe(ctx, &pb.DescribeRequest{Host: wire.Host(h)})
	if err != nil {
		return plugin.Info{}, fault.FromStatus(err)
	}
	return wire.InfoFrom(r)
}

func (c *baseClient) Configure(ctx context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	r, err := c.rpc.Configure(ctx, wire.Configure(req))
	if err != nil {
		return nil, fault.FromStatus(err)
	}
	return wire.DiagnosticsFrom(r.GetDiagnostics()), nil
}
