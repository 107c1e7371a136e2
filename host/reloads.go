package host

import (
	"context"

	"github.com/gatehost/gatehost/shared/fault"
)

// reloads lets one after another change what holds, while the host runs.
type reloads struct {
	turn    chan struct{} // holds a token while somebody changes it
	opened  chan struct{} // closed when the gateways are supervised
	closing chan struct{} // closed when the host stops
}

func newReloads() *reloads {
	return &reloads{turn: make(chan struct{}, 1), opened: make(chan struct{}), closing: make(chan struct{})}
}

func (r *reloads) open() { close(r.opened) }

// close cuts the one that is under way, waits for its end and lets nobody in after it.
func (r *reloads) close() {
	close(r.closing)
	r.turn <- struct{}{}
}

// enter waits for the turn. The context ends also when the host stops; leave gives the turn back. Error: the host does not run yet, or no more.
func (r *reloads) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	select {
	case <-r.opened:
	case <-r.closing:
		return nil, nil, restarting()
	default:
		f := fault.New(fault.Unavailable, "the host is starting").WithHint("try again in a moment")
		f.Retryable = true
		return nil, nil, f
	}
	select {
	case r.turn <- struct{}{}:
	case <-r.closing:
		return nil, nil, restarting()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	left := make(chan struct{})
	go func() {
		defer cancel()
		select {
		case <-r.closing:
		case <-left:
		}
	}()
	return ctx, func() {
		close(left)
		<-r.turn
	}, nil
}
