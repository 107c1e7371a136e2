package pluginhost

import (
	"context"
	"errors"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/unloader"
)

type (
	launcherProxy   struct{ proxy }
	unloaderProxy   struct{ proxy }
	doctorProxy     struct{ proxy }
	classifierProxy struct{ proxy }
	nothing         = struct{}
)

var (
	_ launcher.Launcher     = launcherProxy{}
	_ unloader.Unloader     = unloaderProxy{}
	_ doctor.Verifier       = doctorProxy{}
	_ classifier.Classifier = classifierProxy{}
)

func (p launcherProxy) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	return call(ctx, p.proxy, launch, 0, func(ctx context.Context, cc link) (launcher.Launched, error) {
		return launcher.NewClient(cc).Launch(ctx, req)
	})
}

func (p launcherProxy) List(ctx context.Context, gateway string) (launcher.Listing, error) {
	return call(ctx, p.proxy, list, 0, func(ctx context.Context, cc link) (launcher.Listing, error) {
		return launcher.NewClient(cc).List(ctx, gateway)
	})
}

func (p launcherProxy) Recover(ctx context.Context, id string) (launcher.Instance, error) {
	return call(ctx, p.proxy, recoverLaunch, 0, func(ctx context.Context, cc link) (launcher.Instance, error) {
		return launcher.NewClient(cc).Recover(ctx, id)
	})
}

func (p launcherProxy) Inspect(ctx context.Context, id string) (launcher.Inspection, error) {
	return call(ctx, p.proxy, inspectLaunch, 0, func(ctx context.Context, cc link) (launcher.Inspection, error) {
		return launcher.NewClient(cc).Inspect(ctx, id)
	})
}

// Output goes on at its cursor when the plugin is replaced, or its stream falls silent, so the caller sees one stream: no line
// twice, none missing.
func (p launcherProxy) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	for {
		var failed error
		_, err := call(ctx, p.proxy, output, 0, func(ctx context.Context, cc link) (nothing, error) {
			return nothing{}, p.outputOnce(ctx, cc, &req, func(item launcher.OutputItem) error {
				failed = sink(item)
				return failed
			})
		})
		if failed != nil {
			return failed
		}
		if !isGone(err) || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errMoved) { // the next one is there already
			continue
		}
		timer := time.NewTimer(p.h.opts.Timing.BackoffBase / 4) // a plugin that lives and refuses must not make us spin
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// outputOnce reads one stream and moves the cursor of req. A stream without a sign of life is given up; the time in which sink
// works does not count.
func (p launcherProxy) outputOnce(ctx context.Context, cc link, req *launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := p.h.opts.Timing.OutputSilence
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	err := launcher.NewClient(cc).Output(ctx, *req, func(item launcher.OutputItem) error {
		watchdog.Stop()
		defer watchdog.Reset(silence)
		if err := sink(item); err != nil {
			return err
		}
		switch item := item.(type) {
		case *launcher.LineBatch:
			if n := len(item.Lines); n > 0 {
				req.Cursor = item.Lines[n-1].Cursor
			}
		case *launcher.Gap:
			req.Cursor = item.To
		case *launcher.Heartbeat, *launcher.End:
		}
		return nil
	})
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		return fault.Wrap(fault.PluginGone, "the output fell silent", errSilent)
	}
	return err
}

var errSilent = errors.New("no heartbeat came")

func (p launcherProxy) Signal(ctx context.Context, id, name string) error {
	_, err := call(ctx, p.proxy, signal, 0, func(ctx context.Context, cc link) (nothing, error) {
		return nothing{}, launcher.NewClient(cc).Signal(ctx, id, name)
	})
	return err
}

func (p launcherProxy) Stop(ctx context.Context, id string, grace time.Duration) (launcher.Stopped, error) {
	return call(ctx, p.proxy, stop, grace, func(ctx context.Context, cc link) (launcher.Stopped, error) {
		return launcher.NewClient(cc).Stop(ctx, id, grace)
	})
}

func (p launcherProxy) Release(ctx context.Context, id string) error {
	_, err := call(ctx, p.proxy, release, 0, func(ctx context.Context, cc link) (nothing, error) {
		return nothing{}, launcher.NewClient(cc).Release(ctx, id)
	})
	return err
}

