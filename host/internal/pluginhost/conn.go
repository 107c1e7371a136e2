package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/unloader"
)

// Launcher returns a client of the named plugin that survives the end of its process. The calls of a client of a plugin
// that is not configured fail and say so.
func (h *Host) Launcher(name string) launcher.Launcher { return launcher.NewClient(conn{h, name}) }

// Unloader returns a client of the named plugin; see Launcher.
func (h *Host) Unloader(name string) unloader.Unloader { return unloader.NewClient(conn{h, name}) }

// Doctor returns a client of the named plugin; see Launcher. Its Verify fails with fault.Unsupported on a plugin that
// does not announce it.
func (h *Host) Doctor(name string) doctor.Verifier { return doctor.NewClient(conn{h, name}) }

// Classifier returns a client of the named plugin; see Launcher. Its streams break when the process ends or is
// replaced; the pipeline then opens another stream, with the lines that had no verdict (classifier.proto).
func (h *Host) Classifier(name string) classifier.Classifier {
	return classifier.NewClient(conn{h, name})
}

// conn is a connection to the plugin that has a name, over all of its processes: it makes each call to the current one.
// It applies what the contract says of each method (methods), so clients need not know of deadlines, retries and
// restarts.
type conn struct {
	h    *Host
	name string
}

var _ grpc.ClientConnInterface = conn{}

// call is a call before a process is chosen for it.
type call struct {
	conn
	method

	s    *supervisor
	opts []grpc.CallOption
	path string
}

// call finds the plugin that has the name now: plugins are added and removed while the host runs.
func (c conn) call(path string, opts []grpc.CallOption) (*call, error) {
	m, known := methods[nameOf(path)]
	if !known {
		return nil, fault.New(fault.Internal, "bug: the table of methods has no row for "+path)
	}
	s := c.h.find(c.name)
	if s == nil {
		return nil, fault.New(fault.PluginDown, fmt.Sprintf("there is no plugin %q", c.name)).
			WithHint("add [plugins." + c.name + "] to config.toml")
	}
	return &call{conn: c, method: m, s: s, path: path, opts: opts}, nil
}

// Invoke makes a call with one answer to the current process. The call fails with fault.PluginGone when that process
// ends; an idempotent call is then repeated once, on the next process.
func (c conn) Invoke(ctx context.Context, path string, req, reply any, opts ...grpc.CallOption) error {
	k, err := c.call(path, opts)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		g, err := k.generation(ctx)
		if err != nil {
			return err
		}
		a := k.begin(ctx, g, req)
		err = a.explain(g.conn.Invoke(a.ctx, path, req, reply, opts...)) //nolint:contextcheck // it derives from ctx
		a.release()
		if err == nil && fault.Hear(opts, a.report) { // the client may find that the answer violates the contract
			return nil
		}
		a.report(err)
		if !isGone(err) || !k.idempotent || try == 2 || ctx.Err() != nil {
			return k.s.refusedCall(k.method, err)
		}
		k.s.current.awaitLeave(ctx, g)
	}
}

// generation returns a process that serves the method. The process is not ended for a replacement before it is given
// back with current.done, so no call is made to a process that is leaving.
func (k *call) generation(ctx context.Context) (*generation, error) {
	g, err := k.s.current.get(ctx)
	if err != nil {
		return nil, err
	}
	if err := k.unusable(g); err != nil {
		k.s.current.done(g)
		return nil, err
	}
	return g, nil
}

// unusable says why a process does not serve the method; nil when it does.
func (k *call) unusable(g *generation) error {
	svc, announced := g.service(k.kind)
	switch {
	case announced && svc.Err != nil:
		return fault.New(fault.Unsupported, fmt.Sprintf("plugin %q (%s) cannot serve as %s: %s",
			k.conn.name, g.exe.path, k.kind, svc.Err)).WithHint(fault.HintOf(svc.Err))
	case !g.serves(k.kind):
		return fault.New(fault.Unsupported, fmt.Sprintf("plugin %q (%s) does not serve as %s",
			k.conn.name, g.exe.path, k.kind)).
			WithHint("name another plugin there; `gatehost plugin list` shows what each serves")
	case k.capability != "" && !slices.Contains(svc.Capabilities, k.capability):
		return fault.New(fault.Unsupported, fmt.Sprintf("plugin %q does not announce the capability %q, which %s needs",
			k.conn.name, k.capability, k.method.name))
	}
	return nil
}

// attempt is a call on one process.
type attempt struct {
	*call

	g      *generation
	caller context.Context         //nolint:containedctx // one call's
	ctx    context.Context         //nolint:containedctx // the caller's, cut by the process's end and the deadline
	cancel context.CancelCauseFunc // of ctx
	stop   context.CancelFunc      // of its deadline
	limit  time.Duration           // of the whole call, or of one exchange of a stream in both directions; 0: none
	began  time.Time
	once   struct{ release, report sync.Once }
}

