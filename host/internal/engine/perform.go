package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/lifecycle/mutant"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
)

// Outer deadlines of effects. The plugin proxies have their own, shorter ones (the table in base.proto); these only keep a
// port that forgets its duty from hanging the machine.
const (
	shortDeadline    = 30 * time.Second
	servicesDeadline = 2 * time.Minute
	launchDeadline   = 90 * time.Second
	killMargin       = time.Minute     // added to the grace of a stop
	shutdownLimit    = 5 * time.Second // for the answer of a gateway that is asked to end itself (B211)
	sessionDeadline  = 45 * time.Second
	diagnoseDeadline = 5 * time.Minute
	repairDeadline   = 15 * time.Minute
	hooksDeadline    = 2 * time.Hour   // each hook has its own
	drainDeadline    = 6 * time.Minute // OpenClaw's own drain takes up to 325 s (docs/openclaw.md §4)
)

// perform starts one effect. Operations run beside the loop and answer by an input.
func (e *Engine) perform(ctx context.Context, eff lifecycle.Effect) {
	switch eff := eff.(type) {
	case lifecycle.Recover:
		read := maps.Clone(e.read) // the owner's, and this runs beside it
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Input { return e.recoverOwn(ctx, read) })
	case lifecycle.ClearServices:
		e.run(ctx, eff.Op, servicesDeadline, eff, func(ctx context.Context) lifecycle.Input {
			err := e.ports.Services.Clear(ctx)
			return lifecycle.ServicesCleared{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.ProbePort:
		e.run(ctx, eff.Op, shortDeadline, eff, e.probePort)
	case lifecycle.RunHooks:
		e.run(ctx, eff.Op, hooksDeadline, eff, func(ctx context.Context) lifecycle.Input {
			err := e.ports.Hooks.Run(ctx)
			return lifecycle.HooksDone{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.Reload:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Input {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Manners.Reload(ctx, s, eff.Launch)
			}
			return lifecycle.Reloaded{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.Drain:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, drainDeadline, eff, func(ctx context.Context) lifecycle.Input {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Manners.Drain(ctx, s)
			}
			return lifecycle.Drained{Problem: ProblemOf(err)}
		})
	case lifecycle.Shutdown:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, shutdownLimit, eff, func(ctx context.Context) lifecycle.Input {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Manners.Shutdown(ctx, s)
			}
			return lifecycle.ShutdownAsked{Result: min(resultOf(err), lifecycle.Failed), Problem: ProblemOf(err)}
		})
	case lifecycle.PrepareLaunch:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Input {
			id, err := e.ports.Launches.Prepare(ctx)
			return lifecycle.LaunchPrepared{Result: min(resultOf(err), lifecycle.Failed), Launch: id, Problem: ProblemOf(err)}
		})
	case lifecycle.Launch:
		e.run(ctx, eff.Op, launchDeadline, eff, func(ctx context.Context) lifecycle.Input { return e.launch(ctx, eff) })
	case lifecycle.Inspect:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Input { return e.inspect(ctx, eff) })
	case lifecycle.ProbeReady:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Input {
			return lifecycle.ReadyProbed{Readiness: e.ports.Probe.Ready(ctx, eff.Port)}
		})
	case lifecycle.OpenSession:
		e.openSession(ctx, eff)
	case lifecycle.VerifySession:
		e.verifySession(ctx, eff)
	case lifecycle.Terminate:
		e.run(ctx, eff.Op, eff.Grace+killMargin, eff, func(ctx context.Context) lifecycle.Input { return e.terminate(ctx, eff) })
	case lifecycle.Diagnose:
		e.diagnose(ctx, eff)
	case lifecycle.Repair:
		e.run(ctx, eff.Op, repairDeadline, eff, func(ctx context.Context) lifecycle.Input {
			err := e.ports.Medic.Repair(ctx)
			return lifecycle.Repaired{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.SetTimer:
		e.setTimer(ctx, eff)
	case lifecycle.Cancel:
		if cancel, ok := e.ops[eff.Op]; ok { // its answer, if it has one, still comes
			cancel()
			delete(e.ops, eff.Op)
		}
	case lifecycle.Watch:
		e.watch(ctx, eff)
	case lifecycle.Unwatch:
		e.unwatch(eff)
	case lifecycle.CloseSession:
		e.closeSession(eff.Session)
	case lifecycle.Release:
		e.release(ctx, mutant.Or(mutant.NotReleased, "", eff.Launch))
	case lifecycle.Reply: // see step: answered after everything else
	case lifecycle.Ignored:
		e.log.Debug("input ignored", "reason", eff.Reason)
	default:
		panic(fmt.Sprintf("engine: unhandled effect %T", eff)) // programmer error
	}
}

// settle forgets an operation that has answered, and with Recovered the launches of which there is no trace any more.
func (e *Engine) settle(in lifecycle.Input) {
	if r, ok := in.(lifecycle.Recovered); ok && r.Result == lifecycle.OK {
		maps.DeleteFunc(e.read, func(id lifecycle.LaunchID, _ bool) bool {
			return e.watches[id] == nil && !slices.ContainsFunc(r.Instances, func(i lifecycle.Instance) bool { return i.Launch == id })
		})
	}
	op, ok := opOf(in)
	if !ok {
		return
	}
	if cancel, open := e.ops[op]; open {
		cancel()
		delete(e.ops, op)
	}
}

// run performs an operation beside the loop. It answers exactly once, also when the port panics.
func (e *Engine) run(ctx context.Context, op lifecycle.OpID, limit time.Duration, eff lifecycle.Effect, f func(context.Context) lifecycle.Input) {
	opCtx, cancel := context.WithTimeout(ctx, mutant.Or(mutant.NoDeadline, 1<<62, limit))
	e.ops[op] = cancel
	e.tasks.Go(func() {
		defer cancel()
		in := e.guarded(opCtx, eff, f)
		for range mutant.Or(mutant.AnsweredTwice, 2, 1) {
			e.send(ctx, withOp(in, op))
		}
	})
}

func (e *Engine) guarded(ctx context.Context, eff lifecycle.Effect, f func(context.Context) lifecycle.Input) (in lifecycle.Input) {
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("bug: an effect panicked", "effect", fmt.Sprintf("%T", eff), "panic", r)
			in = failed(eff, lifecycle.Problem{Code: "internal", Message: fmt.Sprintf("bug in the host: %T panicked: %v", eff, r)})
		}
	}()
	return f(ctx)
}

