package reload

import (
	"context"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Turn lets one caller after another change what is in force, while the host runs. It is safe for concurrent use.
type Turn struct {
	turn    chan struct{} // holds a token while a caller has the turn; its size is 1
	opened  chan struct{} // closed when the host supervises the gateways
	closing chan struct{} // closed when the host stops
}

// NewTurn returns the turn of a host that does not run yet.
func NewTurn() *Turn {
	return &Turn{turn: make(chan struct{}, 1), opened: make(chan struct{}), closing: make(chan struct{})}
}

// Open allows reloads: the host supervises the gateways.
func (t *Turn) Open() { close(t.opened) }

// Close cancels the reload in progress, waits for its end and allows no further one.
func (t *Turn) Close() {
	close(t.closing)
	t.turn <- struct{}{}
}

// Enter waits for the turn. The context that it returns ends also when the host stops; leave gives the turn back.
// Errors: the host does not run yet, or no longer; or the cause of ctx.
func (t *Turn) Enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	select {
	case <-t.opened:
	case <-t.closing:
		return nil, nil, control.HostRestarting()
	default:
		f := fault.New(fault.Unavailable, "the host is starting").WithHint("try again in a moment")
		f.Retryable = true
		return nil, nil, f
	}
	select {
	case t.turn <- struct{}{}:
	case <-t.closing:
		return nil, nil, control.HostRestarting()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	left := make(chan struct{})
	go func() {
		defer cancel()
		select {
		case <-t.closing:
		case <-left:
		}
	}()
	return ctx, func() {
		close(left)
		<-t.turn
	}, nil
}
