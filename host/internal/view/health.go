package view

import (
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// Seen has what the sessions of a gateway showed about whether it lives.
type Seen struct {
	Unanswered  int // pings in a row that the present session did not answer
	LastFrameAt time.Time
	LastMissAt  time.Time // of a ping whose answer was overdue
}

// Health returns the health of a gateway in the API's words.
func Health(s lifecycle.State, v health.View, seen Seen) *control.GatewayHealth {
	state, reasons := v.Overall(health.Signs{
		MissedPongs: seen.Unanswered, Up: s.Public() == lifecycle.Running || s.Public() == lifecycle.Reconnecting,
		Suppressed: hasCondition(s, string(lifecycle.SymptomChannelsSuppressed)),
	})
	out := &control.GatewayHealth{
		State: string(state), Reasons: reasons, ReadySince: control.At(v.ReadySince),
		Core: control.Core{
			Process: "none", Transport: "disconnected", Router: string(v.Router), ProbedAt: control.At(v.ProbedAt),
			ProbeError: string(v.ProbeError),
		},
		Capabilities: map[string]control.Capability{},
		Diagnostics: control.Diagnostics{
			LastAliveAt: control.At(seen.LastFrameAt), LastCallOkAt: control.At(v.LastCallOK),
			LastCallFailedAt: control.At(v.LastCallFailed), LastCallFailedMethod: v.LastFailedMethod,
			ConsecutiveCallFailures: v.ConsecutiveFailures, LastMissedPongAt: control.At(seen.LastMissAt),
			MissedPongs: seen.Unanswered, LastCloseAt: control.At(v.LastClose), LastCloseCode: v.LastCloseCode,
		},
	}
	switch {
	case s.Attached:
		out.Core.Process = "attached"
	case s.Process.PID != 0:
		out.Core.Process = "running"
	}
	if v.Connected {
		out.Core.Transport = "connected"
	}
	if v.ProbeTook > 0 {
		out.Core.ProbeMs = control.Ms(v.ProbeTook)
	}
	for name, c := range v.Capabilities {
		one := control.Capability{State: string(c.State), At: control.At(c.At), Error: string(c.Error)}
		if c.Duration > 0 {
			one.Ms = control.Ms(c.Duration)
		}
		out.Capabilities[name] = one
	}
	return out
}

func hasCondition(s lifecycle.State, code string) bool {
	return slices.ContainsFunc(s.Conditions, func(c lifecycle.Condition) bool { return c.Code == code })
}
