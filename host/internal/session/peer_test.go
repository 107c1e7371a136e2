package session_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func TestRefusedPeerIsSentNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	sent := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			sent <- err.Error()
			return
		}
		b, _ := io.ReadAll(conn)
		_ = conn.Close()
		sent <- string(b)
	}()
	stranger := errors.New("a stranger")
	ce := refused(t, session.Options{
		URL: "ws://" + l.Addr().String() + "/ws", Token: "canary", Device: device(t),
		Peer: func(context.Context, net.Conn) error {
			return &session.ConnectError{Code: "port_conflict", Message: "no", Hint: "look", Cause: stranger}
		},
	})
	if ce.Code != "port_conflict" || ce.Stage != "peer" || ce.Hint != "look" || !errors.Is(ce, stranger) {
		t.Errorf("error = %+v, want the one of the proof", ce)
	}
	if got := <-sent; got != "" {
		t.Errorf("the peer was sent %q", got)
	}
}

func TestEachConnectionIsProvedBeforeAnythingIsSent(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	o := options(g)
	var proved []string
	o.Peer = func(_ context.Context, conn net.Conn) error {
		if g.Accepted() != len(proved) {
			t.Errorf("the connection was upgraded before its proof: %d sessions, %d proofs", g.Accepted(), len(proved))
		}
		proved = append(proved, conn.LocalAddr().String())
		return nil
	}
	for range 2 {
		hangUp(dial(t, o))
	}
	if len(proved) != 2 || proved[0] == proved[1] {
		t.Errorf("proved %v, want each of two connections", proved)
	}
}

func TestPeerThatIsNotProvedInTimeIsATimeout(t *testing.T) {
	g := gateway(t, &gatewaytest.Server{})
	o := options(g)
	o.ChallengeTimeout = 50 * time.Millisecond
	o.Peer = func(ctx context.Context, _ net.Conn) error {
		<-ctx.Done()
		return ctx.Err()
	}
	if ce := refused(t, o); ce.Code != "challenge_timeout" || !ce.Retryable {
		t.Errorf("error = %+v, want a timeout that is tried again", ce)
	}
	o.Peer = func(context.Context, net.Conn) error { return errors.New("too many open files") }
	if ce := refused(t, o); ce.Code != "dial_failed" || !strings.Contains(ce.Message, "too many open files") || ce.Final {
		t.Errorf("error = %+v, want the proof's own", ce)
	}
}
