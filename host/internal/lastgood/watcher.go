package lastgood

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
)

// methodConfig is the gateway's own word about its configuration (docs/openclaw.md §10).
const methodConfig = "config.get"

const (
	askedFor  = 10 * time.Second // one question for its configuration
	askAgain  = 2 * time.Second  // a gateway that has seen a new file applies it a moment later
	mostAsked = 4
)

// Options are what a watcher needs of its gateway.
type Options struct {
	Dir     string // where configurations are kept, of all gateways
	Gateway string
	// ConfigPath is where the gateway's configuration is; "" when that is not known.
	ConfigPath func() string
	// Session is the open session with the gateway, if there is one.
	Session func() (engine.Session, bool)
	Log     hclog.Logger
}

// Watcher keeps the configuration files with which a gateway came to run. It claims a file only when the gateway read it and runs with it: the
// file is what it was before the process was made, or, after a change, the gateway itself says that what is on disk is valid and in force. It
// looks when a session opens and when the gateway says that its configuration has changed.
type Watcher struct {
	*Store

	o    Options
	wake chan struct{} // 1: one look is enough for all that happened before it

	launched atomic.Pointer[launched] // the newest launch, and the file before it
	running  atomic.Pointer[lifecycle.LaunchID]
}

type launched struct {
	id   lifecycle.LaunchID
	file repair.FileState
}

// New makes a watcher; Run makes it work.
func New(o Options) (*Watcher, error) {
	store, err := NewStore(o.Dir, o.Gateway, nil)
	if err != nil {
		return nil, err
	}
	return &Watcher{Store: store, o: o, wake: make(chan struct{}, 1)}, nil
}

// Launching is told right before a process is made.
func (w *Watcher) Launching(id lifecycle.LaunchID, configPath string) {
	next := &launched{id: id}
	if configPath != "" {
		next.file, _ = repair.StateOf(configPath) // what cannot be read now is not what the gateway will have read
	}
	w.launched.Store(next)
}

// Opened is told that a session opened with a gateway that this host launched. It never blocks.
func (w *Watcher) Opened(launch lifecycle.LaunchID) {
	w.running.Store(&launch)
	w.Look()
}

// Look asks for a look at the file. It never blocks.
func (w *Watcher) Look() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run looks until ctx is done.
func (w *Watcher) Run(ctx context.Context) {
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		if err := w.keep(ctx); err != nil && ctx.Err() == nil {
			w.o.Log.Warn("the configuration that the gateway runs with was not kept", "reason", err)
		}
	}
}

func (w *Watcher) keep(ctx context.Context) error {
	path := w.o.ConfigPath()
	if path == "" {
		return nil
	}
	before, known := w.readByRunning()
	now, err := repair.StateOf(path)
	if err != nil || !now.Exists {
		return err
	}
	if !known || !now.Same(before) {
		proven, err := w.proven(ctx, now)
		if err != nil || !proven {
			return err
		}
	}
	kept, added, err := w.Keep(now)
	if added {
		w.o.Log.Debug("kept the configuration that the gateway runs with", "file", now.Path, "id", kept.ID)
	}
	return err
}

// readByRunning is the file that the running process read when it was made; false when that is not known.
func (w *Watcher) readByRunning() (repair.FileState, bool) {
	l, running := w.launched.Load(), w.running.Load()
	if l == nil || running == nil || l.id != *running {
		return repair.FileState{}, false
	}
	return l.file, true
}

// said is what is used of the gateway's answer; the rest, which holds secrets, is not looked at.
type said struct {
	Path     string `json:"path"`
	Exists   bool   `json:"exists"`
	Valid    bool   `json:"valid"`
	Revision string `json:"configRevisionHash"`
	Applied  string `json:"appliedConfigHash"`
}

// proven asks the gateway whether it goes by what is on disk. Releases before 2026.9 cannot say so, and then it is not claimed.
func (w *Watcher) proven(ctx context.Context, now repair.FileState) (bool, error) {
	for range mostAsked {
		s, ok := w.o.Session()
		if !ok || !slices.Contains(s.Stats().Methods, methodConfig) {
			return false, nil
		}
		got, err := w.ask(ctx, s)
		if err != nil {
			return false, err
		}
		after, err := repair.StateOf(now.Path)
		switch {
		case err != nil || !after.Same(now):
			return false, err // it is being changed; the gateway will tell
		case !got.Exists || !got.Valid || got.Applied == "" || !samePath(got.Path, now.Path):
			return false, nil
		case got.Applied == got.Revision:
			return true, nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}

func (w *Watcher) ask(ctx context.Context, s engine.Session) (said, error) {
	ctx, cancel := context.WithTimeout(ctx, askedFor)
	defer cancel()
	var out said
	got, err := s.Call(ctx, methodConfig, json.RawMessage(`{}`))
	if err != nil {
		return out, fmt.Errorf("cannot ask the gateway for its configuration: %w", err)
	}
	if json.Unmarshal(got, &out) != nil {
		return out, fmt.Errorf("cannot understand the gateway's answer to %s", methodConfig) // its text may hold secrets
	}
	return out, nil
}

func samePath(said, real string) bool {
	got, err := filepath.EvalSymlinks(said)
	return err == nil && got == real
}
