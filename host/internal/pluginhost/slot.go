package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/shared/fault"
)

// slot is where callers find the present process of a plugin. Safe for concurrent use.
type slot struct {
	wait    time.Duration
	onState func(State)

	mu      sync.Mutex // guards all below
	state   State
	current *generation
	changed chan struct{} // closed and replaced at each change
	started bool          // it has been running before
}

func newSlot(name string, wait time.Duration, onState func(State)) *slot {
	return &slot{
		wait: wait, onState: onState, changed: make(chan struct{}),
		state: State{Name: name, State: Starting, Since: time.Now()},
	}
}

func (s *slot) update(f func()) {
	s.mu.Lock()
	before := s.state.State
	f()
	if s.state.State != before {
		s.state.Since = time.Now()
	}
	close(s.changed)
	s.changed = make(chan struct{})
	now := s.state
	s.mu.Unlock()
	s.onState(now)
}

func (s *slot) snapshot() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *slot) starting() {
	s.update(func() {
		if s.state.State != Failed { // an open circuit stays visible while it is tried
			s.state.State = Starting
		}
	})
}

// running makes g the present process. The one before, if it still serves, is left to those who call it now.
func (s *slot) running(g *generation) {
	s.update(func() {
		if s.started {
			s.state.Restarts++
		}
		if s.current != nil {
			s.current.depart()
		}
		s.started, s.current = true, g
		s.state.State, s.state.PID, s.state.Version, s.state.Services = Running, g.proc.pid(), g.info.Version, g.services
		s.state.UnknownKinds = g.info.UnknownKinds
		s.state.Manifest, s.state.Wants = g.exe.manifest, g.info.WantedGrants
		s.state.Err, s.state.Lines = nil, nil
	})
}

// depart takes no more calls. The slot is locked.
func (g *generation) depart() {
	close(g.moved)
	if g.calls == 0 {
		close(g.idle)
	}
}

// looked shows the manifest of a plugin that cannot be started; that of a process that serves stays.
func (s *slot) looked(m *manifest.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		s.state.Manifest = m
	}
}

// done gives back a generation from get.
func (s *slot) done(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
func (s *slot) leave(g *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-g.gone:
	default:
		close(g.gone)
	}
	if s.current == g {
		s.current = nil
		s.state.PID = 0
		s.state.Lines = g.logs.last()
	}
}

func (s *slot) down(state string, err error) {
	s.update(func() { s.state.State, s.state.Err = state, err })
}

func (s *slot) stop() {
	if s.snapshot().State != Stopped { // a plugin that was dismissed has told it
		s.update(func() { s.state.State, s.state.PID = Stopped, 0 })
	}
}

// dismiss takes no more callers, for good; g is left to those who call it now.
func (s *slot) dismiss(g *generation) {
	s.update(func() {
		g.depart()
		s.current = nil
		s.state.State, s.state.PID = Stopped, 0
	})
}

// settled waits until a plugin that was started serves, or says why not.
func (s *slot) settled(ctx context.Context) error {
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
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
func (s *slot) get(ctx context.Context) (*generation, error) {
	bound, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	for {
		s.mu.Lock()
		g, state, changed := s.current, s.state, s.changed
		if g != nil {
			g.calls++
		}
		s.mu.Unlock()
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
func (s *slot) awaitLeave(ctx context.Context, g *generation) {
	timer := time.NewTimer(s.wait)
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
