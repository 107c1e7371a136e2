package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// given is the secret that the host gave; the SDK removes it from the environment.
var given = os.Getenv(pluginkit.SecretEnv)

// tellSecret shows the secret wherever a plugin can, and keeps it in a file for the test.
func tellSecret() {
	_ = os.WriteFile("secret", []byte(given), 0o600)
	encoded := base64.StdEncoding.EncodeToString([]byte(given))
	fmt.Fprintln(os.Stderr, "the word is", given, encoded)
	pluginkit.Logger("teller").Error("the word is "+given, "value", given, "encoded", encoded)
}

// secretOf answers with what the plugin knows: as a finding, or as an error.
func secretOf(how string) (doctor.Diagnosis, error) {
	if how == "error" {
		return doctor.Diagnosis{}, fault.New(fault.Conflict, "the word is "+given).WithHint("say " + given)
	}
	return doctor.Found(doctor.Finding{
		Code: "word", Text: "the word is " + given, Evidence: []string{os.Getenv(pluginkit.SecretEnv)},
	}), nil
}

// recordCalls serves anyone and writes into the file "calls" which methods were called and whether they carried the
// secret.
func recordCalls(p pluginkit.Plugin) {
	_ = os.WriteFile("secret", []byte(given), 0o600)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	var mu sync.Mutex
	note := func(ctx context.Context, method string) {
		sent, _ := metadata.FromIncomingContext(ctx)
		values := sent.Get(pluginkit.SecretKey)
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile("calls", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, method, len(values) == 1 && values[0] == given)
			_ = f.Close()
		}
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: pluginkit.Handshake(), Plugins: goplugin.PluginSet{pluginkit.PluginName: &unbounded{p: p}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.UnaryInterceptor(func(
				ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
			) (any, error) {
				note(ctx, info.FullMethod)
				return next(ctx, req)
			}), grpc.StreamInterceptor(func(
				srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
			) error {
				note(s.Context(), info.FullMethod)
				return next(srv, s)
			}))...)
		},
	})
	os.Exit(0)
}

// callAsStranger calls a plugin by its socket, as any program of the user can, and prints how each call ended.
func callAsStranger(socket string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	for _, method := range []string{
		"/grpc.health.v1.Health/Check", "/plugin.GRPCController/Shutdown",
		"/gatehost.plugin.v1alpha1.PluginService/Describe", "/gatehost.plugin.v1alpha1.DoctorService/Diagnose",
	} {
		fmt.Println(method, status.Code(conn.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})))
	}
	for _, method := range []string{
		"/plugin.GRPCStdio/StreamStdio", "/plugin.GRPCBroker/StartStream",
		"/gatehost.plugin.v1alpha1.DoctorService/Repair",
	} {
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		if err == nil && s.SendMsg(&emptypb.Empty{}) == nil {
			_ = s.CloseSend()
		}
		if err == nil {
			err = s.RecvMsg(&emptypb.Empty{})
		}
		fmt.Println(method, status.Code(err))
	}
	os.Exit(0)
}
