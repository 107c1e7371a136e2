package gateway

import (
	"context"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
)

// built is one launch as it will be made: the profile, the environment file and the token were read once, at one moment.
type built struct {
	cfg    *config.Gateway
	result profile.Result
	token  string
	err    error // why it cannot be built; the result is zero then
}

// build builds a launch from a configuration, its environment file and its token.
func (g *Gateway) build(cfg *config.Gateway) built {
	b := built{cfg: cfg}
	if b.token, b.err = g.tokenOf(cfg); b.err == nil {
		b.result, b.err = g.buildWith(cfg, b.token)
	}
	return b
}

// launches makes identities durable and builds launches under them: each once, by build.
type launches struct {
	g     *Gateway
	build func(*config.Gateway) built
}

func (l launches) Prepare(context.Context) (lifecycle.LaunchID, error) {
	id, err := l.g.env.Store.PrepareLaunch(l.g.name)
	return lifecycle.LaunchID(id), err
}

// Align builds the launch, which is kept until Request, and edits the gateway's own file where it disagrees with it.
func (l launches) Align(ctx context.Context, id lifecycle.LaunchID) error {
	b := l.build(l.g.conf()) // of this launch, also when other settings come into force meanwhile
	l.g.launches.note(id, launched{cfg: b.cfg, by: b.cfg.Launcher, built: &b})
	if b.err != nil {
		return nil //nolint:nilerr // Request fails with it: there is no launch that a file could agree with
	}
	l.g.announce(b.cfg, b.result)
	return l.g.align(ctx, b)
}

// Request returns the launch that Align built.
func (l launches) Request(_ context.Context, id lifecycle.LaunchID) (launcher.LaunchRequest, error) {
	b, ok := l.g.launches.takeBuilt(id)
	if !ok {
		return launcher.LaunchRequest{}, fault.New(fault.Internal, "bug in the host: launch "+string(id)+" was not built")
	}
	if b.err != nil {
		return launcher.LaunchRequest{}, b.err
	}
	labels := l.g.labels(b)
	l.g.launches.note(id, launched{labels: labels})
	l.g.lastGood.Launching(id, b.result.ConfigPath)
	orphan, cfg := b.cfg.OrphanGrace, b.cfg
	return launcher.LaunchRequest{
		LaunchID: string(id), Gateway: l.g.factsOf(cfg, b.result), Process: b.result.Process, Grace: cfg.Launch.Grace, OrphanGrace: &orphan,
		OutputMaxBytes: uint64(max(cfg.Launch.OutputMaxSize, 0)), //nolint:gosec // not negative
		Labels:         labels,
	}, nil
}

func (l launches) Drift(i launcher.Instance) (drift []string, port int) {
	cfg := l.g.conf()
	l.g.launches.note(lifecycle.LaunchID(i.LaunchID), launched{cfg: cfg, labels: i.Labels})
	return driftOf(i.Labels, l.g.labelsOf(cfg)), portOf(i.Labels)
}

// HeldBy is the plugin that holds the launch of a state.
func (l launches) HeldBy(s lifecycle.State) string {
	if s.Launch == "" {
		return ""
	}
	return l.g.launches.launcherOf(s.Launch)
}

func (l launches) Discard(id lifecycle.LaunchID) {
	l.g.env.Journal.Forget(string(id))
	l.g.env.LaunchOver(l.g.launches.forget(id))
	if err := l.g.env.Store.DiscardLaunch(string(id)); err != nil {
		l.g.log.Warn("cannot remove what is left of a launch", "launch", string(id), "error", err)
	}
}
