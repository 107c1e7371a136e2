package session_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// gateway starts an emulated gateway that takes connects.
func gateway(t *testing.T, s *gatewaytest.Server) *gatewaytest.Server {
	t.Helper()
	if s.Scale == 0 {
		s.Scale = -1
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if !strings.Contains(s.Misbehave, "sidecars") {
		<-s.Ready()
	}
	return s
}

func options(s *gatewaytest.Server) session.Options {
	return session.Options{URL: s.URL(), Token: s.AuthToken(), Version: "1.2.3"}
}

func device(t *testing.T) *session.Device {
	t.Helper()
	d, err := session.LoadDevice(t.TempDir() + "/state/device.json")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dial(t *testing.T, o session.Options) *session.Session {
	t.Helper()
	s, err := session.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(s) })
	return s
}

func hangUp(s *session.Session) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Close(ctx)
}

func refused(t *testing.T, o session.Options) *session.ConnectError {
	t.Helper()
	s, err := session.Dial(t.Context(), o)
	if err == nil {
		hangUp(s)
		t.Fatal("connected, want a refusal")
	}
	ce, ok := errors.AsType[*session.ConnectError](err)
	if !ok {
		t.Fatalf("error = %T %v, want a *ConnectError", err, err)
	}
	if ce.Message == "" || strings.Contains(ce.Message+ce.Hint, o.Token) && o.Token != "" {
		t.Errorf("message = %q, hint = %q", ce.Message, ce.Hint)
	}
	return ce
}

func over(t *testing.T, s *session.Session) session.End {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatal("the session did not end")
	}
	return s.End()
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // a poll
	}
}

// inPipe prepares a gateway and a client that meet over pipes, for a synctest bubble. The caller stops the gateway.
func inPipe(t *testing.T, s *gatewaytest.Server) session.Options {
	t.Helper()
	p := gatewaytest.NewPipe()
	s.Listeners = []net.Listener{p}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return session.Options{URL: "ws://gateway/ws", Token: s.AuthToken(), NetDial: p.Dial}
}
