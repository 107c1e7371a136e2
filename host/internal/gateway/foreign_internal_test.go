package gateway

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
)

// TestForeignGatewayThatRefusesIsNamed: its token is most often right, and it is not the gateway that was meant.
func TestForeignGatewayThatRefusesIsNamed(t *testing.T) {
	p := foreignProblem(lifecycle.Problem{Code: "AUTH_TOKEN_MISMATCH", Message: "refused", Hint: "compare", Fatal: true},
		"main", 18789, probe.Holder{PID: 4242, Command: "openclaw-gateway", User: "eve"})
	for _, want := range []string{"refused; ", "pid 4242 (openclaw-gateway) of user eve", "18789"} {
		if !strings.Contains(p.Message, want) {
			t.Errorf("message = %q, want %q in it", p.Message, want)
		}
	}
	for _, want := range []string{"compare", "4242", "`gatehost start main`"} {
		if !strings.Contains(p.Hint, want) {
			t.Errorf("hint = %q, want %q in it", p.Hint, want)
		}
	}
	if p.Code != "AUTH_TOKEN_MISMATCH" || !p.Fatal {
		t.Errorf("problem = %+v", p)
	}
}
