package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// restartRequests ask for another process of a plugin. All requests that come before the next process serves, or has
// failed to start, get the same answer.
type restartRequests struct {
	wanted chan struct{} // holds one

	mu     sync.Mutex // guards the two below
	open   *restartRequest
	closed bool
}

type restartRequest struct {
	done chan struct{}
	err  error // once done is closed
}

func (r *restartRequests) add() *restartRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		late := &restartRequest{done: make(chan struct{})}
		late.tell(errClosed())
		return late
	case r.open == nil:
		r.open = &restartRequest{done: make(chan struct{})}
		notify(r.wanted)
	}
	return r.open
}

// take returns the open request, nil when there is none. The caller tells it the outcome, after that is visible to all:
// a request by a caller that has seen the new process means another one.
func (r *restartRequests) take() *restartRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.open
	r.open = nil
	select {
	case <-r.wanted:
	default:
	}
	return taken
}

func (r *restartRequest) tell(err error) {
	if r != nil {
		r.err = err
		close(r.done)
	}
}

func (r *restartRequests) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.take().tell(errClosed())
}

func errClosed() error {
	f := fault.New(fault.Unavailable, "cannot restart the plugin: the host is ending").WithHint(
		"start the host; its plugins are started with it")
	f.Retryable = true
	return f
}

// notRestarted wraps err: what did not happen comes before the reason. Faults of the request itself are the caller's;
// this one is not.
func notRestarted(what string, err error) error {
	code := fault.Unavailable
	if isPermanent(err) {
		code = fault.FailedPrecondition
	}
	return fault.Wrap(code, what, err).WithHint(fault.HintOf(err))
}

// replacement is the start of a process beside the current one.
type replacement struct {
	change *change // that it is for; nil: the configuration is the same
	done   chan struct{}
	gen    *generation // once done is closed: it can take over; otherwise err says why not, and its process has ended
	err    error
}

// startReplacement starts a process that is to replace old, with another configuration when there is a change. It ends
// with ctx, within bounds; its caller waits for its end.
func (s *supervisor) startReplacement(ctx context.Context, old *generation, c *change) *replacement {
	a, spec := &replacement{change: c, done: make(chan struct{})}, s.spec()
	if c != nil {
		spec = c.spec
	}
	s.log.Info("a new process of the plugin is started to replace it", "pid", old.proc.pid())
	go func() {
		defer close(a.done)
		gen, err := s.start(ctx, spec)
		if err == nil {
			gen.change = c
			if err = s.takeOver(ctx, old, gen); err != nil {
				s.end(gen)
				gen = nil
			}
		}
		a.gen, a.err = gen, err
	}()
	return a
}

// takeOver finds out whether gen can do what old does (R40). When old has ended there is nothing to compare with.
func (s *supervisor) takeOver(ctx context.Context, old, gen *generation) error {
	ctx, cancel := context.WithTimeout(ctx, gen.spec.StartTimeout)
	defer cancel()
	for _, svc := range old.services {
		// a lower version is fine: the host speaks it, too
		if !old.serves(svc.Kind) || !gen.spec.uses(svc.Kind) || gen.serves(svc.Kind) {
			continue
		}
		why, hint := "", "install a version that does, or end its use in config.toml"
		if now, announced := gen.service(svc.Kind); announced {
			why, hint = ": "+now.Err.Error(), fault.HintOf(now.Err)
		}
		return permanent{s.refuse(gen, fault.Unsupported,
			fmt.Sprintf("it does not serve as %s any more, which the present process does%s", svc.Kind, why), hint)}
	}
	if old.serves(plugin.KindLauncher) && gen.serves(plugin.KindLauncher) {
		if err := s.recoverAll(ctx, old, gen); err != nil && !old.dead() {
			return s.refuse(gen, fault.FailedPrecondition,
				"it cannot take over what runs: "+err.Error()+tail(lastWords(gen)), "tell its author")
		}
	}
	if gen.dead() {
		return s.ended(gen)
	}
	return s.health(ctx, gen)
}

