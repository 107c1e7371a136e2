package pluginhost

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// ChangeKind is what it takes to apply another configuration of a plugin.
type ChangeKind string

// The kinds, least first.
const (
	Same       ChangeKind = "same"       // nothing: the configurations are equal
	Noted      ChangeKind = "noted"      // only the host uses what has changed
	Configured ChangeKind = "configured" // the process gets another Configure
	Replaced   ChangeKind = "replaced"   // another process replaces the current one
)

// Compare returns what it takes to go from one configuration to another.
func Compare(from, to Spec) ChangeKind {
	switch {
	case !reflect.DeepEqual(ofProcess(from), ofProcess(to)),
		from.leaves() != to.leaves(): // its processes are marked, or they are not
		return Replaced
	case !bytes.Equal(from.Config, to.Config),
		!slices.Equal(slices.Sorted(slices.Values(from.Grants)), slices.Sorted(slices.Values(to.Grants))):
		return Configured
	case from.StartTimeout != to.StartTimeout, from.CallTimeout != to.CallTimeout, from.MemoryMax != to.MemoryMax,
		!slices.Equal(from.Uses, to.Uses):
		return Noted
	default:
		return Same
	}
}

// ofProcess keeps only what a running process cannot be told.
func ofProcess(s Spec) Spec {
	s.Config, s.Grants, s.Uses, s.StartTimeout, s.CallTimeout, s.MemoryMax, s.Where = nil, nil, nil, 0, 0, 0, nil
	if len(s.Args) == 0 {
		s.Args = nil
	}
	if len(s.Env) == 0 {
		s.Env = nil
	}
	return s
}

// Check finds a plugin's file as a start would, and checks it; it starts nothing.
func Check(ctx context.Context, s Spec, pluginDir string) error {
	exe, err := resolve(ctx, s, pluginDir)
	if err != nil {
		return err
	}
	return exe.file.Close()
}

// uses reports whether a gateway uses the plugin as this kind.
func (s Spec) uses(kind plugin.Kind) bool { return len(s.Uses) == 0 || slices.Contains(s.Uses, kind) }

// leaves reports whether processes of the plugin may outlive it.
func (s Spec) leaves() bool { return s.Sandbox == nil && s.uses(plugin.KindLauncher) }

// change is another configuration on its way to the goroutine of run.
type change struct {
	spec *Spec
	done chan struct{}
	how  ChangeKind // this and the next, once done is closed
	err  error
}

// tell says how the change went; a nil change has no caller.
func (c *change) tell(how ChangeKind, err error) {
	if c != nil {
		c.how, c.err = how, err
		close(c.done)
	}
}

// notChanged wraps err: what did not happen comes before the reason.
func notChanged(name string, err error) error {
	return notRestarted(fmt.Sprintf("cannot change plugin %q, its former table stays in force", name), err)
}

// Change replaces the configuration of a plugin: the host uses it, or the process gets it by another Configure, or a
// new process is started with it, checked, and replaces the current one, as in Restart. Change waits until one of these
// has happened, or has failed: then everything is as before, and the error says why. ctx ends only the wait. A plugin
// that is down is started with the new configuration, and if that fails with the former one. Errors: fault.NotFound,
// and those of Restart.
func (h *Host) Change(ctx context.Context, s Spec) (ChangeKind, error) {
	one := h.find(s.Name)
	if one == nil {
		return "", noPlugin(s.Name)
	}
	s = s.withDefaults()
	c := &change{spec: &s, done: make(chan struct{})}
	changes := one.changes
	for {
		select {
		case changes <- c:
			changes = nil // taken once; now wait for the outcome
		case <-c.done:
			return c.how, c.err
		case <-one.over:
			select {
			case <-c.done:
				return c.how, c.err
			default:
				return "", errClosed()
			}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// change applies another configuration to the process that is watched.
func (w *watch) change(ctx context.Context, c *change) {
	switch how := Compare(*w.gen.spec, *c.spec); how {
	case Same, Noted:
		w.take(c, how)
	case Configured:
		w.tell(ctx, c)
	case Replaced:
		w.begin(ctx, c, false)
	}
}

func (w *watch) take(c *change, how ChangeKind) {
	w.gen.spec = c.spec
	w.s.inForce.Store(c.spec)
	c.tell(how, nil)
}

// telling is a Configure of a process that serves.
type telling struct {
	change *change
	done   chan struct{}
	faults string // this and the next, once done is closed
	err    error
}

// tell begins to send the process another configuration, while the watch goes on.
func (w *watch) tell(ctx context.Context, c *change) {
	t := &telling{change: c, done: make(chan struct{})}
	s, gen := w.s, w.gen
	w.telling = t
	go func() { // bounded by start_timeout; the watch waits for its end
		defer close(t.done)
		ctx, cancel := context.WithTimeout(ctx, c.spec.StartTimeout)
		defer cancel()
		t.faults, t.err = s.configure(ctx, gen, c.spec)
	}()
}

// told handles the end of a Configure. A process that refuses the configuration keeps the former one. When it is
// unknown which one the process uses, a new process is started with the new configuration, or, if that fails, with the
// former one.
func (w *watch) told(ctx context.Context) {
	t, s := w.telling, w.s
	w.telling = nil
	switch {
	case t.err != nil:
		s.log.Warn("plugin could not be reconfigured; it is replaced by a new process", "pid", w.gen.proc.pid(),
			"error", t.err)
		w.begin(ctx, t.change, false)
	case t.faults != "":
		f := fault.New(fault.InvalidArgument, fmt.Sprintf("%s refuses it: %s", w.gen.exe.path, t.faults)).
			WithHint("correct config.toml")
		s.log.Error("plugin refuses its new configuration; the former one stays in effect", "error", t.faults)
		t.change.tell("", notChanged(s.name, permanent{f}))
	default:
		s.log.Info("plugin reconfigured without a restart", "pid", w.gen.proc.pid())
		w.take(t.change, Configured)
	}
}
