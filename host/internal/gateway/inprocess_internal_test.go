package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/shared/fault"
)

// answering is a session with a gateway that always gives the same answer.
type answering struct {
	boot   string
	answer error
	calls  []string
}

func (p *answering) Call(_ context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	p.calls = append(p.calls, method+string(params))
	return nil, p.answer
}

func (p *answering) Stats() engine.SessionStats {
	return engine.SessionStats{Hello: session.Hello{BootID: p.boot, ConnID: "c"}}
}

func (p *answering) Close() {}

// TestGatewayWithoutAShutdownCallIsAskedOnce is B212: the answer of a gateway is remembered until another gateway is
// there.
func TestGatewayWithoutAShutdownCallIsAskedOnce(t *testing.T) {
	m := inProcess{log: hclog.NewNullLogger(), shutdown: &shutdownAnswer{}}
	old := &answering{boot: "1", answer: errors.New("INVALID_REQUEST: Unknown method:  shutdown")}
	for range 2 {
		if err := m.Shutdown(t.Context(), old); !errors.Is(err, fault.ErrUnsupported) || fault.HintOf(err) == "" {
			t.Errorf("error = %v", err)
		}
	}
	if len(old.calls) != 1 || old.calls[0] != "shutdown" {
		t.Errorf("calls = %q, want one, without params", old.calls)
	}
	other := &answering{boot: "2"}
	for range 2 {
		if err := m.Shutdown(t.Context(), other); err != nil {
			t.Errorf("error = %v", err)
		}
	}
	if len(other.calls) != 1 {
		t.Errorf("another gateway was asked %d times", len(other.calls))
	}
	busy := &answering{boot: "3", answer: errors.New("FORBIDDEN: missing scope")}
	for range 2 {
		if err := m.Shutdown(t.Context(), busy); !errors.Is(err, busy.answer) || errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("error = %v", err)
		}
	}
	if len(busy.calls) != 2 {
		t.Errorf("any other refusal is not the last word: asked %d times", len(busy.calls))
	}
}
