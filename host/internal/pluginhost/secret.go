package pluginhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// proof is the secret by which the host proves itself to one process of a plugin that speaks without mutual TLS: that
// process gets it in its environment, and each call carries it as metadata. nil: there is mutual TLS. It is sent only
// over connections that dial has proved, and a log that is given it shows no secret.
type proof struct{ secret string }

var _ credentials.PerRPCCredentials = (*proof)(nil)

// newProof makes a secret and has it hidden wherever a plugin may show it, until forget.
func newProof(known *redact.Known) *proof {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	p := &proof{hex.EncodeToString(random[:])}
	known.Learn([]string{p.secret})
	return p
}

// forget is called when the process has ended: its secret opens nothing any more.
func (p *proof) forget(known *redact.Known) {
	if p != nil {
		known.Forget([]string{p.secret})
	}
}

// String hides the secret.
func (p *proof) String() string { return "[redacted]" }

// GoString hides the secret.
func (p *proof) GoString() string { return "[redacted]" }

// environment returns what it adds to the environment of the process.
func (p *proof) environment() []string {
	if p == nil {
		return nil
	}
	return []string{pluginkit.SecretEnv + "=" + p.secret}
}

// dialOptions make each call of a connection carry the secret, those of go-plugin's own services included.
func (p *proof) dialOptions() []grpc.DialOption {
	if p == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithPerRPCCredentials(p)}
}

// GetRequestMetadata is for gRPC, which asks for each call.
func (p *proof) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{pluginkit.SecretKey: p.secret}, nil
}

// RequireTransportSecurity is false: a unix socket in a directory that no other user can enter needs no TLS.
func (p *proof) RequireTransportSecurity() bool { return false }
