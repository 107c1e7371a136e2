package pluginhost

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// ourServices is the prefix of the contract's methods; go-plugin has services of its own on the same connection.
const ourServices = "/gatehost.plugin."

// explainErrors returns dial options by which errors of the gRPC libraries themselves, not of a plugin, say what an
// operator can do.
func explainErrors(name string) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
			invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
		) error {
			return explainRaw(name, method, invoke(ctx, method, req, reply, cc, opts...))
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
			method string, open grpc.Streamer, opts ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			s, err := open(ctx, desc, cc, method, opts...)
			if err != nil {
				return nil, explainRaw(name, method, err)
			}
			return &explained{s, name, method}, nil
		}),
	}
}

type explained struct {
	grpc.ClientStream

	name, method string
}

// RecvMsg returns how a stream ended.
func (e *explained) RecvMsg(m any) error {
	return explainRaw(e.name, e.method, e.ClientStream.RecvMsg(m))
}

// explainRaw does not change what a plugin has said itself: that has details.
func explainRaw(name, method string, err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok || len(s.Details()) > 0 || !strings.HasPrefix(method, ourServices) {
		return err
	}
	call := nameOf(method)
	service, _, _ := strings.Cut(call, ".")
	switch {
	case s.Code() == codes.Unimplemented:
		return fault.ToStatus(fault.New(fault.Internal, fmt.Sprintf("plugin %q announces a %s and does not serve %s",
			name, strings.ToLower(service), call)).
			WithHint("upgrade the plugin, or tell its author; take it out of the gateway's list until then"))
	case s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "larger than max"):
		return fault.ToStatus(fault.New(fault.Exhausted, fmt.Sprintf("plugin %q answers %s by more than %d MiB: %s",
			name, call, pluginkit.MaxMessage>>20, s.Message())).
			WithHint("tell its author"))
	default:
		return err
	}
}