// recoverAll has gen recover every live instance that old knows.
func (s *supervisor) recoverAll(ctx context.Context, old, gen *generation) error {
	theirs, ours := launcher.NewClient(old.conn), launcher.NewClient(gen.conn)
	listing, err := bounded(ctx, "Launcher.List", func(ctx context.Context) (launcher.Listing,
		error,
	) {
		return theirs.List(ctx, "")
	})
	if err != nil {
		return fmt.Errorf("the present process does not say what runs: %w", err)
	}
	for _, i := range listing.Instances {
		if !i.Live() || gen.recovered[i.LaunchID] {
			continue
		}
		if err := recoverOne(ctx, theirs, ours, i); err != nil {
			return fmt.Errorf("launch %s of gateway %s: %w", i.LaunchID, i.Gateway, err)
		}
		gen.recovered[i.LaunchID] = true
	}
	return nil
}

// recoverOne recovers one instance. A process may end, and be released, meanwhile; then both processes of the plugin
// say so.
func recoverOne(ctx context.Context, theirs, ours launcher.Launcher, listed launcher.Instance) error {
	id := listed.LaunchID
	got, err := bounded(ctx, "Launcher.Recover", func(ctx context.Context) (launcher.Instance,
		error,
	) {
		return ours.Recover(ctx, id)
	})
	if err == nil && got.Live() && sameProcess(listed, got) {
		return nil
	}
	now, theirErr := bounded(ctx, "Launcher.Inspect", func(ctx context.Context) (launcher.Inspection,
		error,
	) {
		return theirs.Inspect(ctx, id)
	})
	switch {
	case errors.Is(theirErr, fault.ErrNotFound) && (errors.Is(err, fault.ErrNotFound) || err == nil && !got.Live()):
		return nil // ended, and released
	case err != nil:
		return err
	case theirErr != nil:
		return fmt.Errorf("the present process does not say how it is: %w", theirErr)
	case got.Live() != now.Instance.Live() || got.Live() && !sameProcess(now.Instance, got):
		return fmt.Errorf("it says %s, pid %d; the present process says %s, pid %d", got.Phase, got.PID,
			now.Instance.Phase, now.Instance.PID)
	default:
		return nil
	}
}

// sameProcess reports whether a and b can be one process; while it starts not all is known.
func sameProcess(a, b launcher.Instance) bool {
	return (a.PID == 0 || b.PID == 0 || a.PID == b.PID) && (a.StartTime == "" || b.StartTime == "" ||
		a.StartTime == b.StartTime)
}

// bounded makes one call with the deadline of the contract.
func bounded[T any](ctx context.Context, method string, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, methods[method].deadline)
	defer cancel()
	return f(ctx)
}

// retire lets a process finish its calls, and then ends it.
func (s *supervisor) retire(ctx context.Context, old, next *generation) {
	s.drain(ctx, old)
	if old.serves(plugin.KindLauncher) && next.serves(plugin.KindLauncher) && !old.dead() && ctx.Err() == nil {
		// What it launched while the other process was recovering.
		if err := s.recoverAll(ctx, old, next); err != nil && !old.dead() && !next.dead() && ctx.Err() == nil {
			s.log.Warn("cannot take over all launches of the replaced process; the rest is recovered when it is needed",
				"pid", old.proc.pid(), "error", err)
		}
	}
	s.end(old)
	s.log.Info("the plugin's former process has ended", "pid", old.proc.pid())
}

// drain waits for the calls that are under way; each has its bound, see attempt.cut. A process that hangs or uses too
// much memory is killed.
func (s *supervisor) drain(ctx context.Context, old *generation) {
	ticker := time.NewTicker(s.opts.Timing.HealthEvery)
	defer ticker.Stop()
	for {
		select {
		case <-old.idle:
			return
		case <-old.proc.done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.health(ctx, old)
		if err == nil {
			_, err = s.excess(old)
		}
		if err != nil {
			s.log.Error("the former process of the plugin is killed, with the calls under way in it", "pid",
				old.proc.pid(), "error", err)
			old.proc.kill()
		}
	}
}
