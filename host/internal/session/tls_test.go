package session_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// secureGateway is an emulated gateway with TLS, and its fingerprint.
func secureGateway(t *testing.T) (*gatewaytest.Server, string) {
	t.Helper()
	pair, err := gatewaytest.SelfSigned("openclaw-gateway")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pair.Certificate[0])
	return gateway(t, &gatewaytest.Server{TLS: &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	}}), hex.EncodeToString(sum[:])
}

func checked(check func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, //nolint:gosec // the check decides
		VerifyConnection: check,
	}
}

func TestSessionOverTLS(t *testing.T) {
	g, _ := secureGateway(t)
	o := options(g)
	o.TLS = checked(func(tls.ConnectionState) error { return nil })
	s := dial(t, o)
	if _, err := s.Call(t.Context(), "health", nil); err != nil {
		t.Error(err)
	}
	// a certificate that is refused: the error is that of the check, and nothing was sent
	accepted := g.Accepted()
	mine := &session.ConnectError{Stage: "tls", Code: "mine", Message: "m", Hint: "h", Final: true}
	o.TLS = checked(func(tls.ConnectionState) error { return mine })
	if got := refused(t, o); !errors.Is(got, mine) || got.Stage != "tls" {
		t.Errorf("%+v", got)
	}
	if g.Accepted() != accepted {
		t.Error("a WebSocket was opened over a connection that was refused")
	}
}

// One side speaks TLS and the other does not: the error says which, and what to set.
func TestTLSOnOneSideIsNamed(t *testing.T) {
	secure, fingerprint := secureGateway(t)
	o := options(secure)
	o.URL = strings.Replace(o.URL, "wss://", "ws://", 1)
	if got := refused(t, o); got.Code != "tls_required" || !got.Final ||
		!strings.Contains(got.Hint, `gateways.NAME.tls.fingerprint = "sha256:`+fingerprint+`"`) {
		t.Errorf("%+v", got)
	}
	o = options(gateway(t, &gatewaytest.Server{}))
	o.URL, o.TLS = strings.Replace(o.URL, "ws://", "wss://", 1), checked(func(tls.ConnectionState) error { return nil })
	if got := refused(t, o); got.Code != "tls_expected" || !got.Final || got.Hint == "" {
		t.Errorf("%+v", got)
	}
}
