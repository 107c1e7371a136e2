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

// ChangeKind is what another table of a plugin takes.
type ChangeKind string

// What it takes, least first.
const (
	Same       ChangeKind = "same"       // it says what the former one says
	Noted      ChangeKind = "noted"      // the host alone goes by what has changed
	Configured ChangeKind = "configured" // the process is told
	Replaced   ChangeKind = "replaced"   // another process takes the place of the present one
)

// Compare says what it takes to go from one table to another.
func Compare(from, to Spec) ChangeKind {
	switch {
	case !reflect.DeepEqual(ofProcess(from), ofProcess(to)):
		return Replaced
	case !bytes.Equal(from.Config, to.Config), !slices.Equal(slices.Sorted(slices.Values(from.Grants)), slices.Sorted(slices.Values(to.Grants))):
		return Configured
	case from.StartTimeout != to.StartTimeout, from.CallTimeout != to.CallTimeout, from.MemoryMax != to.MemoryMax,
		!slices.Equal(from.Uses, to.Uses):
		return Noted
	default:
		return Same
	}
}

// ofProcess is what a process cannot be told once it runs.
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

// Check finds a plugin's file as a start would, and checks it; nothing is started.
func Check(ctx context.Context, s Spec, pluginDir string) error {
	exe, err := resolve(ctx, s, pluginDir)
	if err != nil {
		return err
	}
	return exe.file.Close()
}

// uses reports whether what serves as a kind is asked for it.
func (s Spec) uses(kind plugin.Kind) bool { return len(s.Uses) == 0 || slices.Contains(s.Uses, kind) }

// change is another table on its way to the goroutine of run.
type change struct {
	spec *Spec
	done chan struct{}
	how  ChangeKind // this and the next, once done is closed
	err  error
}

// tell says how it went; nobody need have asked.
func (c *change) tell(how ChangeKind, err error) {
	if c != nil {
		c.how, c.err = how, err
		close(c.done)
	}
}

// notChanged says what did not happen before it says why.
func notChanged(name string, err error) error {
	return notRestarted(fmt.Sprintf("cannot change plugin %q, its former table stays in force", name), err)
}

// Change puts another table in the place of a plugin's: the host goes by it, the process is told by another Configure, or another process
// is started by it, tried, and takes the place of the present one, as in Restart. It waits until one of these has happened, or has failed:
// then everything is as it was, and the error says why. ctx ends only the wait. A plugin that is down is started by the new table, and is
// tried again by the former one when that fails. Errors: fault.NotFound, and those of Restart.
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
			changes = nil // heeded once; now wait for the outcome
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

// change heeds another table for the process that is watched.
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

// tell begins to tell the process of another table, beside the watch.
func (w *watch) tell(ctx context.Context, c *change) {
	t := &telling{change: c, done: make(chan struct{})}
	s, gen := w.s, w.gen
	w.telling = t
	go func() { // bounded by start_timeout; whoever watches waits for its end
		defer close(t.done)
		ctx, cancel := context.WithTimeout(ctx, c.spec.StartTimeout)
		defer cancel()
		t.faults, t.err = s.configure(ctx, gen, c.spec)
	}()
}

// told ends it. What the process refuses leaves it as it was; where it is not known what it goes by now, another process will go by the
// new table, or, when that fails, by the former one.
func (w *watch) told(ctx context.Context) {
	t, s := w.telling, w.s
	w.telling = nil
	switch {
	case t.err != nil:
		s.log.Warn("plugin could not be told of its other table; another process is", "pid", w.gen.proc.pid(), "error", t.err)
		w.begin(ctx, t.change, false)
	case t.faults != "":
		f := fault.New(fault.InvalidArgument, fmt.Sprintf("%s refuses it: %s", w.gen.exe.path, t.faults)).WithHint("correct config.toml")
		s.log.Error("plugin refuses its other table; the former one stays in force", "error", t.faults)
		t.change.tell("", notChanged(s.name, permanent{f}))
	default:
		s.log.Info("plugin goes by another table", "pid", w.gen.proc.pid())
		w.take(t.change, Configured)
	}
}
