package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// maxWait bounds waitMs and timeoutMs.
const maxWait = 24 * time.Hour

// answer is the result of something that outlives its request.
type answer[T any] struct {
	got T
	err error
}

// command executes a command. The command outlives its request: a client that disconnects cancels nothing.
func (s *Server) command(action control.Action) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		name, err := s.known(r)
		if err != nil {
			return err
		}
		cmd := control.Command{Action: action}
		if err := readBody(w, r, &cmd); err != nil {
			return err
		}
		switch {
		case (cmd.Now || cmd.Drain || cmd.External) && action != control.ActionStop:
			return problem(http.StatusBadRequest, control.CodeBadRequest, "now, drain and external are for stop")
		case cmd.Force && action != control.ActionRestart:
			return problem(http.StatusBadRequest, control.CodeBadRequest, "force is for restart")
		case cmd.WaitMs != nil && (*cmd.WaitMs < 0 || *cmd.WaitMs > maxWait.Milliseconds()):
			return problem(http.StatusBadRequest, control.CodeBadRequest, "waitMs is not between 0 and 24 hours")
		}
		began := time.Now()
		a, err := s.wait(r, name, cmd, s.do(name, cmd)) //nolint:contextcheck // do outlives the request on purpose
		if err != nil {
			return err
		}
		if a.err != nil {
			return ended(r, a.err)
		}
		out := a.got
		if out.TookMs == 0 {
			out.TookMs = time.Since(began).Milliseconds()
		}
		status := http.StatusOK
		if out.Outcome == control.OutcomeAccepted {
			status = http.StatusAccepted
		} else if g, ok := s.o.Gateways.Gateway(name); ok && out.Gateway == nil {
			out.Gateway = &g
		}
		writeJSON(w, status, out)
		return nil
	}
}

// do runs a command that outlives its request.
func (s *Server) do(name string, cmd control.Command) <-chan answer[control.Outcome] {
	return detached(s, "command",
		func(ctx context.Context) (control.Outcome, error) { return s.o.Gateways.Do(ctx, name, cmd) }, "gateway", name)
}

// detached runs something that outlives its request, at most as long as the server; what and about are for the log,
// if it panics.
func detached[T any](s *Server, what string, do func(context.Context) (T, error), about ...any) <-chan answer[T] {
	done := make(chan answer[T], 1) // 1: the request may be gone
	s.operations.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.o.Log.Error(what+" panicked", append(about, "error", fmt.Sprint(p))...)
				done <- answer[T]{err: problem(http.StatusInternalServerError, control.CodeInternal,
					"bug: the "+what+" panicked")}
			}
		}()
		got, err := do(s.requests)
		done <- answer[T]{got, err}
	})
	return done
}

// wait waits for the answer as long as the command says. Without a bound it waits as long as the gateway has
// events.
func (s *Server) wait(r *http.Request, name string, cmd control.Command,
	done <-chan answer[control.Outcome],
) (a answer[control.Outcome], err error) {
	limit := s.o.Idle
	if cmd.WaitMs != nil {
		limit = max(time.Duration(*cmd.WaitMs)*time.Millisecond, s.o.Refusal)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var progress <-chan struct{}
	if cmd.WaitMs == nil {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		progress = s.progress(ctx, name)
	}
	for {
		select {
		case a = <-done:
			return a, nil
		case <-progress:
			timer.Reset(limit)
		case <-timer.C:
			if cmd.WaitMs != nil && *cmd.WaitMs == 0 {
				a.got.Outcome = control.OutcomeAccepted
				return a, nil
			}
			p := problem(http.StatusGatewayTimeout, control.CodeTimedOut,
				fmt.Sprintf("%s of gateway %s has not ended in %v", cmd.Action, name, limit))
			p.Hint = "it may still finish; check with `gatehost status " + name + "`"
			return a, p
		case <-r.Context().Done():
			return a, context.Cause(r.Context())
		}
	}
}

// progress signals every event of a gateway until ctx is done.
func (s *Server) progress(ctx context.Context, name string) <-chan struct{} {
	seen := make(chan struct{}, 1) // 1: one signal is as good as many
	sub := s.o.Events.Subscribe(s.o.Events.Last())
	s.operations.Go(func() {
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if e.Gateway == name {
				select {
				case seen <- struct{}{}:
				default:
				}
			}
		}
	})
	return seen
}

// ended returns err, or errStopping when the error only comes from the host's shutdown.
func ended(r *http.Request, err error) error {
	if errors.Is(context.Cause(r.Context()), errStopping) {
		return errStopping
	}
	return err
}

func (s *Server) rpc(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	var req control.RPCRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	switch {
	case req.Method == "":
		return problem(http.StatusBadRequest, control.CodeBadRequest, "method is missing")
	case req.TimeoutMs < 0 || req.TimeoutMs > maxWait.Milliseconds():
		return problem(http.StatusBadRequest, control.CodeBadRequest, "timeoutMs is not between 0 and 24 hours")
	case req.TimeoutMs == 0:
		req.TimeoutMs = 30_000
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(req.TimeoutMs)*time.Millisecond)
	defer cancel()
	payload, err := s.o.Gateways.RPC(ctx, name, req)
	if refused, ok := errors.AsType[*control.RPCError](err); ok {
		writeJSON(w, http.StatusOK, control.RPCResponse{Error: refused})
		return nil
	}
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			p := problem(http.StatusGatewayTimeout, control.CodeTimedOut,
				fmt.Sprintf("no answer to %.64q in %d ms", req.Method, req.TimeoutMs))
			p.Hint = "the gateway may still execute it; use a longer --timeout"
			return p
		}
		return ended(r, err)
	}
	if payload == nil {
		payload = []byte("null")
	}
	writeJSON(w, http.StatusOK, control.RPCResponse{Payload: payload})
	return nil
}
