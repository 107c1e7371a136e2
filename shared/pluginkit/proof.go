package pluginkit

import (
	"context"
	"crypto/subtle"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// With transport = "socket" there are no certificates. The host knows the plugin by its pid; the plugin knows the host
// by a secret that only the two have: each call carries it.
const (
	// SecretVariable is the environment variable by which a plugin gets the secret. It is not set with mutual TLS, nor by
	// hosts older than it.
	SecretVariable = "GATEHOST_PLUGIN_SECRET" //nolint:gosec // a name
	// SecretMetadata is the metadata key of a call that carries it.
	SecretMetadata = "gatehost-plugin-secret" //nolint:gosec // a name
)

// Proof is the secret as what the host sends with each call (credentials.PerRPCCredentials).
type Proof string

// GetRequestMetadata returns the metadata of a call.
func (p Proof) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{SecretMetadata: string(p)}, nil
}

// RequireTransportSecurity reports false: the connection is a unix socket whose other end the host has checked.
func (Proof) RequireTransportSecurity() bool { return false }

// takeProof returns the secret that the host gave to this process, and removes it from the environment, which children
// inherit. "": it gave none.
func takeProof() Proof {
	p := Proof(os.Getenv(SecretVariable))
	_ = os.Unsetenv(SecretVariable)
	return p
}

// serverOptions refuse every call without the secret.
func (p Proof) serverOptions() []grpc.ServerOption {
	if p == "" {
		return nil
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(
			func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if err := p.check(ctx); err != nil {
					return nil, err
				}
				return next(ctx, req)
			}),
		grpc.ChainStreamInterceptor(
			func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
				if err := p.check(ss.Context()); err != nil {
					return err
				}
				return next(srv, ss)
			}),
	}
}

func (p Proof) check(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	shown := md.Get(SecretMetadata)
	if len(shown) == 1 && subtle.ConstantTimeCompare([]byte(shown[0]), []byte(p)) == 1 {
		return nil
	}
	return status.Error(codes.Unauthenticated, "this plugin serves its host only: the call does not carry its secret")
}
