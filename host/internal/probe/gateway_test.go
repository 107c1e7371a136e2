package probe_test

import (
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func gateway(t *testing.T, misbehave string) *gatewaytest.Server {
	t.Helper()
	s := &gatewaytest.Server{Scale: -1, Misbehave: misbehave}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestReadinessOfAGateway(t *testing.T) {
	for _, row := range []struct {
		name, misbehave string
		want            probe.Readiness
	}{
		{"ready", "", probe.Ready},
		{"sidecars are starting", "sidecars-forever", probe.Starting},
		{"a release before 2026.9", "no-probes", probe.Open},
		{"an event loop that hangs", "hang-probes", probe.Open},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := gateway(t, row.misbehave)
			if row.want == probe.Ready {
				<-g.Ready()
			}
			if got := probe.ReadyNow(t.Context(), g.PortNumber(), believe, nil); got != row.want {
				t.Errorf("readiness = %d, want %d", got, row.want)
			}
			if g.Accepted() != 0 {
				t.Error("asking for readiness opened a WebSocket")
			}
		})
	}
}

func TestGatewayIsKnownByItsChallengeAlone(t *testing.T) { // T060 to T067
	for _, row := range []struct {
		name, misbehave string
		want            bool
	}{
		{"it is starting", "sidecars-forever", true},
		{"it refuses tokens", "refuse-token", true},
		{"its frames are binary", "binary-frames", true},
		{"it says nothing", "never-challenge", false},
		{"it sends garbage", "garbage-challenge", false},
		{"it sends too much", "oversized-challenge", false},
		{"it closes", "close-at-once=1001", false},
		{"it drains", "draining", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			g := gateway(t, row.misbehave)
			began := time.Now()
			if got := isGateway(t, g.PortNumber()); got != row.want {
				t.Errorf("gateway = %v, want %v", got, row.want)
			}
			if took := time.Since(began); took > 20*time.Second { // the bound is 5 s
				t.Errorf("took %v", took)
			}
			deadline := time.Now().Add(patience)
			for g.Sessions() != 0 && time.Now().Before(deadline) {
				time.Sleep(5 * time.Millisecond) // a poll
			}
			if g.Sessions() != 0 {
				t.Error("the socket was left open")
			}
		})
	}
}

func TestGatewayThatListensOnBothLoopbacksIsOneHolder(t *testing.T) {
	g := gateway(t, "")
	holders, err := probe.Holders(t.Context(), g.PortNumber())
	if err != nil || len(holders) != 1 || holders[0].PID == 0 {
		t.Errorf("holders = %+v, %v", holders, err)
	}
}

const patience = 30 * time.Second