// begin prepares a call on a process from generation. The process is given back with release.
func (k *call) begin(ctx context.Context, g *generation, req any) *attempt {
	a := &attempt{call: k, g: g, caller: ctx, stop: func() {}, limit: k.limit(), began: time.Now()}
	if k.extra != nil {
		a.limit += k.extra(req)
	}
	if k.deadline > 0 && k.onReplace != reopen {
		ctx, a.stop = context.WithTimeout(ctx, a.limit)
	}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	if k.onReplace == reopen {
		k.s.current.done(g) // streams are broken off, not drained
	}
	go func() { // a call never outlives the process that it was made to
		if cause := a.cut(); cause != nil {
			a.cancel(cause)
		}
	}()
	return a
}

// release ends what the call still has under way and gives its process back.
func (a *attempt) release() {
	a.once.release.Do(func() {
		a.cancel(nil)
		a.stop()
		if a.onReplace != reopen {
			a.s.current.done(a.g)
		}
	})
}

// report tells the host how the call ended.
func (a *attempt) report(err error) {
	a.once.report.Do(func() { a.tell(a.began, err) })
}

func (a *attempt) tell(began time.Time, err error) {
	a.s.opts.OnCall(Call{
		Plugin: a.conn.name, Method: a.method.name, Took: time.Since(began), Stream: a.resume != nil, Err: err,
	})
}

// explain says why a call failed: the caller gave up, the process ended, was replaced or did not answer; otherwise the
// error is the plugin's own.
func (a *attempt) explain(err error) error {
	if err == nil {
		return nil
	}
	err = fault.FromStatus(err)
	cause := context.Cause(a.ctx)
	switch {
	case errors.Is(context.Cause(a.caller), context.DeadlineExceeded):
		return a.late(time.Since(a.began))
	case a.caller.Err() != nil:
		return context.Cause(a.caller)
	case errors.Is(cause, errMoved):
		return a.moved()
	case errors.Is(cause, fault.ErrPluginGone), a.g.closedUnder(err):
		return a.gone()
	case errors.Is(cause, errSilent), isGone(err):
		notify(a.s.suspect)
		return a.gone()
	// our deadline, not one that the plugin reports
	case errors.Is(cause, errLate), due(a.ctx) && errors.Is(err, context.DeadlineExceeded):
		notify(a.s.suspect) // no answer: check whether the process is alive
		return a.late(a.limit)
	default:
		return err
	}
}

// late says that no answer came within a time.
func (a *attempt) late(limit time.Duration) error {
	return fault.New(fault.DeadlineExceeded, fmt.Sprintf("plugin %q did not answer %s in %v", a.conn.name, a.method.name,
		limit.Round(100*time.Millisecond))).
		WithHint("try again; the host's log has what the plugin said, and `gatehost plugin restart " + a.conn.name +
			"` starts it anew")
}

// Causes by which a call is ended before it ends by itself, besides fault.ErrPluginGone.
var (
	errMoved  = errors.New("another process took its place")
	errSilent = errors.New("no heartbeat came")
	errLate   = errors.New("the deadline has passed")
)

// cut waits for a reason to end a call early.
func (a *attempt) cut() error {
	select {
	case <-a.g.proc.done:
		return fault.ErrPluginGone
	case <-a.g.gone:
		return fault.ErrPluginGone
	case <-a.ctx.Done():
		return nil
	case <-a.g.moved:
	}
	var late <-chan time.Time // never: the call ends by its own deadline
	_, bounded := a.ctx.Deadline()
	switch {
	case a.onReplace == reopen:
		return errMoved
	case a.onReplace == retry:
		late = time.After(a.s.opts.Timing.Drain)
	case !bounded:
		late = time.After(a.s.opts.Timing.DrainLong)
	}
	select {
	case <-a.g.proc.done:
		return fault.ErrPluginGone
	case <-a.g.gone:
		return fault.ErrPluginGone
	case <-a.ctx.Done():
		return nil
	case <-late:
		return errMoved
	}
}

// due reports whether ctx's deadline has passed, or is about to: gRPC tells the plugin the deadline, too, and the
// plugin's answer that the time is up may come a moment before our own timer fires.
func due(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < 100*time.Millisecond
}

// closedUnder reports whether err means only that the connection was closed because the process ends: gRPC calls that
// "cancelled", although the caller did not cancel.
func (g *generation) closedUnder(err error) bool {
	if !errors.Is(err, fault.ErrCancelled) {
		return false
	}
	select {
	case <-g.gone:
		return true
	case <-g.proc.done:
		return true
	default:
		return false
	}
}

// limit returns the operator's deadline, or else the contract's. What the contract adds to a grace or a timeout of the
// request is never shortened: the plugin needs that time to kill, to sweep and to answer, and a call that ends earlier
// does not learn how it ended.
func (k *call) limit() time.Duration {
	operators := k.s.spec().CallTimeout
	switch {
	case k.deadline == 0 || operators <= 0:
		return k.deadline
	case k.extra != nil:
		return max(k.deadline, operators)
	default:
		return operators
	}
}

func (k *call) gone() error {
	f := fault.New(fault.PluginGone, fmt.Sprintf("plugin %q ended during %s", k.conn.name, k.method.name))
	f.Retryable = true
	return f
}

func (k *call) moved() error {
	f := fault.Wrap(fault.PluginGone, fmt.Sprintf("plugin %q was replaced during %s", k.conn.name, k.method.name),
		errMoved)
	f.Retryable = true
	return f
}

func isGone(err error) bool { return errors.Is(err, fault.ErrPluginGone) }
