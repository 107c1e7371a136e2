package gateway

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// launched is what a process of the gateway was made with. As long as it lives, its port, its token and whatever else concerns it are those,
// whatever the configuration says meanwhile.
type launched struct {
	cfg    *config.Gateway   // nil: not known yet, of one that was only listed
	labels map[string]string // nil: while it is being made
	by     string            // the plugin that holds it; "": none is known to
	built  *built            // until it is made; then it is dropped: it holds secrets
}

// launchTable keeps what the processes of a gateway were made with, and by which plugin.
type launchTable struct {
	mu   sync.Mutex // guards held: launchers are asked from many goroutines, and readers of the status look things up
	held map[lifecycle.LaunchID]launched

	probed   atomic.Pointer[config.Gateway] // by which the port was looked at last
	attached atomic.Pointer[config.Gateway] // by which the gateway was found that is attached
}

// note adds what is not known of a launch yet: what this host made it knows better than a launcher that tells of it.
func (t *launchTable) note(id lifecycle.LaunchID, more launched) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = map[lifecycle.LaunchID]launched{}
	}
	l := t.held[id]
	l.cfg, l.by = cmp.Or(l.cfg, more.cfg), cmp.Or(l.by, more.by)
	if l.labels == nil {
		l.labels = more.labels
	}
	if more.built != nil {
		l.built = more.built
	}
	t.held[id] = l
}

// takeBuilt returns what was built for a launch, once.
func (t *launchTable) takeBuilt(id lifecycle.LaunchID) (built, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.held[id]
	if l.built == nil {
		return built{}, false
	}
	b := *l.built
	l.built = nil
	t.held[id] = l
	return b, true
}

// forget lets go of a launch that is over, and reports by which plugin it was; "" when that is not known.
func (t *launchTable) forget(id lifecycle.LaunchID) (by string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	by = t.held[id].by
	delete(t.held, id)
	return by
}

// only forgets all launches but these and one that is about to be made: of any other nothing is left.
func (t *launchTable) only(ids []lifecycle.LaunchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.held, func(id lifecycle.LaunchID, l launched) bool {
		return l.built == nil && !slices.Contains(ids, id)
	})
}

func (t *launchTable) of(id lifecycle.LaunchID) (launched, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.held[id]
	return l, l.cfg != nil
}

// launcherOf is the plugin that holds a launch; "" when none is known to.
func (t *launchTable) launcherOf(id lifecycle.LaunchID) string {
	l, _ := t.of(id)
	return l.by
}

// launchers are the plugins that hold launches.
func (t *launchTable) launchers() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for _, l := range t.held {
		if l.by != "" && !slices.Contains(names, l.by) {
			names = append(names, l.by)
		}
	}
	slices.Sort(names)
	return names
}

// follow keeps by which configuration an attached gateway was found; for the engine's owner.
func (t *launchTable) follow(c observe.Change) {
	switch {
	case c.After.Attached && !c.Before.Attached:
		t.attached.Store(t.probed.Load())
	case !c.After.Attached && c.Before.Attached:
		t.attached.Store(nil)
	}
}

// present is what runs was made with; false when nothing runs.
func (g *Gateway) present() (launched, bool) {
	if g.engine == nil {
		return launched{}, false
	}
	return g.launches.present(g.engine.Snapshot().State)
}

func (t *launchTable) present(s lifecycle.State) (launched, bool) {
	if s.Launch != "" {
		return t.of(s.Launch)
	}
	if cfg := t.attached.Load(); cfg != nil && s.Attached {
		return launched{cfg: cfg}, true
	}
	return launched{}, false
}

// asLaunched is the configuration of what runs, as it was made; when nothing runs, of what would be launched now.
func (g *Gateway) asLaunched() *config.Gateway {
	if l, ok := g.present(); ok {
		return l.cfg
	}
	return g.conf()
}

// drift is what the configuration says otherwise now than what runs was made with.
func (g *Gateway) drift() []string {
	l, ok := g.present()
	if !ok {
		return nil
	}
	now := g.conf()
	if l.labels == nil {
		if l.cfg == now {
			return nil
		}
		l.labels = g.labelsOf(l.cfg)
	}
	return driftOf(l.labels, g.labelsOf(now))
}

// launchers asks for each launch the plugin that made it: another one may be configured since. What is new is for the configured one.
type launchers struct {
	g      *Gateway
	plugin func(name string) launcher.Launcher
}

var _ launcher.Launcher = launchers{}

// launcher is the launcher of the gateway, whichever plugin that is for each launch.
func (g *Gateway) launcher() launchers {
	return launchers{g, func(name string) launcher.Launcher { return g.env.Plugins.Launcher(name) }}
}

func (l launchers) of(id string) launcher.Launcher {
	by := l.g.launches.launcherOf(lifecycle.LaunchID(id))
	if by == "" {
		by = l.g.asLaunched().Launcher
	}
	return l.plugin(by)
}

func (l launchers) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	return l.of(req.LaunchID).Launch(ctx, req)
}

// List asks all who hold launches of the gateway, and the one that would make the next. One that cannot be asked may hold what nobody else
// knows: then there is no answer.
func (l launchers) List(ctx context.Context, gateway string) (launcher.Listing, error) {
	names := l.g.launches.launchers()
	if now := l.g.conf().Launcher; !slices.Contains(names, now) {
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
			l.g.launches.note(lifecycle.LaunchID(i.LaunchID), launched{by: name})
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
	l.g.launches.only(ids)
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
	return l.plugin(l.g.asLaunched().Launcher).Exec(ctx, req, sink)
}
