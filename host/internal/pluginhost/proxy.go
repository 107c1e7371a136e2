package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/unloader"
)

// method is one row of the contract's table (base.proto): its deadline and whether it may be asked again after the plugin died.
type method struct {
	name       string
	deadline   time.Duration // 0: the caller's own
	idempotent bool
	leaving    leaving
}

// leaving is what happens to a call on a process that is being replaced.
type leaving int

const (
	asksAgain leaving = iota // it has Timing.Drain to end, then the next process is asked
	finishes                 // it changes something: it may end where it began, within its own deadline
	breaks                   // a stream, which the next process goes on with
)

var (
	launch        = method{"Launcher.Launch", 60 * time.Second, false, finishes} // idempotent by launch_id, but the engine asks Recover first
	list          = method{"Launcher.List", 10 * time.Second, true, asksAgain}
	recoverLaunch = method{"Launcher.Recover", 10 * time.Second, true, asksAgain}
	inspectLaunch = method{"Launcher.Inspect", 10 * time.Second, true, asksAgain}
	signal        = method{"Launcher.Signal", 10 * time.Second, false, finishes}
	stop          = method{"Launcher.Stop", 30 * time.Second, true, finishes} // added to the grace
	release       = method{"Launcher.Release", 10 * time.Second, true, finishes}
	execute       = method{"Launcher.Exec", 15 * time.Second, false, finishes} // added to the timeout
	inspectUnits  = method{"Unloader.Inspect", 15 * time.Second, true, asksAgain}
	unload        = method{"Unloader.Unload", 30 * time.Second, true, finishes}
	restore       = method{"Unloader.Restore", 30 * time.Second, true, finishes}
	diagnose      = method{"Doctor.Diagnose", 30 * time.Second, true, asksAgain}
	plan          = method{"Doctor.Plan", 30 * time.Second, true, asksAgain}
	verify        = method{"Doctor.Verify", 30 * time.Second, true, asksAgain}
	repair        = method{"Doctor.Repair", 0, false, finishes}
	output        = method{"Launcher.Output", 0, false, breaks} // reopened at its cursor, see launcherProxy.Output
	classify      = method{"Classifier.Classify", 2 * time.Second, false, breaks}
)

// since is the version of its service in which a method came; it is not called in an older one.
func (m method) since() uint32 {
	if m.name == verify.name {
		return pluginkit.ExperimentalDoctorVersion
	}
	return pluginkit.ServiceVersion
}

// Launcher is a proxy of the named plugin that survives its death. A plugin that is not configured gives a proxy whose calls
// say so.
func (h *Host) Launcher(name string) launcher.Launcher {
	return launcherProxy{h.proxy(name, plugin.KindLauncher)}
}

// Unloader is a proxy of the named plugin; see Launcher.
func (h *Host) Unloader(name string) unloader.Unloader {
	return unloaderProxy{h.proxy(name, plugin.KindUnloader)}
}

// Doctor is a proxy of the named plugin; see Launcher. Its Verify fails with fault.Unsupported on a plugin that is talked to in version 1.
func (h *Host) Doctor(name string) doctor.Verifier {
	return doctorProxy{h.proxy(name, plugin.KindDoctor)}
}

// Classifier is a proxy of the named plugin; see Launcher.
func (h *Host) Classifier(name string) classifier.Classifier {
	return classifierProxy{h.proxy(name, plugin.KindClassifier)}
}

type proxy struct {
	h    *Host
	name string
	kind plugin.Kind
	s    *supervisor // set by now; nil: not configured
}

func (h *Host) proxy(name string, kind plugin.Kind) proxy { return proxy{h: h, name: name, kind: kind} }

// now is the proxy of the plugin that has the name at present: tables come and go while the host runs.
func (p proxy) now() proxy {
	p.s = p.h.find(p.name)
	return p
}

// generation is a process that serves the proxy's kind. It is not ended in order to be replaced before the call is given back with
// slot.done, so no call is made to a process that is leaving.
func (p proxy) generation(ctx context.Context) (*generation, error) {
	if p.s == nil {
		return nil, fault.New(fault.PluginDown, fmt.Sprintf("there is no plugin %q", p.name)).
			WithHint("add [plugins." + p.name + "] to config.toml")
	}
	g, err := p.s.slot.get(ctx)
	if err != nil {
		return nil, err
	}
	if svc, announced := g.service(p.kind); announced && svc.Err != nil {
		p.s.slot.done(g)
		return nil, fault.New(fault.Unsupported, fmt.Sprintf("plugin %q (%s) cannot serve as %s: %s", p.name, g.exe.path, p.kind, svc.Err)).
			WithHint(fault.HintOf(svc.Err))
	}
	if !g.serves(p.kind) {
		p.s.slot.done(g)
		return nil, fault.New(fault.Unsupported, fmt.Sprintf("plugin %q (%s) does not serve as %s", p.name, g.exe.path, p.kind)).
			WithHint("name another plugin there; `gatehost plugin list` shows what each serves")
	}
	return g, nil
}

// link is a connection to a service and the version in which to talk on it.
type link struct {
	grpc.ClientConnInterface

	version uint32
}

