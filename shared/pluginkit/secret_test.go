package pluginkit_test

import (
	"bufio"
	"context"
	"os"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

const secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"

// envDoctor says in its finding what a child would inherit.
type envDoctor struct{ doctor.Fake }

func (*envDoctor) Diagnose(context.Context, doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	return doctor.Found(doctor.Finding{Code: "env", Text: "secret=" + os.Getenv(pluginkit.SecretEnv)}), nil
}

// served starts the plugin with a secret, as the host does without mutual TLS, and connects to its socket.
func served(t *testing.T, env ...string) *grpc.ClientConn {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("unix sockets")
	}
	dir, err := os.MkdirTemp("", "gh") // short: a socket lives in it
	if err != nil {
		t.Fatal(err)
	}
	cmd, closePipe, text := pluginProcess(t, append(env, pluginkit.CookieKey+"="+pluginkit.CookieValue,
		"PLUGIN_UNIX_SOCKET_DIR="+dir)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = closePipe()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	parts := strings.Split(line, "|")
	if err != nil || len(parts) < 5 || parts[2] != "unix" {
		t.Fatalf("handshake = %q, %v; %s", line, err, text)
	}
	conn, err := grpc.NewClient("unix:"+parts[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// calls are methods of all services of a plugin, those of go-plugin included.
var calls = map[string]bool{ // whether it is a stream
	"/grpc.health.v1.Health/Check":                                   false,
	"/grpc.health.v1.Health/Watch":                                   true,
	"/plugin.GRPCController/Shutdown":                                false,
	"/plugin.GRPCStdio/StreamStdio":                                  true,
	"/plugin.GRPCBroker/StartStream":                                 true,
	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      true,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
	"/gatehost.plugin.v1alpha1.PluginService/Describe":               false,
	"/gatehost.plugin.v1alpha1.PluginService/Configure":              false,
	"/gatehost.plugin.v1alpha1.DoctorService/Diagnose":               false,
	"/gatehost.plugin.v1alpha1.DoctorService/Repair":                 true,
}

// call makes a call and returns how it ended; of a stream that the plugin keeps open, how it began.
func call(ctx context.Context, cc *grpc.ClientConn, method string, stream bool) error {
	if !stream {
		return cc.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	if err := s.SendMsg(&emptypb.Empty{}); err == nil { // else RecvMsg says why
		_ = s.CloseSend()
	}
	return s.RecvMsg(&emptypb.Empty{})
}

func TestPluginWithASecretServesItsHostOnly(t *testing.T) {
	conn := served(t, pluginkit.SecretEnv+"="+secret)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, sent := range map[string][]string{
		"no secret": nil, "another secret": {strings.Repeat("0", 64)}, "an empty secret": {""}, "half of it": {secret[:32]},
		"more than it": {secret + "0"}, "in capitals": {strings.ToUpper(secret)},
	} {
		stranger := ctx
		for _, value := range sent {
			stranger = metadata.AppendToOutgoingContext(stranger, pluginkit.SecretKey, value)
		}
		for method, stream := range calls {
			err := call(stranger, conn, method, stream)
			if status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), secret[:8]) {
				t.Errorf("%s with %s: %v", method, name, err)
			}
		}
	}
	host := metadata.AppendToOutgoingContext(ctx, pluginkit.SecretKey, secret)
	for method, stream := range map[string]bool{
		"/grpc.health.v1.Health/Check": false, "/grpc.health.v1.Health/Watch": true,
		"/gatehost.plugin.v1alpha1.PluginService/Describe": false,
	} {
		if err := call(host, conn, method, stream); err != nil {
			t.Errorf("%s with the secret: %v", method, err)
		}
	}
	d, err := doctor.NewClient(conn).Diagnose(host, doctor.DiagnoseRequest{})
	if err != nil || len(d.Findings) != 1 || d.Findings[0].Text != "secret=" {
		t.Errorf("a child of it inherits %+v, %v", d, err)
	}
}

func TestPluginWithoutASecretServesAsBefore(t *testing.T) {
	conn := served(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	info, err := pluginkit.NewClient(conn).Describe(ctx, plugin.HostInfo{})
	if err != nil || info.Name != "kit-test" {
		t.Errorf("%+v, %v", info, err)
	}
	r, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "plugin"})
	if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", r, err)
	}
}
