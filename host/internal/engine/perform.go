package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Outer deadlines of effects. The plugin proxies have their own, shorter ones (the table in base.proto). These only
// keep a port that does not honour its context from blocking the machine.
const (
	shortDeadline    = 30 * time.Second
	servicesDeadline = 2 * time.Minute
	launchDeadline   = 90 * time.Second
	killMargin       = time.Minute     // added to the grace of a stop
	shutdownLimit    = 5 * time.Second // for the answer of a gateway that is asked to end itself (B211)
	sessionDeadline  = 45 * time.Second
	diagnoseDeadline = 5 * time.Minute
	preflightLimit   = 2 * time.Minute // of the gateway's own validator, mostly; then the restart is made
	repairDeadline   = 15 * time.Minute
	hooksDeadline    = 2 * time.Hour   // each hook has its own
	drainDeadline    = 6 * time.Minute // OpenClaw's own drain takes up to 325 s (docs/openclaw.md §4)
)

// diagnoseLines is how many of the last lines of a gateway the doctors see.
const diagnoseLines = 120

// perform starts one effect. Operations run beside the loop and answer by an input.
func (e *Engine) perform(ctx context.Context, eff lifecycle.Effect) {
	switch eff := eff.(type) {
	case lifecycle.Recover:
		read := maps.Clone(e.read) // the owner changes it while this runs
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			return e.recoverOwn(ctx, read)
		})
	case lifecycle.ClearServices:
		e.run(ctx, eff.Op, servicesDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := e.ports.Services.Clear(ctx)
			return lifecycle.ServicesCleared{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.ProbePort:
		probe := e.probePort
		if eff.OnlyFree {
			probe = e.portFree
		}
		e.run(ctx, eff.Op, shortDeadline, eff, probe)
	case lifecycle.Preflight:
		e.run(ctx, eff.Op, preflightLimit, eff, func(ctx context.Context) lifecycle.Report {
			err := e.ports.Preflight.Check(ctx)
			if err == nil || ctx.Err() != nil { // what cannot be checked in time keeps no restart back
				return lifecycle.Preflighted{Result: lifecycle.OK}
			}
			return lifecycle.Preflighted{Result: lifecycle.Failed, Problem: ProblemOf(err)}
		})
	case lifecycle.RunHooks:
		e.run(ctx, eff.Op, hooksDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := e.ports.Hooks.Run(ctx)
			return lifecycle.HooksDone{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.Reload:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Control.Reload(ctx, s, eff.Launch)
			}
			return lifecycle.Reloaded{Result: resultOf(err), Problem: ProblemOf(err)}
		})
	case lifecycle.Drain:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, drainDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Control.Drain(ctx, s)
			}
			return lifecycle.Drained{Problem: ProblemOf(err)}
		})
	case lifecycle.Shutdown:
		s := e.sessions[eff.Session]
		e.run(ctx, eff.Op, shutdownLimit, eff, func(ctx context.Context) lifecycle.Report {
			err := ErrNotConnected
			if s != nil {
				err = e.ports.Control.Shutdown(ctx, s)
			}
			return lifecycle.ShutdownAsked{Result: min(resultOf(err), lifecycle.Failed), Problem: ProblemOf(err)}
		})
	case lifecycle.PrepareLaunch:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			id, err := e.ports.Launches.Prepare(ctx)
			return lifecycle.LaunchPrepared{
				Result: min(resultOf(err), lifecycle.Failed), Launch: id, Problem: ProblemOf(err),
			}
		})
	case lifecycle.AlignConfig:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := e.ports.Launches.Align(ctx, eff.Launch)
			if err != nil {
				e.log.Warn("cannot align the gateway's configuration with its launch", "error", err)
			}
			return lifecycle.ConfigAligned{Result: min(resultOf(err), lifecycle.Failed), Problem: ProblemOf(err)}
		})
	case lifecycle.Launch:
		e.run(ctx, eff.Op, launchDeadline, eff, func(ctx context.Context) lifecycle.Report {
			return e.launch(ctx, eff)
		})
	case lifecycle.Inspect:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			return e.inspect(ctx, eff)
		})
	case lifecycle.ProbeReady:
		e.run(ctx, eff.Op, shortDeadline, eff, func(ctx context.Context) lifecycle.Report {
			return lifecycle.ReadyProbed{Readiness: e.ports.Probe.Ready(ctx, eff.Port)}
		})
	case lifecycle.OpenSession:
		e.openSession(ctx, eff)
	case lifecycle.VerifySession:
		e.verifySession(ctx, eff)
	case lifecycle.Terminate:
		e.run(ctx, eff.Op, eff.Grace+killMargin, eff, func(ctx context.Context) lifecycle.Report {
			return e.terminate(ctx, eff)
		})
	case lifecycle.Diagnose:
		e.diagnose(ctx, eff)
	case lifecycle.Repair:
		e.run(ctx, eff.Op, repairDeadline, eff, func(ctx context.Context) lifecycle.Report {
			err := e.ports.Doctors.Repair(ctx, eff.Plan)
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
		e.release(ctx, eff.Launch)
	case lifecycle.Reply: // see step: answered after everything else
	case lifecycle.Ignored:
		e.log.Debug("input ignored", "reason", eff.Reason)
	default:
		panic(fmt.Sprintf("engine: unhandled effect %T", eff)) // programmer error
	}
}

