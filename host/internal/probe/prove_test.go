package probe_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gatehost/gatehost/host/internal/probe"
)

// believe is a proof that every program passes.
func believe(context.Context, net.Conn) error { return nil }

func isGateway(t *testing.T, port int) bool {
	t.Helper()
	is, err := probe.IsGateway(t.Context(), port, believe, nil)
	if err != nil {
		t.Errorf("error of a proof that all pass: %v", err)
	}
	return is
}

func TestUnprovedProgramIsNotBelievedAndIsSentNothing(t *testing.T) {
	g := gateway(t, "")
	<-g.Ready()
	stranger := errors.New("a stranger")
	refuse := func(context.Context, net.Conn) error { return stranger }
	if got := probe.ReadyNow(t.Context(), g.PortNumber(), refuse, nil); got != probe.Open {
		t.Errorf("readiness of an unproved program that says ready = %d, want open", got)
	}
	if is, err := probe.IsGateway(t.Context(), g.PortNumber(), refuse, nil); is || !errors.Is(err, stranger) ||
		!errors.Is(err, probe.ErrUnproved) {
		t.Errorf("an unproved program with a challenge: gateway = %v, %v", is, err)
	}
	if n := g.Accepted(); n != 0 {
		t.Errorf("%d WebSockets were opened to an unproved program", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var sent atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			sent.Add(n)
			_ = conn.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	_ = probe.ReadyNow(t.Context(), port, refuse, nil)
	_, _ = probe.IsGateway(t.Context(), port, refuse, nil)
	<-done
	if n := sent.Load(); n != 0 {
		t.Errorf("%d bytes were sent to an unproved program", n)
	}
}

func TestProofSeesTheConnectionThatAsks(t *testing.T) {
	var asked, proved atomic.Value
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.RemoteAddr)
		answer("application/json", `{"ready":true}`, 200)(w, r)
	})
	got := probe.ReadyNow(t.Context(), port, func(_ context.Context, conn net.Conn) error {
		proved.Store(conn.LocalAddr().String())
		return nil
	}, nil)
	if got != probe.Ready || asked.Load() != proved.Load() {
		t.Errorf("readiness = %d; proved %v, and %v asked", got, proved.Load(), asked.Load())
	}
}