// failed is the answer of an effect whose performer broke.
func failed(eff lifecycle.Effect, p lifecycle.Problem) lifecycle.Input {
	switch eff := eff.(type) {
	case lifecycle.Recover:
		return lifecycle.Recovered{Result: lifecycle.Failed, Problem: p}
	case lifecycle.ClearServices:
		return lifecycle.ServicesCleared{Result: lifecycle.Failed, Problem: p}
	case lifecycle.ProbePort:
		return lifecycle.PortProbed{Holder: lifecycle.HolderStranger, Problem: p}
	case lifecycle.RunHooks:
		return lifecycle.HooksDone{Result: lifecycle.Failed, Problem: p}
	case lifecycle.Reload:
		return lifecycle.Reloaded{Result: lifecycle.Unknown, Problem: p}
	case lifecycle.Drain:
		return lifecycle.Drained{Problem: p}
	case lifecycle.Shutdown:
		return lifecycle.ShutdownAsked{Result: lifecycle.Failed, Problem: p}
	case lifecycle.PrepareLaunch:
		return lifecycle.LaunchPrepared{Result: lifecycle.Failed, Problem: p}
	case lifecycle.Launch:
		return lifecycle.Launched{Result: lifecycle.Unknown, Problem: p}
	case lifecycle.Inspect:
		return lifecycle.Inspected{Result: lifecycle.Failed, Problem: p}
	case lifecycle.ProbeReady:
		return lifecycle.ReadyProbed{Readiness: lifecycle.ReadinessClosed}
	case lifecycle.VerifySession:
		return lifecycle.Verified{Session: eff.Session}
	case lifecycle.Terminate:
		return lifecycle.Terminated{Result: lifecycle.Unknown, Launch: eff.Launch, Problem: p}
	case lifecycle.Diagnose:
		return lifecycle.Diagnosed{}
	case lifecycle.Repair:
		return lifecycle.Repaired{Result: lifecycle.Unknown, Problem: p}
	case lifecycle.OpenSession, lifecycle.SetTimer, lifecycle.Cancel, lifecycle.Watch, lifecycle.Unwatch, lifecycle.CloseSession,
		lifecycle.Release, lifecycle.Reply, lifecycle.Ignored: // not performed by run
		panic(fmt.Sprintf("engine: %T is no operation of run", eff)) // programmer error
	default:
		panic(fmt.Sprintf("engine: unhandled effect %T", eff)) // programmer error
	}
}

func (e *Engine) setTimer(ctx context.Context, eff lifecycle.SetTimer) {
	timerCtx, cancel := context.WithCancel(ctx)
	e.ops[eff.Op] = cancel
	e.tasks.Go(func() {
		defer cancel()
		timer := time.NewTimer(eff.After)
		defer timer.Stop()
		select {
		case <-timer.C:
			e.send(timerCtx, lifecycle.TimerFired{Op: eff.Op})
		case <-timerCtx.Done():
		}
	})
}

func (e *Engine) probePort(ctx context.Context) lifecycle.Input {
	holder, problem, err := e.ports.Probe.Holder(ctx)
	if err != nil { // not knowing is no reason to fight: the gateway itself will say that the port is taken
		e.log.Warn("cannot find out who holds the port", "error", err)
		return lifecycle.PortProbed{Holder: lifecycle.HolderNobody}
	}
	return lifecycle.PortProbed{Holder: holder, Problem: problem}
}

