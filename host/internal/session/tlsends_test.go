package session_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/session"
)

// TestEndsThatDisagreeAboutTLSAreNamed: the error of the connection alone says "EOF", "malformed HTTP response" or 400.
func TestEndsThatDisagreeAboutTLSAreNamed(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) })
	secure := httptest.NewTLSServer(answer)
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(answer)
	t.Cleanup(plain.Close)
	cut := listen(t, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	// as Node.js does: it cuts a connection that does not begin with TLS, without a word
	node := listen(t, func(conn net.Conn) {
		first := make([]byte, 1)
		if _, err := io.ReadFull(conn, first); err != nil || first[0] != 0x16 {
			return
		}
		to, err := net.Dial("tcp", secure.Listener.Addr().String())
		if err != nil {
			return
		}
		defer to.Close()
		_, _ = to.Write(first)
		go func() { _, _ = io.Copy(to, conn) }()
		_, _ = io.Copy(conn, to)
	})
	for _, row := range []struct{ name, url, code, hint string }{
		{"TLS that answers 400", "ws://" + secure.Listener.Addr().String(), "tls_required", "gateways.NAME.tls.fingerprint"},
		{"TLS that cuts", "ws://" + node, "tls_required", "gateways.NAME.tls.fingerprint"},
		{"no TLS", "wss://" + plain.Listener.Addr().String(), "tls_expected", "gateway.tls.enabled"},
		{"a program that answers 400", "ws://" + plain.Listener.Addr().String(), "upgrade_refused", ""},
		{"a program that cuts", "ws://" + cut, "dial_failed", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := session.Dial(t.Context(), session.Options{URL: row.url + "/ws", Token: "t"})
			got, ok := errors.AsType[*session.ConnectError](err)
			if !ok || got.Code != row.code || !strings.Contains(got.Hint, row.hint) || got.Final != (row.hint != "") {
				t.Errorf("error = %+v, want %s with %q", got, row.code, row.hint)
			}
		})
	}
}

// listen serves each connection with serve and closes it then.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}
