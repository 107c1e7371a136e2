package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Gateway returns the status of one gateway; false when there is no such gateway.
func (s *Service) Gateway(name string) (control.Gateway, bool) {
	g, ok := s.o.Registry.Now().Gateways[name]
	if !ok {
		return control.Gateway{}, false
	}
	return g.Status(), true
}

func (s *Service) find(name string) (*gateway.Gateway, error) {
	g, ok := s.o.Registry.Now().Gateways[name]
	if !ok {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("there is no gateway %q", name))
	}
	return g, nil
}

// Do gives a command to a gateway's engine and waits for its outcome.
func (s *Service) Do(ctx context.Context, name string, cmd control.Command) (control.Outcome, error) {
	g, err := s.find(name)
	if err != nil {
		return control.Outcome{}, err
	}
	g.Log().Info("command", "action", cmd.Action, "reason", cmd.Reason)
	g.Commanded(control.CommandData{Action: string(cmd.Action), Reason: cmd.Reason, Now: cmd.Now})
	began, before := time.Now(), g.State().Process.PID
	var got lifecycle.Outcome
	if cmd.Action == control.ActionStart || cmd.Action == control.ActionRestart {
		g.PersonActs()
	}
	switch cmd.Action {
	case control.ActionStart:
		got, err = g.Engine().Start(ctx)
	case control.ActionStop:
		got, err = g.Engine().Stop(ctx, engine.StopOptions{Now: cmd.Now, Drain: cmd.Drain, External: cmd.External})
	case control.ActionRestart:
		got, err = g.Engine().Restart(ctx, engine.RestartOptions{
			Delay: delayOf(cmd, g.Settings().Restart.Debounce), Force: cmd.Force,
		})
	case control.ActionReload:
		got, err = g.Engine().Reload(ctx, delayOf(cmd, g.Settings().Restart.ReloadDebounce))
	default:
		return control.Outcome{}, fault.New(fault.InvalidArgument, fmt.Sprintf("there is no command %q", cmd.Action))
	}
	if err != nil {
		return control.Outcome{}, hostGone(err)
	}
	s.o.Metrics.Command(name, string(cmd.Action), string(got.Kind))
	if (cmd.Action == control.ActionRestart || cmd.Action == control.ActionReload) && got.Kind == lifecycle.OutcomeJoined {
		s.o.Metrics.Restart(name, "command", metrics.Suppressed) // another command does what this one asked for
	}
	st := g.Status()
	// B238
	g.Log().Info("command ended", "action", cmd.Action, "outcome", got.Kind, "pid_before", before, "pid_after", st.PID,
		"took", time.Since(began))
	return control.Outcome{
		Outcome: string(got.Kind), Error: view.Problem(got.Problem), TookMs: time.Since(began).Milliseconds(), Gateway: &st,
	}, nil
}

// delayOf returns how long a command waits for others of its kind.
func delayOf(cmd control.Command, debounce time.Duration) time.Duration {
	switch {
	case cmd.DelayMs > 0:
		return min(time.Duration(cmd.DelayMs)*time.Millisecond, time.Hour)
	case cmd.Debounce:
		return debounce
	default:
		return 0
	}
}

// hostGone replaces the error of an engine that has ended by one that says: the host restarts, make the call to the
// next one.
func hostGone(err error) error {
	if errors.Is(err, engine.ErrStopped) {
		return control.HostRestarting()
	}
	return err
}

// RPC calls a method of a gateway over the session that the host has with it.
func (s *Service) RPC(ctx context.Context, name string, req control.RPCRequest) (json.RawMessage, error) {
	g, err := s.find(name)
	if err != nil {
		return nil, err
	}
	if !s.inflight.begin() {
		return nil, control.HostRestarting()
	}
	got, err := call(ctx, g, req)
	if stopping := s.inflight.end(); stopping && err != nil {
		if _, answered := errors.AsType[*control.RPCError](err); !answered {
			return nil, control.HostRestarting()
		}
	}
	return got, err
}

func call(ctx context.Context, g *gateway.Gateway, req control.RPCRequest) (json.RawMessage, error) {
	s, ok := g.Engine().Session()
	if !ok {
		return nil, notConnected(g, engine.ErrNotConnected)
	}
	got, err := s.Call(ctx, req.Method, req.Params)
	switch refusal, refused := errors.AsType[*frame.Error](err); {
	case err == nil:
		return got, nil
	case refused:
		out := &control.RPCError{
			Code: refusal.Code, Message: refusal.Message, Details: refusal.Details, Retryable: refusal.Retryable,
		}
		if refusal.RetryAfter > 0 {
			out.RetryAfterMs = control.Ms(refusal.RetryAfter)
		}
		return nil, out
	case errors.Is(err, engine.ErrNotConnected):
		return nil, notConnected(g, err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fault.Wrap(fault.DeadlineExceeded, err.Error(), context.DeadlineExceeded)
	default:
		return nil, err
	}
}

func notConnected(g *gateway.Gateway, err error) error {
	f := fault.New(fault.Unavailable, err.Error()+": "+g.Name()+" is "+string(g.State().Public()))
	f.Retryable = true
	return f.WithHint("run `gatehost status " + g.Name() + "`")
}
