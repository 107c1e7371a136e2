package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/redact"
)

// What a gateway says on its session passes these functions before anything else of the host sees it. Only the answers
// to calls stay exact, because programs read them.

// cleanHello cleans what a gateway said about itself when the session opened.
func cleanHello(h session.Hello, r *redact.Redactor) session.Hello {
	h.Version, h.BuildID = r.Line(h.Version), r.Line(h.BuildID)
	h.BootID, h.ConnID = r.Line(h.BootID), r.Line(h.ConnID)
	h.Methods, h.Events, h.Scopes = cleanNames(h.Methods, r), cleanNames(h.Events, r), cleanNames(h.Scopes, r)
	return h
}

// namedForeign adds to a refusal of an attached gateway who that gateway is: with another token it is most often one
// that a service of its own starts, and the token is not what is wrong.
func (c *core) namedForeign(ctx context.Context, port int, err error) error {
	refusal, ok := errors.AsType[*engine.Refused](err)
	if !ok || refusal.Retryable || !c.State().Attached {
		return err
	}
	holders, lookErr := probe.Holders(ctx, port)
	if lookErr != nil || len(holders) == 0 {
		return err
	}
	p := foreignProblem(refusal.Problem, c.name, port, holders[0])
	return &engine.Refused{Retryable: refusal.Retryable, RetryAfter: refusal.RetryAfter, Problem: p}
}

func foreignProblem(p lifecycle.Problem, gateway string, port int, holder probe.Holder) lifecycle.Problem {
	p.Message += fmt.Sprintf("; that gateway was not started by gatehost: %s listens on port %d", holder, port)
	own := fmt.Sprintf("to have gatehost start its own instead, %s, then run `gatehost start %s`", holder.End(port),
		gateway)
	if p.Hint != "" {
		own = "to supervise that gateway, " + p.Hint + "; " + own
	}
	p.Hint = own
	return p
}

// cleanNames cleans names without changing those of the caller.
func cleanNames(names []string, r *redact.Redactor) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, redact.PrintableLine(r.Values(name))) // "secrets.list" is the name of a method
	}
	return out
}

// cleanEvent cleans an event that the gateway sent by itself.
func cleanEvent(e session.Event, r *redact.Redactor) session.Event {
	e.Name = redact.PrintableLine(r.Values(e.Name))
	if len(e.Payload) > 0 {
		e.Payload = frame.Redact(e.Payload, r)
	}
	return e
}

// cleanError cleans what a gateway said about a call or a connection that failed. It changes err, which has one reader.
func cleanError(err error, r *redact.Redactor) error {
	if e, ok := errors.AsType[*frame.Error](err); ok {
		e.Code, e.Reason, e.Message = r.Line(e.Code), r.Line(e.Reason), r.Line(e.Message)
		if len(e.Details) > 0 {
			e.Details = frame.Redact(e.Details, r)
		}
	}
	if e, ok := errors.AsType[*session.ConnectError](err); ok {
		e.Code, e.Message, e.Hint = r.Line(e.Code), r.Line(e.Message), r.Values(redact.PrintableLine(e.Hint))
	}
	return err
}
