package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// current is where callers find the process of a plugin that serves now. Safe for concurrent use.
type current struct {
	wait    time.Duration
	onState func(State)

	mu      sync.Mutex // guards all below
	state   State
	gen     *generation
	changed chan struct{} // closed and replaced at each change
	started bool          // it has been running before
}

func newCurrent(name string, wait time.Duration, onState func(State)) *current {
	return &current{
		wait: wait, onState: onState, changed: make(chan struct{}),
		state: State{Name: name, State: Starting, Since: time.Now()},
	}
}

func (c *current) update(f func()) {
	c.mu.Lock()
	before := c.state.State
	f()
	if c.state.State != before {
		c.state.Since = time.Now()
	}
	close(c.changed)
	c.changed = make(chan struct{})
	now := c.state
	c.mu.Unlock()
	c.onState(now)
}

func (c *current) snapshot() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *current) starting() {
	c.update(func() {
		if c.state.State != Failed { // an open circuit stays visible while it is tried
			c.state.State = Starting
		}
	})
}

// running makes g the present process. The one before, if it still serves, is left to those who call it now.
func (c *current) running(g *generation) {
	c.update(func() {
		if c.started {
			c.state.Restarts++
		}
		if c.gen != nil {
			c.gen.depart()
		}
		c.started, c.gen = true, g
		c.state.State, c.state.PID, c.state.Version, c.state.Services = Running, g.proc.pid(), g.info.Version, g.services
		c.state.UnknownKinds = g.info.UnknownKinds
		c.state.Manifest, c.state.Wants = g.exe.manifest, g.info.WantedGrants
		c.state.Err, c.state.Lines = nil, nil
	})
}

// depart takes no more calls. It is locked.
func (g *generation) depart() {
	close(g.moved)
	if g.calls == 0 {
		close(g.idle)
	}
}

// looked shows the manifest of a plugin that cannot be started; that of a process that serves stays.
func (c *current) looked(m *manifest.Manifest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen == nil {
		c.state.Manifest = m
	}
}

// done gives back a generation from get.
func (c *current) done(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.calls--; g.calls > 0 {
		return
	}
	select {
	case <-g.moved: // so no call comes after this one
		close(g.idle)
	default:
	}
}

// leave ends the calls to a generation; a second time does nothing.
func (c *current) leave(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-g.gone:
	default:
		close(g.gone)
	}
	if c.gen == g {
		c.gen = nil
		c.state.PID = 0
		c.state.Lines = g.logs.last()
	}
}

func (c *current) down(state string, err error) {
	c.update(func() { c.state.State, c.state.Err = state, err })
}

func (c *current) stop() {
	if c.snapshot().State != Stopped { // a plugin that was dismissed has told it
		c.update(func() { c.state.State, c.state.PID = Stopped, 0 })
	}
}

// dismiss takes no more callers, for good; g is left to those who call it now.
func (c *current) dismiss(g *generation) {
	c.update(func() {
		g.depart()
		c.gen = nil
		c.state.State, c.state.PID = Stopped, 0
	})
}

// settled waits until a plugin that was started serves, or says why not.
func (c *current) settled(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		switch state.State {
		case Running:
			return nil
		case BackingOff, Failed:
			return state.Err
		case Stopped:
			return down(state)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// get waits for a running process: as long as one is being started or restarted, and not longer than the bound. The caller gives
// it back with done. It fails with fault.PluginDown, which says why; nothing was called then.
func (c *current) get(ctx context.Context) (*generation, error) {
	bound, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	for {
		c.mu.Lock()
		g, state, changed := c.gen, c.state, c.changed
		if g != nil {
			g.calls++
		}
		c.mu.Unlock()
		switch {
		case g != nil:
			return g, nil
		case state.State == Stopped || state.State == Failed:
			return nil, down(state)
		}
		select {
		case <-changed:
		case <-bound.Done():
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
			return nil, down(state)
		}
	}
}

// awaitLeave waits until a generation whose call broke is no longer the present one, so that asking again asks another.
func (c *current) awaitLeave(ctx context.Context, g *generation) {
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	select {
	case <-g.gone:
	case <-g.moved:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func down(s State) error {
	f := fault.New(fault.PluginDown, fmt.Sprintf("plugin %q is %s", s.Name, s.State))
	f.Retryable = s.State != Stopped
	if s.Err != nil {
		f.Cause, f.Hint = s.Err, fault.HintOf(s.Err)
	}
	return f
}
