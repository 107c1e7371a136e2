package host

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

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

// keeper keeps the configuration files with which a gateway came to run (ADR 5). It claims a file only when the gateway read it and
// runs with it: the file is what it was before the process was made, or, after a change, the gateway itself says that what is on disk is
// valid and what it goes by. It looks when a session opens and when the gateway says that its configuration has changed.
type keeper struct {
	g    *gateway
	good *repair.Good
	wake chan struct{} // 1: one look is enough for all that happened before it

	mu       sync.Mutex // guards below
	launch   lifecycle.LaunchID
	launched repair.Look // the file before that launch
	running  lifecycle.LaunchID
}

func newKeeper(g *gateway) (*keeper, error) {
	good, err := repair.NewGood(g.host.store.GoodDir(), g.name, nil)
	return &keeper{g: g, good: good, wake: make(chan struct{}, 1)}, err
}

// launching is told right before a process is made.
func (k *keeper) launching(id lifecycle.LaunchID, configPath string) {
	var look repair.Look
	if configPath != "" {
		look, _ = repair.LookAt(configPath) // what cannot be read now is not what the gateway will have read
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.launch, k.launched = id, look
}

// stepped is told of every step, by the engine's owner: it never blocks.
func (k *keeper) stepped(c engine.Change) {
	in, ok := c.Input.(lifecycle.SessionOpened)
	if !ok || c.After.Session != in.Session || c.After.Owner() != lifecycle.OwnerOwned {
		return // a gateway that is not ours may have any configuration
	}
	k.mu.Lock()
	k.running = c.After.Launch
	k.mu.Unlock()
	k.look()
}

// look asks for a look; never blocks.
func (k *keeper) look() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run looks until ctx is done.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		if err := k.keep(ctx); err != nil && ctx.Err() == nil {
			k.g.log.Warn("the configuration that the gateway runs with was not kept", "reason", err)
		}
	}
}

func (k *keeper) keep(ctx context.Context) error {
	path := k.g.facts().ConfigPath
	if path == "" {
		return nil
	}
	k.mu.Lock()
	before, known := k.launched, k.launch != "" && k.launch == k.running
	k.mu.Unlock()
	now, err := repair.LookAt(path)
	if err != nil || !now.Exists {
		return err
	}
	if !known || !now.Same(before) {
		proven, err := k.proven(ctx, now)
		if err != nil || !proven {
			return err
		}
	}
	kept, added, err := k.good.Keep(now)
	if added {
		k.g.log.Debug("kept the configuration that the gateway runs with", "file", now.Path, "id", kept.ID)
	}
	return err
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
func (k *keeper) proven(ctx context.Context, now repair.Look) (bool, error) {
	for range mostAsked {
		s, ok := k.g.engine.Session()
		if !ok || !slices.Contains(s.Stats().Methods, methodConfig) {
			return false, nil
		}
		got, err := k.ask(ctx, s)
		if err != nil {
			return false, err
		}
		after, err := repair.LookAt(now.Path)
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

func (k *keeper) ask(ctx context.Context, s engine.Session) (said, error) {
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
