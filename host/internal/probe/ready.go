package probe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/internal/frame"
)

// Host is the one address that gatehost launches on, probes and connects to: `localhost` may be another address
// family (B110).
const Host = "127.0.0.1"

// readyTimeout bounds one probe (B060).
const readyTimeout = 1500 * time.Millisecond

// challengeTimeout bounds the check whether a listener is a gateway (B109).
const challengeTimeout = 5 * time.Second

// Readiness is what a port shows.
type Readiness int

// Readiness, worst first.
const (
	Closed   Readiness = iota + 1
	Starting           // /readyz says that the gateway is not ready
	Open               // something listens and has no /readyz: only a connection tells
	Ready              // /readyz says that the gateway is ready
)

// Address returns host:port.
func Address(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }

// Prove returns an error unless the program at the other end of a connection is the right one. It is called before
// anything is sent on the connection, and nothing that a peer says is believed without it.
type Prove func(ctx context.Context, conn net.Conn) error

// ErrUnproved wraps the errors of a Prove.
var ErrUnproved = errors.New("the program on the port is not proved to be the gateway")

// ErrUntrusted is wrapped by the errors of a tls.Config about a certificate that is not the expected one.
var ErrUntrusted = errors.New("the certificate is not trusted")

// scheme returns the beginning of an address.
func scheme(name string, secure *tls.Config) string {
	if secure != nil {
		name += "s"
	}
	return name + "://"
}

// dial returns a dialler whose connections are proved.
func (p Prove) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := p(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrUnproved, err)
	}
	return conn, nil
}

// ReadyNow asks once. It parses the answer: releases before 2026.9 answer any path with 200 and their user
// interface, so a status alone proves nothing (docs/openclaw.md §3). A port whose program is not proved is Open,
// whatever it would say: the session that follows proves it again and says what is wrong. With secure it asks by TLS; a
// certificate that secure refuses makes the port Open, too.
func ReadyNow(ctx context.Context, port int, prove Prove, secure *tls.Config) Readiness {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, Proxy: nil, TLSClientConfig: secure,
			// the transport's own context is not bounded by the request's
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
				return prove.dial(ctx, network, addr)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme("http", secure)+Address(port)+"/readyz", nil)
	if err != nil {
		return Closed
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Closed
	case errors.Is(err, ErrUnproved):
		return Open
	case err != nil:
		return listening(ctx, port)
	}
	defer func() { _ = resp.Body.Close() }()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var body struct {
		Ready *bool `json:"ready"`
	}
	if kind != "application/json" || json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&body) != nil ||
		body.Ready == nil {
		return Open
	}
	if *body.Ready {
		return Ready
	}
	return Starting
}

// listening distinguishes a port that does not answer from one that is closed. A gateway whose event loop is
// blocked accepts connections and answers later: that counts as starting, and the caller's deadline decides. It
// connects only to a listener that is no HTTP server.
func listening(ctx context.Context, port int) Readiness {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout) // the first request used up its time
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", Address(port))
	if err != nil {
		return Closed
	}
	_ = conn.Close()
	return Open
}

// IsGateway reports whether the listener sends a connect.challenge. It cuts the socket afterwards (T060 to T067). Its
// error is that of prove, or one of secure that wraps ErrUntrusted.
func IsGateway(ctx context.Context, port int, prove Prove, secure *tls.Config) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, challengeTimeout)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: prove.dial, TLSClientConfig: secure}
	conn, resp, err := dialer.DialContext(ctx, scheme("ws", secure)+Address(port)+"/ws", nil)
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		if errors.Is(err, ErrUnproved) || errors.Is(err, ErrUntrusted) {
			return false, err
		}
		return false, nil
	}
	defer func() { _ = conn.NetConn().Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.NetConn().Close() })
	defer stop()
	conn.SetReadLimit(64 << 10)
	for range 16 {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return false, nil //nolint:nilerr // what does not speak is no gateway
		}
		if f, err := frame.Parse(data); err == nil && f.Kind == frame.Event && f.Name == "connect.challenge" {
			return true, nil
		}
	}
	return false, nil
}
