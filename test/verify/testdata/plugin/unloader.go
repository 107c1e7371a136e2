//go:build unix

package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/unloader"
)

// porter knows a service manager without services.
type porter struct {
	unloader.Fake
	mode  string
	calls atomic.Int64
}

func (p *porter) Inspect(ctx context.Context, gw plugin.GatewayFacts) ([]unloader.Service, error) {
	if p.mode == "finds-another-service-each-time" {
		n := max(2, p.calls.Add(1)) // from the third call on
		return []unloader.Service{{ID: fmt.Sprint("planted/", n), Manager: "planted", Reason: "planted", Loaded: true}},
			nil
	}
	return p.Fake.Inspect(ctx, gw)
}

func (p *porter) Unload(ctx context.Context, gw plugin.GatewayFacts, id string) (unloader.Unloaded, error) {
	if p.mode == "unloads-anything" {
		return unloader.Unloaded{Changed: true, Undo: []byte("{}")}, nil
	}
	return p.Fake.Unload(ctx, gw, id)
}

func (p *porter) Restore(ctx context.Context, undo []byte) (bool, error) {
	if p.mode == "restores-anything" {
		return false, nil
	}
	return p.Fake.Restore(ctx, undo)
}
