package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// current holds the process of a plugin that serves now, for its callers. Safe for concurrent use.
type current struct {
	wait    time.Duration
	onState func(State)

	mu      sync.Mutex // guards all below
	state   State
	gen     *generation
	changed chan struct{} // closed and replaced at each change
	started bool          // it has served before
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

// running makes g the current process. The former one, if it still serves, finishes the calls that it has.
func (c *current) running(g *generation) {
	c.update(func() {
		if c.started {
			c.state.Restarts++
		}
		if c.gen != nil {
			c.gen.depart()
		}
		c.started, c.gen = true, g
		c.state.State, c.state.PID = Running, g.proc.pid()
		c.state.Version, c.state.Services = g.info.Version, g.services
		c.state.UnknownKinds = g.info.UnknownKinds
		c.state.Manifest, c.state.Wants = g.exe.manifest, g.info.WantedGrants
		c.state.Fields, c.state.Homepage = g.info.ConfigFields, g.info.Homepage
		c.state.Err, c.state.Lines = nil, nil
	})
}

// depart takes no more calls. The caller holds the lock of current.
func (g *generation) depart() {
	close(g.moved)
	if g.calls == 0 {
		close(g.idle)
	}
}

// looked shows the manifest of a plugin that cannot be started. While a process serves, its manifest stays.
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
	case <-g.moved: // so this was the last call
		close(g.idle)
	default:
	}
}

// leave ends the calls to a generation; calling it again does nothing.
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
	if c.snapshot().State != Stopped { // a plugin that was removed has reported it already
		c.update(func() { c.state.State, c.state.PID = Stopped, 0 })
	}
}

// dismiss accepts no more calls, for good; g finishes the calls that it has.
func (c *current) dismiss(g *generation) {
	c.update(func() {
		g.depart()
		c.gen = nil
		c.state.State, c.state.PID = Stopped, 0
	})
}

// settled waits until a plugin that was started serves, or returns why it does not.
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

// get returns the current process. While the plugin is started or restarted it waits, within the bound. The caller
// gives the process back with done. It fails with fault.PluginDown, which says why; then nothing was called.
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

// awaitLeave waits until a generation whose call broke is no longer the current one, so that a retry goes to another.
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
