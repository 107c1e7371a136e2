package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// launchers asks for each launch the plugin that made it: another one may be configured since. What is new is for the configured one.
type launchers struct {
	core   *core
	plugin func(name string) launcher.Launcher
}

var _ launcher.Launcher = launchers{}

// launcher is the launcher of the gateway, whichever plugin that is for each launch.
func (c *core) launcher() launchers {
	return launchers{c, func(name string) launcher.Launcher { return c.env.Plugins.Launcher(name) }}
}

func (l launchers) of(id string) launcher.Launcher {
	by := l.core.launches.launcherOf(lifecycle.LaunchID(id))
	if by == "" {
		by = l.core.asLaunched().Launcher
	}
	return l.plugin(by)
}

func (l launchers) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	return l.of(req.LaunchID).Launch(ctx, req)
}

// List asks all who hold launches of the gateway, and the one that would make the next. One that cannot be asked may hold what nobody else
// knows: then there is no answer.
func (l launchers) List(ctx context.Context, gateway string) (launcher.Listing, error) {
	names := l.core.launches.launchers()
	if now := l.core.conf().Launcher; !slices.Contains(names, now) {
		names = append(names, now)
	}
	var all launcher.Listing
	for _, name := range names {
		got, err := l.plugin(name).List(ctx, gateway)
		if err != nil {
			return launcher.Listing{}, err
		}
		for _, i := range got.Instances {
			if slices.ContainsFunc(all.Instances, func(have launcher.Instance) bool { return have.LaunchID == i.LaunchID }) {
				continue // they share a directory
			}
			all.Instances = append(all.Instances, i)
			l.core.launches.note(lifecycle.LaunchID(i.LaunchID), launched{by: name})
		}
		for _, b := range got.Broken {
			if !slices.Contains(all.Broken, b) {
				all.Broken = append(all.Broken, b)
			}
		}
	}
	ids := make([]lifecycle.LaunchID, 0, len(all.Instances))
	for _, i := range all.Instances {
		ids = append(ids, lifecycle.LaunchID(i.LaunchID))
	}
	l.core.launches.only(ids)
	slices.SortStableFunc(all.Instances, func(a, b launcher.Instance) int { return a.StartedAt.Compare(b.StartedAt) }) // newest last
	return all, nil
}

func (l launchers) Recover(ctx context.Context, id string) (launcher.Instance, error) {
	return l.of(id).Recover(ctx, id)
}

func (l launchers) Inspect(ctx context.Context, id string) (launcher.Inspection, error) {
	return l.of(id).Inspect(ctx, id)
}

func (l launchers) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	return l.of(req.LaunchID).Output(ctx, req, sink)
}

func (l launchers) Signal(ctx context.Context, id, name string) error {
	return l.of(id).Signal(ctx, id, name)
}

func (l launchers) Stop(ctx context.Context, id string, grace time.Duration) (launcher.Stopped, error) {
	return l.of(id).Stop(ctx, id, grace)
}

func (l launchers) Release(ctx context.Context, id string) error { return l.of(id).Release(ctx, id) }

// Exec runs a command where the gateway runs, or would.
func (l launchers) Exec(ctx context.Context, req launcher.ExecRequest, sink func(plugin.Line) error) (launcher.ExecResult, error) {
	return l.plugin(l.core.asLaunched().Launcher).Exec(ctx, req, sink)
}
