package session

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
)

// Codes of a connection whose ends disagree about TLS.
const (
	CodeTLS   = "tls_on_port"    // the gateway speaks TLS, and this host does not
	CodeNoTLS = "no_tls_on_port" // the reverse
)

// tlsMismatch returns the error of a connection whose ends disagree about TLS; nil when they do not. A server that
// speaks TLS cuts a plain connection or answers 400, as other servers do, too: one TLS handshake decides. Nothing is
// sent over it.
func tlsMismatch(ctx context.Context, o Options, resp *http.Response, err error) *ConnectError {
	target, parseErr := url.Parse(o.URL)
	if parseErr != nil {
		return nil //nolint:nilerr // the dial has refused such an address with an error of its own
	}
	switch {
	case target.Scheme == "wss":
		if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
			return &ConnectError{
				Stage: "dial", Code: CodeNoTLS, Final: true, Cause: err,
				Message: "the gateway on " + target.Host + " does not speak TLS, and gatehost connects to it with TLS",
				Hint:    "switch TLS on there: run `openclaw config set gateway.tls.enabled true`, then `gatehost restart NAME`",
			}
		}
		return nil
	case resp != nil && resp.StatusCode != http.StatusBadRequest, !speaksTLS(ctx, o, target.Host):
		return nil
	}
	return &ConnectError{
		Stage: "dial", Code: CodeTLS, Final: true, Cause: err,
		Message: "the gateway on " + target.Host + " speaks TLS, and gatehost connects to it without TLS",
		Hint:    "switch TLS off there: run `openclaw config set gateway.tls.enabled false`, then `gatehost restart NAME`",
	}
}

// speaksTLS reports whether the program at an address answers a TLS handshake.
func speaksTLS(ctx context.Context, o Options, addr string) bool {
	conn, err := o.connect(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	host, _, _ := net.SplitHostPort(addr)
	client := tls.Client(conn, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // only whether it speaks TLS is asked, and nothing is sent
	})
	err = client.HandshakeContext(ctx)
	_, alert := errors.AsType[tls.AlertError](err) // it wants a certificate of the client, or another version
	return err == nil || alert
}
