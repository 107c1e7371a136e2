package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/oklog/run"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// addControl serves the control API. It ends after the engines, so that whoever watches a stop sees its end.
func (h *Host) addControl(ctx context.Context, g *run.Group, enginesDone <-chan struct{}) error {
	path, err := h.config().SocketPath()
	if err != nil {
		return err
	}
	l, err := httpapi.Listen(path)
	if err != nil {
		return err
	}
	server := httpapi.New(httpapi.Options{
		Gateways: api{h}, Output: api{h}, Doctors: api{h}, Configs: api{h}, Health: api{h}, Config: h, Plugins: apiPlugins{h}, Metrics: h.metricsHandler(), Events: h.hub, At: h.at,
		Log:     h.log.Named("control"),
		Version: h.version, IsPlugin: func(pid, pgid int) bool { return h.peerIsPlugin(pid) || h.peerIsPlugin(pgid) },
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.Add(func() error {
		defer cancel()
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, l) }()
		select {
		case err := <-served:
			return err
		case <-enginesDone:
			cancel()
			return <-served
		}
	}, func(error) {}) // see enginesDone
	h.log.Info("control socket is open", "path", path)
	return nil
}

// metricsHandler is nil when metrics are switched off.
func (h *Host) metricsHandler() http.Handler {
	if !h.config().Metrics.Enabled {
		return nil
	}
	return h.metrics.Handler()
}

// api is the control API's view of the host.
type api struct{ h *Host }

var (
	_ httpapi.Gateways = api{}
	_ httpapi.Output   = api{}
	_ httpapi.Doctors  = api{}
	_ httpapi.Health   = api{}
	_ httpapi.Configs  = api{}
	_ httpapi.Plugins  = apiPlugins{}

	_ httpapi.Configuration = (*Host)(nil)
)

func (a api) Status() control.Status { return a.h.Status() }

func (a api) Gateway(name string) (control.Gateway, bool) {
	g, ok := a.h.now().gateways[name]
	if !ok {
		return control.Gateway{}, false
	}
	return g.status(), true
}

func (a api) find(name string) (*gateway, error) {
	g, ok := a.h.now().gateways[name]
	if !ok {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("there is no gateway %q", name))
	}
	return g, nil
}

// Do gives a command to a gateway's engine.
func (a api) Do(ctx context.Context, name string, cmd control.Command) (control.Outcome, error) {
	g, err := a.find(name)
	if err != nil {
		return control.Outcome{}, err
	}
	g.log.Info("command", "action", cmd.Action, "reason", cmd.Reason)
	g.watch.command(control.CommandData{Action: string(cmd.Action), Reason: cmd.Reason, Now: cmd.Now})
	began, before := time.Now(), g.engine.Snapshot().State.Process.PID
	var got lifecycle.Outcome
	switch cmd.Action {
	case control.ActionStart:
		got, err = g.engine.Start(ctx)
	case control.ActionStop:
		got, err = g.engine.Stop(ctx, engine.How{Now: cmd.Now, Drain: cmd.Drain, External: cmd.External})
	case control.ActionRestart:
		got, err = g.engine.Restart(ctx, delayOf(cmd, g.conf().Restart.Debounce))
	case control.ActionReload:
		got, err = g.engine.Reload(ctx, delayOf(cmd, g.conf().Restart.ReloadDebounce))
	default:
		return control.Outcome{}, fault.New(fault.InvalidArgument, fmt.Sprintf("there is no command %q", cmd.Action))
	}
	if err != nil {
		return control.Outcome{}, hostGone(err)
	}
	a.h.metrics.Command(name, string(cmd.Action), string(got.Kind))
	if (cmd.Action == control.ActionRestart || cmd.Action == control.ActionReload) && got.Kind == lifecycle.OutcomeJoined {
		a.h.metrics.Restart(name, "command", metrics.Suppressed) // another one does what it asked for
	}
	st := g.status()
	g.log.Info("command ended", "action", cmd.Action, "outcome", got.Kind, "pid_before", before, "pid_after", st.PID, "took", time.Since(began)) // B238
	return control.Outcome{
		Outcome: string(got.Kind), Error: failure(got.Problem), TookMs: time.Since(began).Milliseconds(), Gateway: &st,
	}, nil
}

// delayOf is how long a command waits for more of its kind.
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

// hostGone gives the end of the host its meaning: the call may be made to the next one.
func hostGone(err error) error {
	if errors.Is(err, engine.ErrStopped) {
		return restarting()
	}
	return err
}

// RPC calls a method of a gateway over the one session.
func (a api) RPC(ctx context.Context, name string, req control.RPCRequest) (json.RawMessage, error) {
	g, err := a.find(name)
	if err != nil {
		return nil, err
	}
	if !a.h.calls.begin() {
		return nil, restarting()
	}
	got, err := g.call(ctx, req)
	if stopping := a.h.calls.end(); stopping && err != nil {
		if _, answered := errors.AsType[*control.RPCError](err); !answered {
			return nil, restarting()
		}
	}
	return got, err
}

func (g *gateway) call(ctx context.Context, req control.RPCRequest) (json.RawMessage, error) {
	s, ok := g.engine.Session()
	if !ok {
		return nil, notConnected(g, engine.ErrNotConnected)
	}
	got, err := s.Call(ctx, req.Method, req.Params)
	switch refusal, refused := errors.AsType[*frame.Error](err); {
	case err == nil:
		return got, nil
	case refused:
		out := &control.RPCError{Code: refusal.Code, Message: refusal.Message, Details: refusal.Details, Retryable: refusal.Retryable}
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

func notConnected(g *gateway, err error) error {
	f := fault.New(fault.Unavailable, err.Error()+": "+g.name+" is "+string(g.engine.Snapshot().State.Public()))
	f.Retryable = true
	return f.WithHint("run `gatehost status " + g.name + "`")
}

// Doctor asks the doctors of a gateway, and executes what they propose when that was asked for.
func (a api) Doctor(ctx context.Context, name string, req control.DoctorRequest) iter.Seq2[control.DoctorMessage, error] {
	return func(yield func(control.DoctorMessage, error) bool) {
		g, err := a.find(name)
		if err != nil {
			yield(control.DoctorMessage{}, err)
			return
		}
		listening := true // a reader that has gone does not end a repair
		tell := func(m control.DoctorMessage) { listening = listening && yield(m, nil) }
		if err := g.medic.visit(ctx, req, tell); err != nil && listening {
			yield(control.DoctorMessage{}, err)
		}
	}
}

// apiPlugins is the control API's view of the plugins.
type apiPlugins struct{ h *Host }

func (p apiPlugins) Plugins() []control.Plugin { return p.h.pluginStatus() }

func (p apiPlugins) Restart(ctx context.Context, name string) error {
	return p.h.plugins.Restart(ctx, name)
}

func pluginData(s pluginhost.State) control.PluginData {
	d := control.PluginData{State: s.State, PID: s.PID, Version: s.Version, Restarts: s.Restarts}
	if s.Err != nil {
		d.Error = failureOf(s.Err)
	}
	return d
}

// Events yields what happens from now on, and what is remembered, until the host ends or ctx is done: for the process that runs
// the host. Other programs use the control API.
func (h *Host) Events(ctx context.Context, after uint64) iter.Seq[control.Event] {
	return httpapi.Follow(ctx, h.hub, after)
}
