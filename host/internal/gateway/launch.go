package gateway

import (
	"context"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
)

// launches makes identities durable and builds launches under them: each once, by build.
type launches struct {
	core  *core
	build func(*config.Gateway) built
	// align makes the gateway's own configuration agree with a launch.
	align func(context.Context, built) error
	// launching is told right before a process is made.
	launching func(id lifecycle.LaunchID, configPath string)
}

func (l launches) Prepare(context.Context) (lifecycle.LaunchID, error) {
	id, err := l.core.env.Store.PrepareLaunch(l.core.name)
	return lifecycle.LaunchID(id), err
}

// Align builds the launch, which is kept until Request, and edits the gateway's own file where it disagrees with it.
func (l launches) Align(ctx context.Context, id lifecycle.LaunchID) error {
	b := l.build(l.core.conf()) // of this launch, also when other settings come into force meanwhile
	l.core.launches.prepare(id, b)
	if b.err != nil {
		return nil //nolint:nilerr // Request fails with it: there is no launch that a file could agree with
	}
	l.core.announce(b.cfg, b.result)
	return l.align(ctx, b)
}

// Request returns the launch that Align built.
func (l launches) Request(_ context.Context, id lifecycle.LaunchID) (launcher.LaunchRequest, error) {
	b, ok := l.core.launches.takeBuilt(id)
	if !ok {
		return launcher.LaunchRequest{}, fault.New(fault.Internal, "bug in the host: launch "+string(id)+" was not built")
	}
	if b.err != nil {
		return launcher.LaunchRequest{}, b.err
	}
	labels := l.core.labels(b)
	l.core.launches.note(id, launched{cfg: b.cfg, by: b.cfg.Launcher, labels: labels})
	l.launching(id, b.result.ConfigPath)
	orphan, cfg := b.cfg.OrphanGrace, b.cfg
	return launcher.LaunchRequest{
		LaunchID: string(id), Gateway: l.core.factsOf(cfg, b.result), Process: b.result.Process, Grace: cfg.Launch.Grace, OrphanGrace: &orphan,
		OutputMaxBytes: uint64(max(cfg.Launch.OutputMaxSize, 0)), //nolint:gosec // not negative
		Labels:         labels,
	}, nil
}

func (l launches) Drift(i launcher.Instance) (drift []string, port int) {
	cfg := l.core.conf()
	l.core.launches.note(lifecycle.LaunchID(i.LaunchID), launched{cfg: cfg, labels: i.Labels})
	return driftOf(i.Labels, l.core.labelsOf(cfg)), portOf(i.Labels)
}

// HeldBy is the plugin that holds the launch of a state.
func (l launches) HeldBy(s lifecycle.State) string {
	if s.Launch == "" {
		return ""
	}
	return l.core.launches.launcherOf(s.Launch)
}

func (l launches) Discard(id lifecycle.LaunchID) {
	l.core.env.Journal.Forget(string(id))
	l.core.env.LaunchOver(l.core.launches.forget(id))
	if err := l.core.env.Store.DiscardLaunch(string(id)); err != nil {
		l.core.log.Warn("cannot remove what is left of a launch", "launch", string(id), "error", err)
	}
}