// closeOp forgets an operation that has answered, and with Recovered the launches of which there is no trace any more.
func (e *Engine) closeOp(a lifecycle.Answer) {
	if r, ok := a.Report.(lifecycle.Recovered); ok && r.Result == lifecycle.OK {
		maps.DeleteFunc(e.read, func(id lifecycle.LaunchID, _ bool) bool {
			return e.watches[id] == nil &&
				!slices.ContainsFunc(r.Instances, func(i lifecycle.Instance) bool { return i.Launch == id })
		})
	}
	if cancel, open := e.ops[a.Op]; open {
		cancel()
		delete(e.ops, a.Op)
	}
}

// run performs an operation beside the loop. It answers exactly once, also when the port panics.
func (e *Engine) run(
	ctx context.Context, op lifecycle.OpID, limit time.Duration, eff lifecycle.Effect,
	f func(context.Context) lifecycle.Report,
) {
	opCtx, cancel := context.WithTimeout(ctx, limit)
	e.ops[op] = cancel
	e.tasks.Go(func() {
		defer cancel()
		e.send(ctx, lifecycle.Answer{Op: op, Report: e.guarded(opCtx, eff, f)})
	})
}

func (e *Engine) guarded(
	ctx context.Context, eff lifecycle.Effect, f func(context.Context) lifecycle.Report,
) (r lifecycle.Report) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("bug: an effect panicked", "effect", fmt.Sprintf("%T", eff), "panic", p)
			r = lifecycle.FailureOf(eff, lifecycle.Problem{
				Code: "internal", Message: fmt.Sprintf("bug in the host: %T panicked: %v", eff, p),
			})
		}
	}()
	return f(ctx)
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
			e.send(timerCtx, lifecycle.Answer{Op: eff.Op, Report: lifecycle.TimerFired{}})
		case <-timerCtx.Done():
		}
	})
}

func (e *Engine) probePort(ctx context.Context) lifecycle.Report {
	holder, problem, err := e.ports.Probe.Holder(ctx)
	if err != nil { // go on: the gateway itself will say that the port is taken
		e.log.Warn("cannot find out who holds the port", "error", err)
		return lifecycle.PortProbed{Holder: lifecycle.HolderNone}
	}
	return lifecycle.PortProbed{Holder: holder, Problem: problem}
}

// portFree reports whether the port is free. A port that cannot be looked at counts as taken: it is looked at again.
func (e *Engine) portFree(ctx context.Context) lifecycle.Report {
	if free, err := e.ports.Probe.Free(ctx); err != nil || !free {
		return lifecycle.PortProbed{Holder: lifecycle.HolderStranger}
	}
	return lifecycle.PortProbed{Holder: lifecycle.HolderNone}
}

// recoverOwn finds the launches of this gateway. Their last lines that no host has read are read now: the launches are
// released next.
func (e *Engine) recoverOwn(ctx context.Context, read map[lifecycle.LaunchID]bool) lifecycle.Report {
	listing, err := e.ports.Launcher.List(ctx, e.name)
	if err != nil {
		return lifecycle.Recovered{Result: lifecycle.Failed, Problem: ProblemOf(err)}
	}
	for _, b := range listing.Broken {
		e.log.Warn("found a launch that cannot be read and left it alone", "path", b.Path, "reason", b.Reason)
	}
	r := lifecycle.Recovered{Result: lifecycle.OK}
	for _, inst := range listing.Instances {
		if inst.Gateway != e.name {
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
		unfollowed := inst.Phase == launcher.PhaseEnded || inst.Phase == launcher.PhaseUnwatched
		if unfollowed && !read[lifecycle.LaunchID(inst.LaunchID)] {
			e.readRemaining(ctx, inst.LaunchID)
		}
		found := instanceOf(inst)
		if found.Live {
			found.Drift, found.Process.Port = e.ports.Launches.Drift(inst)
		}
		r.Instances = append(r.Instances, found)
	}
	return r
}

func (e *Engine) launch(ctx context.Context, eff lifecycle.Launch) lifecycle.Report {
	req, err := e.ports.Launches.Request(ctx, eff.Launch)
	if err != nil {
		p := ProblemOf(err)
		p.Fatal = true // only another configuration helps
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

func (e *Engine) inspect(ctx context.Context, eff lifecycle.Inspect) lifecycle.Report {
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

func (e *Engine) terminate(ctx context.Context, eff lifecycle.Terminate) lifecycle.Report {
	got, err := e.ports.Launcher.Stop(ctx, string(eff.Launch), eff.Grace)
	if errors.Is(err, fault.ErrNotFound) { // without a trace, nothing of it can be alive
		return lifecycle.Terminated{Result: lifecycle.OK, Launch: eff.Launch}
	}
	return lifecycle.Terminated{
		Result: resultOf(err), Launch: eff.Launch, Exit: exitOf(got.Exit), Problem: ProblemOf(err),
	}
}

func (e *Engine) diagnose(ctx context.Context, eff lifecycle.Diagnose) {
	var lines []plugin.Line
	var symptoms []plugin.Symptom
	if w := e.last; w != nil && w.launch == eff.Incident.Launch {
		if out := w.out(); out != nil {
			lines, symptoms = out.Tail(diagnoseLines), out.Symptoms()
		}
	}
	e.run(ctx, eff.Op, diagnoseDeadline, eff, func(ctx context.Context) lifecycle.Report {
		return e.ports.Doctors.Diagnose(ctx, eff.Incident, lines, symptoms)
	})
}

// release releases a launch that has ended. It may fail: the next start finds and releases the launch then.
func (e *Engine) release(ctx context.Context, id lifecycle.LaunchID) {
	watched := make(chan struct{})
	close(watched)
	if w := e.last; w != nil && w.launch == id {
		watched = w.closed // the reader of its output may still write into the folder of the launch
	}
	e.tasks.Go(func() {
		// Detached: the end of the engine, which waits for it, does not cut the last effect of a stop.
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