// call makes one call on the present process. It ends when the process does, with PluginGone; an idempotent call is then asked
// once more on the next one.
func call[T any](ctx context.Context, p proxy, m method, extra time.Duration, f func(context.Context, link) (T, error)) (T, error) {
	var none T
	p = p.now()
	for try := 1; ; try++ {
		g, err := p.generation(ctx)
		if err != nil {
			return none, err
		}
		if version := g.version(p.kind); version < m.since() {
			p.s.slot.done(g)
			return none, fault.New(fault.Unsupported, fmt.Sprintf("plugin %q is talked to in version %d, which has no %s", p.name, version, m.name))
		}
		if m.leaving == breaks {
			p.s.slot.done(g) // nobody waits for a stream
		}
		began := time.Now()
		got, err := once(ctx, p, g, m, extra, f)
		p.s.opts.OnCall(Call{Plugin: p.name, Method: m.name, Took: time.Since(began), Stream: m.leaving == breaks, Err: err})
		if m.leaving != breaks {
			p.s.slot.done(g)
		}
		if err == nil || !errors.Is(err, fault.ErrPluginGone) || !m.idempotent || try == 2 || ctx.Err() != nil {
			return got, p.boundary(m, err)
		}
		p.s.slot.awaitLeave(ctx, g)
	}
}

func once[T any](ctx context.Context, p proxy, g *generation, m method, extra time.Duration, f func(context.Context, link) (T, error)) (T, error) {
	callCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := p.limit(m) + extra
	if m.deadline > 0 {
		var done context.CancelFunc
		callCtx, done = context.WithTimeout(callCtx, limit)
		defer done()
	}
	finished := make(chan struct{})
	defer close(finished)
	go func() { // a call never outlives the process that it was made to
		if cause := p.cut(callCtx, g, m, finished); cause != nil {
			cancel(cause)
		}
	}()
	got, err := f(callCtx, link{g.conn, g.version(p.kind)})
	if err == nil {
		return got, nil
	}
	switch {
	case ctx.Err() != nil:
		return got, context.Cause(ctx)
	case errors.Is(context.Cause(callCtx), errMoved):
		return got, moved(p, m)
	case errors.Is(context.Cause(callCtx), fault.ErrPluginGone), g.closedUnder(err):
		return got, gone(p, m)
	case errors.Is(err, fault.ErrPluginGone):
		poke(p.s.suspect)
		return got, gone(p, m)
	case due(callCtx) && errors.Is(err, context.DeadlineExceeded): // ours, not one that the plugin tells of
		poke(p.s.suspect) // no answer: ask whether anybody is there
		return got, fault.Wrap(fault.DeadlineExceeded, fmt.Sprintf("plugin %q did not answer %s in %v", p.name, m.name, limit), context.DeadlineExceeded)
	default:
		return got, err
	}
}

// cut waits for a reason to end a call before it ends by itself.
func (p proxy) cut(ctx context.Context, g *generation, m method, finished <-chan struct{}) error {
	select {
	case <-g.proc.done:
		return fault.ErrPluginGone
	case <-g.gone:
		return fault.ErrPluginGone
	case <-finished:
		return nil
	case <-g.moved:
	}
	var late <-chan time.Time // never: it ends by its own deadline
	_, bounded := ctx.Deadline()
	switch {
	case m.leaving == breaks:
		return errMoved
	case m.leaving == asksAgain:
		late = time.After(p.s.opts.Timing.Drain)
	case !bounded:
		late = time.After(p.s.opts.Timing.DrainLong)
	}
	select {
	case <-g.proc.done:
		return fault.ErrPluginGone
	case <-g.gone:
		return fault.ErrPluginGone
	case <-finished:
		return nil
	case <-late:
		return errMoved
	}
}

// due reports whether ctx's deadline has passed, or is just passing: gRPC tells the plugin the deadline, too, and its answer that the
// time is up may come a moment before our own timer says so.
func due(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < 100*time.Millisecond
}

// closedUnder reports whether err only says that the connection was closed because the process is being replaced: gRPC calls
// that "cancelled", though nobody cancelled the call.
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

// limit is the contract's deadline, or the operator's in its place. What the contract adds to a grace or a timeout of the call's own
// is never shortened: it is the time to kill, to sweep and to tell, and a call that is cut before knows nothing of how it ended.
func (p proxy) limit(m method) time.Duration {
	operators := p.s.spec().CallTimeout
	switch {
	case m.deadline == 0 || operators <= 0:
		return m.deadline
	case m.name == stop.name || m.name == execute.name:
		return max(m.deadline, operators)
	default:
		return operators
	}
}

func gone(p proxy, m method) error {
	f := fault.New(fault.PluginGone, fmt.Sprintf("plugin %q ended during %s", p.name, m.name))
	f.Retryable = true
	return f
}

// errMoved ends what a process that was replaced has not ended in time.
var errMoved = errors.New("another process took its place")

func moved(p proxy, m method) error {
	f := fault.Wrap(fault.PluginGone, fmt.Sprintf("plugin %q was replaced during %s", p.name, m.name), errMoved)
	f.Retryable = true
	return f
}

func isGone(err error) bool { return errors.Is(err, fault.ErrPluginGone) }
