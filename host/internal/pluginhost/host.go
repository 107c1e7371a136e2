package pluginhost

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
)

// Host runs the plugins of one gatehost. Use New, Add for each plugin, then Start; Close ends them all. Meanwhile tables may come (Add),
// change (Change) and go (Remove). Safe for concurrent use, but for Start and Close, which are called once.
type Host struct {
	opts Options

	mu      sync.RWMutex // guards all below
	plugins map[string]*supervisor
	order   []string
	all     map[*supervisor]int // of all that have not ended, removed ones too: the number of their socket directory
	start   func(*supervisor)   // nil before Start
	cancel  context.CancelFunc
	closed  bool

	tasks sync.WaitGroup
}

// New makes a host without plugins.
func New(opts Options) *Host {
	opts.Timing = opts.Timing.withDefaults()
	if opts.OnState == nil {
		opts.OnState = func(State) {}
	}
	if opts.OnCall == nil {
		opts.OnCall = func(Call) {}
	}
	if opts.Speaks == nil {
		opts.Speaks = Speaks()
	}
	return &Host{opts: opts, plugins: map[string]*supervisor{}, all: map[*supervisor]int{}}
}

// Add makes a plugin known; after Start it is started at once, see Await. Errors: the name is none, or is taken; the host is closed.
func (h *Host) Add(s Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, twice := h.plugins[s.Name]; twice || s.Name == "" {
		return fmt.Errorf("cannot add plugin %q: the name is empty or taken", s.Name)
	}
	if !names.MatchString(s.Name) { // it also names a directory
		return fmt.Errorf("cannot add plugin %q: a name is letters, digits, dots, hyphens and underscores, not beginning with a dot", s.Name)
	}
	if h.closed {
		return errClosed()
	}
	n := h.freeNumber()
	one := newSupervisor(h.opts, s.withDefaults(), filepath.Join(h.opts.RuntimeDir, "p"+strconv.Itoa(n)))
	h.plugins[s.Name], h.all[one] = one, n
	h.order = append(h.order, s.Name)
	if h.start != nil {
		h.start(one)
	}
	return nil
}

var names = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// freeNumber is the lowest that no plugin has: paths of sockets must stay short. h is locked.
func (h *Host) freeNumber() int {
	taken := map[int]bool{}
	for _, n := range h.all {
		taken[n] = true
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}

// Start begins to run all plugins and returns at once; their states tell how it went.
func (h *Host) Start(ctx context.Context) {
	// Detached: plugins outlive the context of the start and end in Close, after the engines that need them.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel = cancel
	h.start = func(s *supervisor) {
		wanted, leave := context.WithCancel(ctx)
		s.leave = leave
		h.tasks.Go(func() {
			defer leave()
			s.run(ctx, wanted)
			h.forget(s)
		})
	}
	for _, name := range h.order {
		h.start(h.plugins[name])
	}
}

// forget lets go of a plugin that has ended, unless it is still configured.
func (h *Host) forget(s *supervisor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plugins[s.name] != s {
		delete(h.all, s)
	}
}

// Await waits until a plugin that was added serves, or its first start has failed: the error says why, and it is tried again all the same.
// ctx ends only the wait. Errors: fault.NotFound; those of a start.
func (h *Host) Await(ctx context.Context, name string) error {
	s := h.find(name)
	if s == nil {
		return noPlugin(name)
	}
	return s.current.settled(ctx)
}

// Remove ends a plugin: nobody is sent to it from now on, and it ends when the calls under way in it have, each within its bound, as in
// Restart. The channel is closed then. Error: fault.NotFound.
func (h *Host) Remove(name string) (<-chan struct{}, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.plugins[name]
	if s == nil {
		return nil, noPlugin(name)
	}
	delete(h.plugins, name)
	h.order = slices.DeleteFunc(h.order, func(n string) bool { return n == name })
	if s.leave == nil { // before Start
		delete(h.all, s)
		close(s.over)
		return s.over, nil
	}
	s.leave()
	return s.over, nil
}

// Close ends all plugins and waits for them; it is bounded by CloseGrace and the kill after it.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	if h.cancel != nil {
		h.cancel()
	}
	h.mu.Unlock()
	h.tasks.Wait()
}

// find is the plugin that has the name now; nil when there is none.
func (h *Host) find(name string) *supervisor {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.plugins[name]
}

func noPlugin(name string) error {
	return fault.New(fault.NotFound, fmt.Sprintf("there is no plugin %q", name))
}

// Plugins are the states of all plugins, in the order of Add.
func (h *Host) Plugins() []State {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]State, 0, len(h.order))
	for _, name := range h.order {
		s := h.plugins[name].current.snapshot()
		s.Refused = h.plugins[name].refused.list()
		out = append(out, s)
	}
	return out
}

// Restart lets another process take the place of a plugin's, and waits until that serves or has failed to; ctx ends only the wait.
// Calls under way may end where they began. Whoever asks while this is under way joins. A plugin that is down is started now.
// Errors: fault.NotFound; fault.FailedPrecondition, when somebody has to change something first, and fault.Unavailable, both with the
// reason: the former process, if there is one, goes on untouched.
func (h *Host) Restart(ctx context.Context, name string) error {
	s := h.find(name)
	if s == nil {
		return noPlugin(name)
	}
	w := s.restarts.add()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Pids are the processes that are plugins now, for the control socket's peer check: also those that are being started, and those
// that have been replaced or removed and end what was begun in them.
func (h *Host) Pids() []int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []int
	for s := range h.all {
		out = append(out, s.live.pids()...)
	}
	return out
}

// RSS is the resident memory of a plugin's process in bytes; 0 when it has none or it cannot be told.
func (h *Host) RSS(name string) uint64 {
	s := h.find(name)
	if s == nil {
		return 0
	}
	return rssOf(s.current.snapshot().PID)
}

// Spec is the table by which a plugin goes now. Error: fault.NotFound.
func (h *Host) Spec(name string) (Spec, error) {
	s := h.find(name)
	if s == nil {
		return Spec{}, noPlugin(name)
	}
	return *s.spec(), nil
}