func (p launcherProxy) Exec(ctx context.Context, req launcher.ExecRequest, sink func(plugin.Line) error) (launcher.ExecResult, error) {
	return call(ctx, p.proxy, execute, req.Timeout, func(ctx context.Context, cc link) (launcher.ExecResult, error) {
		return launcher.NewClient(cc).Exec(ctx, req, sink)
	})
}

func (p unloaderProxy) Inspect(ctx context.Context, gw plugin.GatewayFacts) ([]unloader.Service, error) {
	return call(ctx, p.proxy, inspectUnits, 0, func(ctx context.Context, cc link) ([]unloader.Service, error) {
		return unloader.NewClient(cc).Inspect(ctx, gw)
	})
}

func (p unloaderProxy) Unload(ctx context.Context, gw plugin.GatewayFacts, id string) (unloader.Unloaded, error) {
	return call(ctx, p.proxy, unload, 0, func(ctx context.Context, cc link) (unloader.Unloaded, error) {
		return unloader.NewClient(cc).Unload(ctx, gw, id)
	})
}

func (p unloaderProxy) Restore(ctx context.Context, undo []byte) (bool, error) {
	return call(ctx, p.proxy, restore, 0, func(ctx context.Context, cc link) (bool, error) {
		return unloader.NewClient(cc).Restore(ctx, undo)
	})
}

func (p doctorProxy) Diagnose(ctx context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	return call(ctx, p.proxy, diagnose, 0, func(ctx context.Context, cc link) (doctor.Diagnosis, error) {
		return doctorIn(cc).Diagnose(ctx, req)
	})
}

func (p doctorProxy) Plan(ctx context.Context, gw plugin.GatewayFacts, f doctor.Finding) (*doctor.Plan, error) {
	return call(ctx, p.proxy, plan, 0, func(ctx context.Context, cc link) (*doctor.Plan, error) {
		return doctorIn(cc).Plan(ctx, gw, f)
	})
}

func (p doctorProxy) Repair(ctx context.Context, req doctor.RepairRequest, progress func(doctor.Progress)) (doctor.RepairResult, error) {
	return call(ctx, p.proxy, repair, 0, func(ctx context.Context, cc link) (doctor.RepairResult, error) {
		return doctorIn(cc).Repair(ctx, req, progress)
	})
}

func (p doctorProxy) Verify(ctx context.Context, req doctor.VerifyRequest) (doctor.Verification, error) {
	return call(ctx, p.proxy, verify, 0, func(ctx context.Context, cc link) (doctor.Verification, error) {
		return doctor.NewClient2(cc).Verify(ctx, req) // see method.since
	})
}

// doctorIn is the client of the version that was negotiated.
func doctorIn(cc link) doctor.Doctor {
	if cc.version == pluginkit.ExperimentalDoctorVersion {
		return doctor.NewClient2(cc)
	}
	return doctor.NewClient(cc)
}

// Open begins a stream on the present process. It breaks when that ends or is replaced; the pipeline then opens another, with the
// lines that had no verdict (classifier.proto).
func (p classifierProxy) Open(ctx context.Context, gw plugin.GatewayFacts, launchID string) (classifier.Stream, error) {
	p.proxy = p.now()
	g, err := p.generation(ctx)
	if err != nil {
		return nil, err
	}
	defer p.s.slot.done(g)
	ctx, cancel := context.WithCancel(ctx)
	inner, err := classifier.NewClient(g.conn).Open(ctx, gw, launchID)
	if err != nil {
		cancel()
		if g.closedUnder(err) {
			err = gone(p.proxy, classify)
		}
		return nil, err
	}
	go func() {
		select {
		case <-g.proc.done:
			cancel()
		case <-g.gone:
			cancel()
		case <-g.moved:
			cancel()
		case <-ctx.Done():
		}
	}()
	return &boundStream{Stream: inner, p: p.proxy, cancel: cancel}, nil
}

// boundStream ends with its process and tells the supervisor when it gets no answer.
type boundStream struct {
	classifier.Stream
	p      proxy
	cancel context.CancelFunc
}

func (b *boundStream) Classify(ctx context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, b.p.limit(classify))
	defer cancel()
	began := time.Now()
	got, err := b.Stream.Classify(ctx, lines)
	b.p.s.opts.OnCall(Call{Plugin: b.p.name, Method: classify.name, Took: time.Since(began), Err: err})
	if err != nil {
		poke(b.p.s.suspect)
	}
	return got, err
}

func (b *boundStream) Close() error {
	defer b.cancel()
	return b.Stream.Close()
}
