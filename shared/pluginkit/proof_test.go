package pluginkit

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestPluginServesOnlyWhoCarriesItsSecret: of every service, also go-plugin's own, unary and by stream.
func TestPluginServesOnlyWhoCarriesItsSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(Proof("the-secret").serverOptions()...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	dial := func(more ...grpc.DialOption) healthpb.HealthClient {
		conn, err := grpc.NewClient("unix:"+path,
			append(more, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return healthpb.NewHealthClient(conn)
	}
	with := func(pairs ...string) context.Context { return metadata.AppendToOutgoingContext(t.Context(), pairs...) }
	for name, row := range map[string]struct {
		client healthpb.HealthClient
		ctx    context.Context //nolint:containedctx // of one row
		want   codes.Code
	}{
		"the host":       {dial(grpc.WithPerRPCCredentials(Proof("the-secret"))), t.Context(), codes.OK},
		"nothing":        {dial(), t.Context(), codes.Unauthenticated},
		"another":        {dial(grpc.WithPerRPCCredentials(Proof("a-secret"))), t.Context(), codes.Unauthenticated},
		"empty":          {dial(), with(SecretMetadata, ""), codes.Unauthenticated},
		"twice":          {dial(), with(SecretMetadata, "the-secret", SecretMetadata, "x"), codes.Unauthenticated},
		"another key":    {dial(), with("authorization", "the-secret"), codes.Unauthenticated},
		"by hand, right": {dial(), with(SecretMetadata, "the-secret"), codes.OK},
	} {
		if _, err := row.client.Check(row.ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != row.want {
			t.Errorf("%s: a call: %v, want %v", name, err, row.want)
		}
		stream, err := row.client.Watch(row.ctx, &healthpb.HealthCheckRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != row.want {
			t.Errorf("%s: a stream: %v, want %v", name, err, row.want)
		}
	}
	if len(Proof("").serverOptions()) != 0 {
		t.Error("without a secret, as with mutual TLS, there is nothing to prove")
	}
}

// TestChildrenDoNotInheritTheSecret: they could call the plugin with it.
func TestChildrenDoNotInheritTheSecret(t *testing.T) {
	t.Setenv(SecretVariable, "the-secret")
	if got := takeProof(); got != "the-secret" {
		t.Errorf("%q", got)
	}
	if v, set := os.LookupEnv(SecretVariable); set || takeProof() != "" {
		t.Errorf("it is still there: %q", v)
	}
}

func explode() { panic("planted") }

func TestPlaceOfAPanicIsFound(t *testing.T) {
	at := ""
	func() {
		defer func() {
			_ = recover()
			at = panicked()
		}()
		explode()
	}()
	first, _, _ := strings.Cut(at, " < ")
	if !strings.HasPrefix(first, "proof_test.go:") || !strings.HasSuffix(first, "pluginkit.explode") {
		t.Errorf("%q", at)
	}
}