// recoverOwn finds the launches of this gateway. What one of them wrote last, and no host has read, is read now: it is forgotten next.
func (e *Engine) recoverOwn(ctx context.Context, read map[lifecycle.LaunchID]bool) lifecycle.Input {
	listing, err := e.ports.Launcher.List(ctx, e.name)
	if err != nil {
		return lifecycle.Recovered{Result: lifecycle.Failed, Problem: ProblemOf(err)}
	}
	for _, b := range listing.Broken {
		e.log.Warn("found a launch that cannot be read and left it alone", "path", b.Path, "reason", b.Reason)
	}
	r := lifecycle.Recovered{Result: lifecycle.OK}
	for _, inst := range listing.Instances {
		if inst.Gateway != e.name && !mutant.On(mutant.StrangerTaken) {
			continue
		}
		if inst.Live() {
			got, err := e.ports.Launcher.Recover(ctx, inst.LaunchID)
			if err == nil {
				inst = got
			} else if !errors.Is(err, fault.ErrNotFound) {
				return lifecycle.Recovered{Result: lifecycle.Failed, Problem: ProblemOf(err)}
			}
		}
		if (inst.Phase == launcher.PhaseEnded || inst.Phase == launcher.PhaseUnwatched) && !read[lifecycle.LaunchID(inst.LaunchID)] {
			e.rest(ctx, inst.LaunchID)
		}
		found := instanceOf(inst)
		if found.Live {
			found.Drift, found.Process.Port = e.ports.Launches.Drift(inst)
		}
		r.Instances = append(r.Instances, found)
	}
	return r
}

func (e *Engine) launch(ctx context.Context, eff lifecycle.Launch) lifecycle.Input {
	req, err := e.ports.Launches.Request(ctx, eff.Launch)
	if err != nil {
		p := ProblemOf(err)
		p.Fatal = true // nothing but another configuration helps
		return lifecycle.Launched{Result: lifecycle.Failed, Problem: p}
	}
	got, err := e.ports.Launcher.Launch(ctx, req)
	if err != nil {
		p := ProblemOf(err)
		switch fault.CodeOf(err) {
		case fault.NotFound, fault.PermissionDenied, fault.InvalidArgument, fault.Unsupported:
			p.Fatal = true
		default:
		}
		return lifecycle.Launched{Result: resultOf(err), Problem: p}
	}
	return lifecycle.Launched{Result: lifecycle.OK, Instance: instanceOf(got.Instance)}
}

func (e *Engine) inspect(ctx context.Context, eff lifecycle.Inspect) lifecycle.Input {
	inst, err := e.ports.Launcher.Recover(ctx, string(eff.Launch))
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return lifecycle.Inspected{Result: lifecycle.OK}
	case err != nil:
		return lifecycle.Inspected{Result: lifecycle.Failed, Problem: ProblemOf(err)}
	default:
		return lifecycle.Inspected{
			Result: lifecycle.OK, Found: inst.Phase != launcher.PhaseFailed, Instance: instanceOf(inst),
		}
	}
}

func (e *Engine) terminate(ctx context.Context, eff lifecycle.Terminate) lifecycle.Input {
	got, err := e.ports.Launcher.Stop(ctx, string(eff.Launch), eff.Grace)
	if errors.Is(err, fault.ErrNotFound) || mutant.On(mutant.DownIsNotFound) && errors.Is(err, fault.ErrPluginDown) { // no trace: nothing of it can be alive
		return lifecycle.Terminated{Result: lifecycle.OK, Launch: eff.Launch}
	}
	return lifecycle.Terminated{
		Result: resultOf(err), Launch: eff.Launch, Exit: exitOf(got.Exit), Problem: ProblemOf(err),
	}
}

func (e *Engine) diagnose(ctx context.Context, eff lifecycle.Diagnose) {
	incident := Incident{Exit: eff.Exit, Problem: eff.Problem, Attempt: eff.Attempt, Repaired: eff.Repaired}
	if w := e.last; w != nil && w.launch == eff.Launch {
		if out := w.out(); out != nil {
			incident.Lines, incident.Symptoms = out.Tail(120), out.Symptoms()
		}
	}
	e.run(ctx, eff.Op, diagnoseDeadline, eff, func(ctx context.Context) lifecycle.Input {
		d := e.ports.Medic.Diagnose(ctx, incident)
		return lifecycle.Diagnosed{
			Found: d.Found, Problem: d.Problem, Repairable: d.Repairable, OtherOwner: d.OtherOwner,
		}
	})
}

// release forgets an ended launch. It may fail: the launch is then found and released by the next start.
func (e *Engine) release(ctx context.Context, id lifecycle.LaunchID) {
	watched := make(chan struct{})
	close(watched)
	if w := e.last; w != nil && w.launch == id {
		watched = w.closed // its output may still be writing where the launch is kept
	}
	e.tasks.Go(func() {
		// Detached: the last effect of a stop is not cut by the end of the engine, which waits for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shortDeadline)
		defer cancel()
		select {
		case <-watched:
		case <-ctx.Done():
		}
		if err := e.ports.Launcher.Release(ctx, string(id)); err != nil {
			e.log.Warn("cannot release an ended launch", "launch", string(id), "error", err)
			return
		}
		e.ports.Launches.Discard(id)
	})
}
