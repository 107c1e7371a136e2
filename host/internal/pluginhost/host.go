package pluginhost

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/fault"
)

// Host runs the plugins of one gatehost. Call New, Add for each plugin, then Start; Close ends all plugins. In between
// plugins can be added (Add), changed (Change) and removed (Remove). Safe for concurrent use, except Start and Close,
// which are called once.
type Host struct {
	opts Options

	mu      sync.RWMutex // guards all below
	plugins map[string]*supervisor
	order   []string
	all     map[*supervisor]int // all that have not ended, removed ones too, with the number of their socket directory
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
	if opts.Secrets == nil {
		opts.Secrets = &redact.Known{}
	}
	if opts.Speaks == nil {
		opts.Speaks = Speaks()
	}
	return &Host{opts: opts, plugins: map[string]*supervisor{}, all: map[*supervisor]int{}}
}

// Add makes a plugin known; after Start it is started at once, see Await. Errors: the name is invalid or taken; the
// host is closed.
func (h *Host) Add(s Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, twice := h.plugins[s.Name]; twice || s.Name == "" {
		return fmt.Errorf("cannot add plugin %q: the name is empty or taken", s.Name)
	}
	if !names.MatchString(s.Name) { // it also names a directory
		return fmt.Errorf(
			"cannot add plugin %q: a name is letters, digits, dots, hyphens and underscores, not beginning with a dot",
			s.Name)
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

// freeNumber returns the lowest number that no plugin has, because paths of sockets must be short. The caller holds
// h.mu.
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

// Start begins to run all plugins and returns at once; their states say how it went.
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

// forget drops a plugin that has ended, unless it is still configured.
func (h *Host) forget(s *supervisor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plugins[s.name] != s {
		delete(h.all, s)
	}
}

// Await waits until a plugin that was added serves, or its first start has failed. The error says why; the host tries
// again in either case. ctx ends only the wait. Errors: fault.NotFound; those of a start.
func (h *Host) Await(ctx context.Context, name string) error {
	s := h.find(name)
	if s == nil {
		return noPlugin(name)
	}
	return s.current.settled(ctx)
}

// Remove ends a plugin: it gets no more calls, and it ends when the calls under way in it have ended, each within its
// bound, as in Restart. The channel is closed then. Error: fault.NotFound.
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

// find returns the plugin that has the name now; nil when there is none.
func (h *Host) find(name string) *supervisor {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.plugins[name]
}

func noPlugin(name string) error {
	return fault.New(fault.NotFound, fmt.Sprintf("there is no plugin %q", name))
}

// Plugins returns the states of all plugins, in the order of Add.
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

// Restart replaces the process of a plugin by a new one and waits until that serves or has failed; ctx ends only the
// wait. Calls under way may end where they began. Calls of Restart while one is under way join it. A plugin that is
// down is started now. Errors: fault.NotFound; fault.FailedPrecondition, when the operator has to change something
// first, and fault.Unavailable, both with the reason: the former process, if there is one, continues unchanged.
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

// Pids returns the processes that are plugins now, for the peer check of the control socket: also those that are being
// started, and those that were replaced or removed and still finish their calls.
func (h *Host) Pids() []int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []int
	for s := range h.all {
		out = append(out, s.live.pids()...)
	}
	return out
}

// RSS returns the resident memory of a plugin's process and its children in bytes; 0 when there is no process or the
// figure is not available.
func (h *Host) RSS(name string) uint64 {
	s := h.find(name)
	if s == nil {
		return 0
	}
	return usageOf(s.current.snapshot().PID, 0).rss
}

// Check looks for what would make the next start of a plugin fail: its file, its checksum. It starts nothing. Errors:
// fault.NotFound, and those of the files.
func (h *Host) Check(ctx context.Context, name string) error {
	spec, err := h.Spec(name)
	if err != nil {
		return err
	}
	return Check(ctx, spec, h.opts.PluginDir)
}

// Spec returns the configuration that is in effect for a plugin. Error: fault.NotFound.
func (h *Host) Spec(name string) (Spec, error) {
	s := h.find(name)
	if s == nil {
		return Spec{}, noPlugin(name)
	}
	return *s.spec(), nil
}
