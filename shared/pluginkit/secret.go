package pluginkit

import (
	"context"
	"crypto/subtle"
	"os"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Where there is no mutual TLS (transport = "socket"), the host proves itself by a secret that it makes for each
// process: the process gets it in its environment, and each call of the host carries it as metadata.
const (
	SecretEnv = "GATEHOST_PLUGIN_SECRET" //nolint:gosec // a name
	SecretKey = "gatehost-plugin-secret" //nolint:gosec // a name
)

// hostSecret returns the secret of this process; "" when the host gave none. Children do not get it: the variable is
// removed when it is read.
var hostSecret = sync.OnceValue(func() string {
	secret := os.Getenv(SecretEnv)
	_ = os.Unsetenv(SecretEnv)
	return secret
})

// proveHost returns options by which a server refuses each call that does not carry the secret, of whatever service.
// They must come before other interceptors. Without a secret everyone is served.
func proveHost(secret string) []grpc.ServerOption {
	if secret == "" {
		return nil
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo,
			next grpc.UnaryHandler,
		) (any, error) {
			if err := carries(ctx, secret); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo,
			next grpc.StreamHandler,
		) error {
			if err := carries(ss.Context(), secret); err != nil {
				return err
			}
			return next(srv, ss)
		}),
	}
}

// carries fails when a call does not carry the secret.
func carries(ctx context.Context, secret string) error {
	sent, _ := metadata.FromIncomingContext(ctx)
	if slices.ContainsFunc(sent.Get(SecretKey), func(value string) bool {
		return subtle.ConstantTimeCompare([]byte(value), []byte(secret)) == 1
	}) {
		return nil
	}
	return status.Error(codes.Unauthenticated, "this plugin serves the host that started it, and no other program")
}
