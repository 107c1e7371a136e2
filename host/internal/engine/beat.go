package engine

import "context"

// Beat returns when the owner has taken it: the loop that owns the state works. It fails with ErrStopped after Run has
// returned, or with the cause of ctx.
func (e *Engine) Beat(ctx context.Context) error {
	select {
	case e.beats <- struct{}{}:
		return nil
	case <-e.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
