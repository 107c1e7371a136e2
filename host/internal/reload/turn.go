package reload

import (
	"context"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// Turn lets one after another change what holds, while the host runs.
type Turn struct {
	turn    chan struct{} // holds a token while one changes it
	opened  chan struct{} // closed when the gateways are supervised
	closing chan struct{} // closed when the host stops
}

// NewTurn is the turn of a host that does not run yet.
func NewTurn() *Turn {
	return &Turn{turn: make(chan struct{}, 1), opened: make(chan struct{}), closing: make(chan struct{})}
}

// Open lets reloads in: the gateways are supervised.
func (t *Turn) Open() { close(t.opened) }

// Close cuts the one that is under way, waits for its end and lets none in after it.
func (t *Turn) Close() {
	close(t.closing)
	t.turn <- struct{}{}
}

// Enter waits for the turn. The context ends also when the host stops; leave gives the turn back. Error: the host does not run yet, or no more.
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
