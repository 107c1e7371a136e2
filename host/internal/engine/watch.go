package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	// drainBound is how long an exit waits for the meaning of the last lines (R20).
	drainBound = 250 * time.Millisecond
	// activityEvery coalesces signs of progress: the inbox gets one for thousands of lines.
	activityEvery = time.Second
	// aliveEvery does the same for the session.
	aliveEvery = 5 * time.Second
	// rewatchDelay is the time between two attempts to open the output of a launch.
	rewatchDelay = time.Second
	// finishBound is how long the remaining output of an ended launch may take.
	finishBound = 5 * time.Second
	// unwatchedEvery is the time between two checks of a gateway that has no shim.
	unwatchedEvery = 2 * time.Second
)

// watch is the open output and exit of one launch.
type watch struct {
	launch lifecycle.LaunchID
	output atomic.Pointer[Output] // nil until it is opened
	cancel context.CancelFunc
	closed chan struct{} // closed when its reader has ended

	said string // for follow alone: the problem that was logged last, until something is read again
}

// out returns the processing of the output; nil before it was opened.
func (w *watch) out() Output {
	if p := w.output.Load(); p != nil {
		return *p
	}
	return nil
}

func (w *watch) tail(n int) []string {
	out := w.out()
	if out == nil {
		return nil
	}
	lines := out.Tail(n)
	text := make([]string, len(lines))
	for i, l := range lines {
		text[i] = l.Text
	}
	return text
}

func (e *Engine) watch(ctx context.Context, eff lifecycle.Watch) {
	if _, open := e.watches[eff.Launch]; open { // adopted again after an error
		return
	}
	before := e.last
	watchCtx, cancel := context.WithCancel(ctx)
	w := &watch{launch: eff.Launch, cancel: cancel, closed: make(chan struct{})}
	e.watches[eff.Launch], e.last, e.read[eff.Launch] = w, w, true
	e.tasks.Go(func() {
		defer close(w.closed)
		defer cancel()
		if before != nil && before.launch == w.launch { // two readers of one output would publish its lines twice
			before.cancel()
			<-before.closed
		}
		out := e.openOutput(watchCtx, w.launch)
		w.output.Store(&out)
		defer out.Close()
		e.follow(watchCtx, w)
	})
}

func (e *Engine) openOutput(ctx context.Context, launch lifecycle.LaunchID) Output {
	activity := coalesce(activityEvery)
	return e.ports.Output.Open(launch, OutputEvents{
		Activity: func() {
			if activity(time.Now()) {
				e.send(ctx, lifecycle.OutputSeen{Launch: launch})
			}
		},
		See: func(s observe.Sight) { e.deliver(ctx, message{sight: s}) },
		Symptom: func(s plugin.Symptom, line plugin.Line) {
			e.send(ctx, lifecycle.SymptomSeen{Launch: launch, Symptom: lifecycle.Symptom(s.String()), Text: line.Text})
		},
	})
}

// coalesce returns a function that says true at most once an interval; for one goroutine.
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

// unwatch closes a watch. If the launch has ended, the watch ends by itself, within a bound: the last lines of a
// gateway are those that matter.
func (e *Engine) unwatch(eff lifecycle.Unwatch) {
	w, ok := e.watches[eff.Launch]
	if !ok {
		return
	}
	delete(e.watches, eff.Launch)
	if !eff.Ended {
		w.cancel()
		return
	}
	e.tasks.Go(func() {
		select {
		case <-w.closed:
		case <-time.After(finishBound):
			w.cancel()
		}
	})
}

// follow reads the output until its end, whatever happens to the plugin that carries it.
func (e *Engine) follow(ctx context.Context, w *watch) {
	out := w.out()
	for ctx.Err() == nil {
		var end *launcher.End
		err := e.ports.Launcher.Output(ctx, launcher.OutputRequest{
			LaunchID: string(w.launch), Cursor: out.Cursor(), Follow: true,
		}, func(item launcher.OutputItem) error {
			if x, ok := item.(*launcher.End); ok {
				end = x
			}
			w.said = ""
			return out.Feed(ctx, item)
		})
		switch {
		case ctx.Err() != nil:
			return
		case end != nil:
			e.drain(ctx, out, drainBound)
			e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: exitOf(end.Exit)})
			e.drain(ctx, out, finishBound) // the decision does not wait for the remaining lines, but they are processed
			return
		case e.unwatched(ctx, w, err):
			return
		}
		pause(ctx, rewatchDelay)
	}
}

// readRemaining reads the remaining output of a launch that will not be followed any more: it ended, or lost its shim,
// while there was no host. It ends before the next launch writes anything, and takes at most finishBound.
func (e *Engine) readRemaining(ctx context.Context, launch string) {
	ctx, cancel := context.WithTimeout(ctx, finishBound)
	defer cancel()
	if ctx.Err() != nil {
		return
	}
	select {
	case e.remaining <- struct{}{}: // two readers of one output would publish its lines twice
		defer func() { <-e.remaining }()
	case <-ctx.Done():
		return
	}
	out := e.openOutput(ctx, lifecycle.LaunchID(launch))
	defer out.Close()
	request := launcher.OutputRequest{LaunchID: launch, Cursor: out.Cursor()}
	err := e.ports.Launcher.Output(ctx, request, func(item launcher.OutputItem) error { return out.Feed(ctx, item) })
	out.Drained(ctx)
	if err != nil || ctx.Err() != nil {
		e.log.Warn("cannot read the last lines of a gateway that ended without a host",
			"launch", launch, "error", errors.Join(err, ctx.Err()))
	}
}

func (e *Engine) drain(ctx context.Context, out Output, bound time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	out.Drained(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// unwatched finds out whether a broken stream means that the gateway has no shim any more, and tells the machine. It
// goes on to wait for the end of the process, whatever the machine decides.
func (e *Engine) unwatched(ctx context.Context, w *watch, cause error) bool {
	for told := false; ; told = true {
		got, err := e.ports.Launcher.Inspect(ctx, string(w.launch))
		switch {
		case ctx.Err() != nil:
			return true
		case errors.Is(err, fault.ErrNotFound):
			e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: lifecycle.Exit{At: time.Now()}})
			return true
		case err != nil:
			e.sayOnce(w, "cannot follow the gateway's output; trying again", err)
			return false
		case !got.Instance.Live():
			exit := lifecycle.Exit{At: time.Now()}
			if got.Instance.Exit != nil {
				exit = exitOf(*got.Instance.Exit)
			}
			e.send(ctx, lifecycle.ProcessExited{Launch: w.launch, Exit: exit})
			return true
		case got.Instance.Phase != launcher.PhaseUnwatched:
			e.sayOnce(w, "the gateway's output broke off; opening it again", cause)
			return false
		case !told:
			e.send(ctx, lifecycle.WatchLost{Launch: w.launch, Problem: lifecycle.Problem{
				Code: "unwatched", Message: "the gateway's shim died: " + got.Instance.Detail,
			}})
		}
		pause(ctx, unwatchedEvery)
	}
}

// sayOnce logs a problem with an output once, although it is tried again every second.
func (e *Engine) sayOnce(w *watch, what string, why error) {
	text := fmt.Sprint(what, why)
	if text != w.said {
		w.said = text
		e.log.Warn(what, "launch", string(w.launch), "error", why)
	}
}
