package shimlauncher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/shim"
)

// bundle opens a launch, and recovers it if its files cannot be read but something of it lives. A launch that cannot be
// read and does not live is quarantined: its callers hear that there is no such launch, rather than meet one that can
// never be finished.
func (l *Launcher) bundle(ctx context.Context, launchID string) (shim.Bundle, error) {
	_, dirs, err := l.place()
	if err != nil {
		return shim.Bundle{}, err
	}
	if launchID == "" || launchID[0] == '.' || filepath.Base(launchID) != launchID {
		return shim.Bundle{}, fault.New(fault.NotFound, fmt.Sprintf("no launch %.80q", launchID))
	}
	b, err := shim.RecoverBundle(ctx, dirs.Runtime, filepath.Join(dirs.Run, launchID))
	if errors.Is(err, shim.ErrNoBundle) {
		if held, ok := l.held(ctx, launchID); ok {
			return held, nil
		}
	}
	if errors.Is(err, shim.ErrBroken) {
		if moved, moveErr := shim.Quarantine(ctx, dirs.Runtime, b.Dir); moveErr == nil {
			return b,
				fault.New(fault.NotFound,
					fmt.Sprintf("no launch %s any more: nothing of it lives, and what is left was quarantined: %s",
						launchID, moved.Reason)).WithHint("what is left is in " + moved.Dir)
		}
	}
	if err != nil {
		return b, faultOf(err)
	}
	b = l.seen(b)
	return b, faultOf(b.Elsewhere())
}

// heldTimeout bounds a call to a shim whose bundle was removed.
const heldTimeout = 5 * time.Second

// held is a launch whose files are gone while its shim, to which we hold a connection, lives: its gateway lives
// although its bundle cannot be read.
func (l *Launcher) held(ctx context.Context, launchID string) (shim.Bundle, bool) {
	l.mu.Lock()
	c := l.clients[launchID]
	l.mu.Unlock()
	if c == nil {
		return shim.Bundle{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, heldTimeout)
	defer cancel()
	state, err := c.State(ctx)
	if err != nil {
		return shim.Bundle{}, false
	}
	b := shim.Bundle{
		Dir: c.Dir(), LaunchID: launchID, Status: shim.StatusRunning, State: &state, Exit: state.Exit, ShimAlive: true,
		Detail: "its files in the run directory were removed",
	}
	if state.Exit != nil {
		b.Status = shim.StatusEnded
	}
	return b, true
}

// heldBeyond returns the launches that are held and were not read.
func (l *Launcher) heldBeyond(ctx context.Context, read []shim.Bundle) []shim.Bundle {
	l.mu.Lock()
	ids := slices.Sorted(maps.Keys(l.clients))
	l.mu.Unlock()
	var out []shim.Bundle
	for _, id := range ids {
		if slices.ContainsFunc(read, func(b shim.Bundle) bool { return b.LaunchID == id }) {
			continue
		}
		if b, ok := l.held(ctx, id); ok {
			out = append(out, b)
		}
	}
	return out
}

// client returns the held connection to a launch's shim, and makes it when there is none.
func (l *Launcher) client(ctx context.Context, launchID string) (*shim.Client, error) {
	l.mu.Lock()
	c, dir := l.clients[launchID], filepath.Join(l.dirs.Run, launchID)
	l.mu.Unlock()
	if c != nil {
		select {
		case <-c.Done():
		default:
			return c, nil
		}
	}
	c, err := shim.Connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	return l.keep(launchID, c), nil
}

// keep holds c, or the one that came first.
func (l *Launcher) keep(launchID string, c *shim.Client) *shim.Client {
	l.mu.Lock()
	old := l.clients[launchID]
	if old != nil {
		select {
		case <-old.Done():
			old = nil
		default:
		}
	}
	if old == nil {
		l.clients[launchID] = c
		l.mu.Unlock()
		return c
	}
	l.mu.Unlock()
	c.Close()
	return old
}

func (l *Launcher) forget(launchID string) {
	l.mu.Lock()
	c := l.clients[launchID]
	delete(l.clients, launchID)
	l.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// pause waits one beat, or fails with the cause of ctx.
func pause(ctx context.Context) error {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return faultOf(context.Cause(ctx))
	}
}
