package view

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Condition returns a condition in the API's words.
func Condition(c lifecycle.Condition) control.Condition {
	return control.Condition{Code: c.Code, Since: control.At(c.Since), Message: c.Message, Hint: c.Hint}
}

// Exit returns the end of a process in the API's words, with the last lines of its output.
func Exit(x *lifecycle.Exit, tail []string) control.Exit {
	out := control.Exit{Signal: x.Signal, At: control.At(x.At), Core: x.Core, Tail: tail}
	if x.Lasted > 0 {
		out.LastedMs = control.Ms(x.Lasted)
	}
	if x.Known && x.Signal == "" {
		out.Code = &x.Code
	}
	return out
}

// Problem returns a problem of the lifecycle in the API's words; nil stays nil.
func Problem(p *lifecycle.Problem) *control.Failure {
	if p == nil {
		return nil
	}
	out := &control.Failure{Code: p.Code, Message: p.Message, Hint: p.Hint}
	if out.Code == "" {
		out.Code = string(fault.Internal)
	}
	if out.Hint == "" {
		out.Hint = "look at the gateway's output with `gatehost logs`"
	}
	return out
}

// Failure returns an error in the API's words.
func Failure(err error) *control.Failure {
	return &control.Failure{Code: string(fault.CodeOf(err)), Message: err.Error(), Hint: fault.HintOf(err)}
}

// OutcomeError returns the reason why a command failed; "" when it did not fail.
func OutcomeError(o lifecycle.Outcome, err error) string {
	if err != nil {
		return err.Error()
	}
	if o.Problem == nil {
		return ""
	}
	return o.Problem.Message
}

// Liveness returns when the gateway last showed that it lives; nil before the first session. silence is how long it may
// send nothing.
func Liveness(s lifecycle.State, silence time.Duration) *control.Liveness {
	if s.LastAlive.IsZero() {
		return nil
	}
	out := &control.Liveness{LastAliveAt: control.At(s.LastAlive)}
	if s.Session != 0 {
		out.DeadlineAt = control.At(s.LastAlive.Add(silence))
	}
	if v := s.LastVerify; v != nil {
		out.VerifiedAt, out.Result = control.At(v.At), "alive"
		if !v.Alive {
			out.Result = string(v.Why)
		}
	}
	return out
}

// UptimeFrom returns the time from which the uptime of a gateway counts; the zero time while it does not run. The
// uptime of an owned gateway counts from the start of its process, so that it goes on when another host adopts it.
func UptimeFrom(s lifecycle.State) time.Time {
	switch {
	case s.Public() != lifecycle.Running:
		return time.Time{}
	case s.Owner() == lifecycle.OwnerOwned && !s.SpawnedAt.IsZero():
		return s.SpawnedAt // of a clock that does not jump
	case s.Owner() == lifecycle.OwnerOwned && !s.Process.StartedAt.IsZero():
		return s.Process.StartedAt
	default:
		return s.RunningSince
	}
}

// Attempts returns how many reconnect attempts count at a moment. After a stable period it is 0, although the lifecycle
// forgets the attempts only at the next loss (B026).
func Attempts(s lifecycle.State, stable time.Duration, now time.Time) int {
	if s.Public() == lifecycle.Running && !s.RunningSince.IsZero() && now.Sub(s.RunningSince) >= stable {
		return 0
	}
	return s.Reconnects
}
