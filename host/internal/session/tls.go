package session

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// tlsTimeout bounds the second connection that finds out whether a program serves TLS.
const tlsTimeout = 3 * time.Second

// cut ends a connection at once: no side waits for a close frame, nor for the farewell of TLS.
func cut(conn *websocket.Conn) {
	c := conn.NetConn()
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	_ = c.Close()
}

// otherProtocol finds out whether an upgrade failed because one side speaks TLS and the other does not; nil when that
// is not the reason.
func (o Options) otherProtocol(ctx context.Context, failed error, resp *http.Response) *ConnectError {
	if _, plain := errors.AsType[tls.RecordHeaderError](failed); plain {
		return &ConnectError{
			Stage: "tls", Code: "tls_expected", Final: true, Cause: failed,
			Message: "the program on the gateway's port does not serve TLS, which gatehost expects",
			Hint: "set gateway.tls.enabled in the gateway's configuration and restart it, or remove gateways.NAME.tls in " +
				"config.toml",
		}
	}
	if !strings.HasPrefix(o.URL, "ws://") || resp != nil && resp.StatusCode != http.StatusBadRequest ||
		errors.Is(failed, syscall.ECONNREFUSED) || isTimeout(failed) {
		return nil
	}
	fingerprint := o.certificate(ctx)
	if fingerprint == "" {
		return nil
	}
	return &ConnectError{
		Stage: "tls", Code: "tls_required", Final: true, Cause: failed,
		Message: "the program on the gateway's port serves TLS (https, wss), and gatehost connected without it",
		Hint: fmt.Sprintf("if it is your gateway, set gateways.NAME.tls.fingerprint = \"sha256:%s\" in config.toml and run "+
			"`gatehost config reload`", fingerprint),
	}
}

// certificate returns the fingerprint of the certificate that a program shows; "" when it serves no TLS. It sends
// nothing but the handshake, to a program that is proved.
func (o Options) certificate(ctx context.Context) string {
	u, err := url.Parse(o.URL)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	raw, err := o.connect(ctx, "tcp", u.Host)
	if err != nil {
		return ""
	}
	defer func() { _ = raw.Close() }()
	found := ""
	conn := tls.Client(raw, &tls.Config{
		ServerName: hostOf(u.Host), MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent on it: the certificate is only named
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 {
				sum := sha256.Sum256(s.PeerCertificates[0].Raw)
				found = hex.EncodeToString(sum[:])
			}
			return nil
		},
	})
	_ = conn.HandshakeContext(ctx) // a server that wants the client's certificate has shown its own
	return found
}

func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
