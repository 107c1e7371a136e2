package unloader

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Fake is an Unloader in memory, for tests. The zero value knows no service; the exported fields are knobs, to be set
// before the first call. Safe for concurrent use, also inside a synctest bubble.
type Fake struct {
	Services   []Service
	InspectErr error
	UnloadErr  error
	RestoreErr error
	Respawns   bool          // an unloaded service is loaded again at once
	Blocks     chan struct{} // every call waits until it is closed, or ctx is done

	mu       sync.Mutex      // guards all below
	unloaded map[string]bool // by id
	calls    []string
}

var _ Unloader = (*Fake)(nil)

// Calls are the calls so far, as "Unload gui/501/ai.openclaw.gateway".
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *Fake) begin(ctx context.Context, call string) error {
	f.mu.Lock()
	f.calls = append(f.calls, call)
	f.mu.Unlock()
	if f.Blocks == nil {
		return ctx.Err()
	}
	select {
	case <-f.Blocks:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Inspect is part of Unloader.
func (f *Fake) Inspect(ctx context.Context, _ plugin.GatewayFacts) ([]Service, error) {
	if err := f.begin(ctx, "Inspect"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.Services)
	for i := range out {
		if f.unloaded[out[i].ID] {
			out[i].Loaded, out[i].PID = false, 0
		}
	}
	return out, f.InspectErr
}

// Unload is part of Unloader.
func (f *Fake) Unload(ctx context.Context, _ plugin.GatewayFacts, serviceID string) (Unloaded, error) {
	if err := f.begin(ctx, "Unload "+serviceID); err != nil {
		return Unloaded{}, err
	}
	if f.UnloadErr != nil {
		return Unloaded{}, f.UnloadErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.Services, func(s Service) bool { return s.ID == serviceID })
	if at < 0 {
		return Unloaded{}, fault.New(fault.NotFound, "there is no such service")
	}
	if !f.Services[at].Loaded || f.unloaded[serviceID] {
		return Unloaded{}, nil
	}
	undo, err := json.Marshal(serviceID)
	if f.unloaded == nil {
		f.unloaded = map[string]bool{}
	}
	f.unloaded[serviceID] = !f.Respawns
	return Unloaded{Changed: true, Undo: undo}, err
}

// Restore is part of Unloader.
func (f *Fake) Restore(ctx context.Context, undo []byte) (bool, error) {
	if err := f.begin(ctx, "Restore"); err != nil {
		return false, err
	}
	if f.RestoreErr != nil {
		return false, f.RestoreErr
	}
	var id string
	if err := json.Unmarshal(undo, &id); err != nil {
		return false, fault.New(fault.InvalidArgument, "cannot restore: not a record of this unloader")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.unloaded[id]
	delete(f.unloaded, id)
	return changed, nil
}
