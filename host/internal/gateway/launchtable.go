package gateway

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/profile"
)

// built is one launch as it will be made: the profile, the environment file and the token were read once, at one moment.
type built struct {
	cfg    *config.Gateway
	result profile.Result
	token  string
	err    error // why it cannot be built; the result is zero then
}

// launched is what a process of the gateway was made with. As long as it lives, its port, its token and whatever else concerns it are those,
// whatever the configuration says meanwhile.
type launched struct {
	cfg    *config.Gateway   // nil: not known yet, of one that was only listed
	labels map[string]string // nil: while it is being made
	by     string            // the plugin that holds it; "": none is known to
}

// launchTable keeps what the processes of a gateway were made with, and by which plugin.
type launchTable struct {
	mu   sync.Mutex // guards held: launchers are asked from many goroutines, and readers of the status look things up
	held map[lifecycle.LaunchID]launched
	next prepared // guarded by mu, too

	probed   atomic.Pointer[config.Gateway] // by which the port was looked at last
	attached atomic.Pointer[config.Gateway] // by which the gateway was found that is attached
}

// prepared is the launch that was built and not made yet. It holds secrets: it is dropped as soon as it is made or given up.
type prepared struct {
	id    lifecycle.LaunchID
	built *built
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
	t.held[id] = l
}

// prepare keeps what was built for a launch until takeBuilt or drop, in place of what was built before.
func (t *launchTable) prepare(id lifecycle.LaunchID, b built) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = prepared{id, &b}
}

// takeBuilt returns what was built for a launch, once.
func (t *launchTable) takeBuilt(id lifecycle.LaunchID) (built, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.built == nil || t.next.id != id {
		return built{}, false
	}
	b := *t.next.built
	t.next = prepared{}
	return b, true
}

// drop forgets what was built for a launch that is given up.
func (t *launchTable) drop(id lifecycle.LaunchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next.id == id {
		t.next = prepared{}
	}
}

// forget lets go of a launch that is over, and reports by which plugin it was; "" when that is not known.
func (t *launchTable) forget(id lifecycle.LaunchID) (by string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	by = t.held[id].by
	delete(t.held, id)
	return by
}

// only forgets all launches but these: of any other nothing is left.
func (t *launchTable) only(ids []lifecycle.LaunchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.held, func(id lifecycle.LaunchID, _ launched) bool { return !slices.Contains(ids, id) })
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
	if before := c.Before.Launch; before != "" && before != c.After.Launch {
		t.drop(before)
	}
	switch {
	case c.After.Attached && !c.Before.Attached:
		t.attached.Store(t.probed.Load())
	case !c.After.Attached && c.Before.Attached:
		t.attached.Store(nil)
	}
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
