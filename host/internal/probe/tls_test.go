package probe_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// A gateway with TLS is asked by TLS; one whose certificate is refused is believed nothing.
func TestGatewayWithTLSIsAskedByTLS(t *testing.T) {
	pair, err := gatewaytest.SelfSigned("openclaw-gateway")
	if err != nil {
		t.Fatal(err)
	}
	g := &gatewaytest.Server{Scale: -1, TLS: &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	}}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	<-g.Ready()
	check := func(refuse error) *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, //nolint:gosec // the test decides
			VerifyConnection: func(tls.ConnectionState) error { return refuse },
		}
	}
	for _, row := range []struct {
		name    string
		secure  *tls.Config
		ready   probe.Readiness
		gateway bool
		err     error
	}{
		{"trusted", check(nil), probe.Ready, true, nil},
		{"not trusted", check(probe.ErrUntrusted), probe.Open, false, probe.ErrUntrusted},
		{"without TLS", nil, probe.Open, false, nil},
	} {
		if got := probe.ReadyNow(t.Context(), g.PortNumber(), believe, row.secure); got != row.ready {
			t.Errorf("%s: readiness %d, want %d", row.name, got, row.ready)
		}
		if is, err := probe.IsGateway(t.Context(), g.PortNumber(), believe, row.secure); is != row.gateway ||
			!errors.Is(err, row.err) {
			t.Errorf("%s: gateway %v, %v", row.name, is, err)
		}
	}
}
