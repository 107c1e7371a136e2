package engine

import (
	"context"
	"errors"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	// drainBound is how long an exit waits for the meaning of the last lines (R20).
	drainBound = 250 * time.Millisecond
	// activityEvery coalesces signs of progress: thousands of lines never enter the inbox, only that there were some.
	activityEvery = time.Second
	// aliveEvery does the same for the session.
	aliveEvery = 5 * time.Second
	// rewatchDelay is between two tries to open the output of a launch.
	rewatchDelay = time.Second
)

// watch is the open output and exit of one launch.
type watch struct {
	launch lifecycle.LaunchID
	output Output
	cancel context.CancelFunc
	closed chan struct{} // closed when nothing of it writes any more
}

func (w *watch) tail(n int) []string {
	lines := w.output.Tail(n)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Text
	}
	return out
}

func (e *Engine) watch(ctx context.Context, eff lifecycle.Watch) {
	if _, open := e.watches[eff.Launch]; open { // taken up again after an error
		return
	}
	watchCtx, cancel := context.WithCancel(ctx)
	activity := coalesce(activityEvery)
	w := &watch{launch: eff.Launch, cancel: cancel, closed: make(chan struct{})}
	w.output = e.ports.Output.Open(eff.Launch, OutputEvents{
		Activity: func() {
			if activity(time.Now()) {
				e.send(watchCtx, lifecycle.OutputSeen{Launch: eff.Launch})
			}
		},
		Symptom: func(s plugin.Symptom, line plugin.Line) {
			e.send(watchCtx, lifecycle.SymptomSeen{
				Launch: eff.Launch, Symptom: lifecycle.Symptom(s.String()), Text: line.Text,
			})
		},
	})
	e.watches[eff.Launch], e.last = w, w
	e.tasks.Go(func() {
		defer close(w.closed)
		defer cancel()
		defer w.output.Close()
		e.follow(watchCtx, w)
	})
}

// coalesce answers true at most once an interval; used by one goroutine.
func coalesce(every time.Duration) func(time.Time) bool {
	var last time.Time
	return func(now time.Time) bool {
		if !last.IsZero() && now.Sub(last) < every {
			return false
		}
		last = now
		return true
	}
}

func (e *Engine) unwatch(id lifecycle.LaunchID) {
	if w, ok := e.watches[id]; ok {
		w.cancel()
		delete(e.watches, id)
	}
}

// follow reads the output until its end, whatever happens to the plugin that carries it.
func (e *Engine) follow(ctx context.Context, w *watch) {
	for ctx.Err() == nil {
		var end *launcher.End
		err := e.ports.Launcher.Output(ctx, launcher.OutputRequest{
			LaunchID: string(w.launch), Cursor: w.output.Cursor(), Follow: true,
		}, func(item launcher.OutputItem) error {
			if x, ok := item.(*launcher.End); ok {
				end = x
			}
			return w.output.Feed(ctx, item)
		})
		switch {
		case ctx.Err() != nil:
			return
		case end != nil:
			drain, cancel := context.WithTimeout(ctx, drainBound)
			w.output.Drained(drain)
			cancel()
			e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: exitOf(end.Exit)})
			return
		case e.unwatched(ctx, w, err):
			return
		}
		select {
		case <-time.After(rewatchDelay):
		case <-ctx.Done():
		}
	}
}

// unwatched finds out whether a broken stream means that nobody holds the gateway any more, and says so to the machine.
func (e *Engine) unwatched(ctx context.Context, w *watch, cause error) bool {
	got, err := e.ports.Launcher.Inspect(ctx, string(w.launch))
	switch {
	case errors.Is(err, fault.ErrNotFound):
		e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: lifecycle.Exit{At: time.Now()}})
		return true
	case err != nil:
		e.log.Warn("cannot follow the gateway's output; trying again", "launch", string(w.launch), "error", err)
		return false
	case got.Instance.Phase == launcher.PhaseUnwatched:
		e.send(ctx, lifecycle.WatchLost{Launch: w.launch, Problem: lifecycle.Problem{
			Code: "unwatched", Message: "the gateway's shim died: " + got.Instance.Detail,
		}})
		return true
	case !got.Instance.Live():
		exit := lifecycle.Exit{At: time.Now()}
		if got.Instance.Exit != nil {
			exit = exitOf(*got.Instance.Exit)
		}
		e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: exit})
		return true
	default:
		e.log.Warn("the gateway's output broke off; opening it again", "launch", string(w.launch), "error", cause)
		return false
	}
}
