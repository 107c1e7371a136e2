package conformance

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// strangersCall is a method that a program without the secret tries.
type strangersCall struct {
	method string
	stream bool
}

// strangersCalls are those of a kind; Base has those that every plugin has or may have. A stranger's message is empty:
// a plugin that serves it all the same does the least.
func strangersCalls(kind plugin.Kind) []strangersCall {
	const ours = "/gatehost.plugin.v1alpha1."
	switch kind {
	case Base:
		return []strangersCall{
			{method: ours + "PluginService/Describe"},
			{method: "/grpc.health.v1.Health/Check"},
			{method: "/plugin.GRPCStdio/StreamStdio", stream: true},
			{method: "/plugin.GRPCBroker/StartStream", stream: true},
		}
	case plugin.KindDoctor:
		return []strangersCall{{method: ours + "DoctorService/Diagnose"}, {ours + "DoctorService/Repair", true}}
	case plugin.KindClassifier:
		return []strangersCall{{ours + "ClassifierService/Classify", true}}
	default: // not used without mutual TLS
		return nil
	}
}

// baseSecret calls the plugin as another program of the same user could: by its socket.
func baseSecret(ctx context.Context, rn *runner) error {
	p, err := rn.process(ctx)
	if err != nil {
		return err
	}
	if p.Socket() == "" {
		return skip("it speaks mutual TLS")
	}
	conn, err := grpc.NewClient("unix:"+p.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	all := strangersCalls(Base)
	for _, s := range rn.info.Services {
		if rn.served(ctx, s.Kind) { // of others base/kinds-served speaks
			all = append(all, strangersCalls(s.Kind)...)
		}
	}
	// of any length: that it has the right one proves nothing
	for _, secret := range []string{"", "x", strings.Repeat("0", 64)} {
		for _, c := range all {
			if err := rn.stranger(ctx, p, conn, c, secret); err != nil {
				return err
			}
		}
	}
	return nil
}

// stranger makes one call with a wrong secret; "" is none.
func (rn *runner) stranger(
	ctx context.Context, p Process, conn *grpc.ClientConn, c strangersCall, secret string,
) error {
	ctx, cancel := rn.within(ctx, deadlineQuick)
	defer cancel()
	with := "without the secret"
	if secret != "" {
		ctx, with = metadata.AppendToOutgoingContext(ctx, pluginkit.SecretKey, secret), "with another secret"
	}
	err := callRaw(ctx, conn, c)
	if lost := rn.lost(p, c.method+" "+with, err); lost != nil {
		return lost
	}
	// go-plugin's own services may be missing, which needs no secret
	absent := status.Code(err) == grpccodes.Unimplemented && strings.HasPrefix(c.method, "/plugin.")
	if status.Code(err) == grpccodes.Unauthenticated || absent {
		return nil
	}
	return breach("refuse each call whose metadata has no "+pluginkit.SecretKey+" equal to the variable "+
		pluginkit.SecretEnv+", by UNAUTHENTICATED: docs/plugin-wire.md", "a call of %s %s is served: %v",
		strings.TrimPrefix(c.method, "/"), with, status.Code(err))
}

// callRaw makes a call with an empty message and returns how it ended, or nil at the first answer.
func callRaw(ctx context.Context, conn *grpc.ClientConn, c strangersCall) error {
	if !c.stream {
		return conn.Invoke(ctx, c.method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, c.method)
	if err != nil {
		return err
	}
	if err := s.SendMsg(&emptypb.Empty{}); err == nil { // else RecvMsg says why
		_ = s.CloseSend()
	}
	return s.RecvMsg(&emptypb.Empty{})
}
