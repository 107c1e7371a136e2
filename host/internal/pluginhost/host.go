package pluginhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
)

// Host runs the plugins of one gatehost. Use New, Add for each plugin, then Start; Close ends them all.
type Host struct {
	opts    Options
	plugins map[string]*supervisor
	order   []string

	cancel context.CancelFunc
	tasks  sync.WaitGroup
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
	return &Host{opts: opts, plugins: map[string]*supervisor{}}
}

// Add makes a plugin known; before Start.
func (h *Host) Add(s Spec) error {
	if _, twice := h.plugins[s.Name]; twice || s.Name == "" {
		return fmt.Errorf("cannot add plugin %q: the name is empty or taken", s.Name)
	}
	if !names.MatchString(s.Name) { // it also names a directory
		return fmt.Errorf("cannot add plugin %q: a name is letters, digits, dots, hyphens and underscores, not beginning with a dot", s.Name)
	}
	if s.StartTimeout <= 0 {
		s.StartTimeout = defaultStartTimeout
	}
	if s.Where == nil {
		s.Where = func(string) string { return "" }
	}
	h.plugins[s.Name] = newSupervisor(h.opts, s, filepath.Join(h.opts.RuntimeDir, "p"+strconv.Itoa(len(h.order))))
	h.order = append(h.order, s.Name)
	return nil
}

var names = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`)

// Start begins to run all plugins and returns at once; their states tell how it went.
func (h *Host) Start(ctx context.Context) {
	// Detached: plugins outlive the context of the start and end in Close, after the engines that need them.
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, name := range h.order {
		s := h.plugins[name]
		h.tasks.Go(func() { s.run(ctx) })
	}
}

// Close ends all plugins and waits for them; it is bounded by CloseGrace and the kill after it.
func (h *Host) Close() {
	if h.cancel != nil {
		h.cancel()
	}
	h.tasks.Wait()
	for _, s := range h.plugins {
		_ = os.RemoveAll(s.socketDir)
	}
}

// Plugins are the states of all plugins, in the order of Add.
func (h *Host) Plugins() []State {
	out := make([]State, 0, len(h.order))
	for _, name := range h.order {
		out = append(out, h.plugins[name].slot.snapshot())
	}
	return out
}

// Restart lets another process take the place of a plugin's, and waits until that serves or has failed to; ctx ends only the wait.
// Calls under way may end where they began. Whoever asks while this is under way joins. A plugin that is down is started now.
// Errors: fault.NotFound; fault.FailedPrecondition, when somebody has to change something first, and fault.Unavailable, both with the
// reason: the former process, if there is one, goes on untouched.
func (h *Host) Restart(ctx context.Context, name string) error {
	s, ok := h.plugins[name]
	if !ok {
		return fault.New(fault.NotFound, fmt.Sprintf("there is no plugin %q", name))
	}
	w := s.wishes.add()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Pids are the processes that are plugins now, for the control socket's peer check: also those that are being started, and those
// that have been replaced and end what was begun in them.
func (h *Host) Pids() []int {
	var out []int
	for _, name := range h.order {
		out = append(out, h.plugins[name].live.pids()...)
	}
	return out
}

// RSS is the resident memory of a plugin's process in bytes; 0 when it has none or it cannot be told.
func (h *Host) RSS(name string) uint64 {
	s, ok := h.plugins[name]
	if !ok {
		return 0
	}
	return rssOf(s.slot.snapshot().PID)
}
