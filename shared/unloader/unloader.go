// Package unloader is the kind of plugin that knows which platform service would also manage a gateway, and how to
// unload it with a way back.
//
// The contract is in shared/proto/gatehost/plugin/v1alpha1/unloader.proto.
package unloader

import (
	"context"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Unloader speaks to one service manager. Inspect may be called concurrently; Unload and Restore are called once at a
// time.
type Unloader interface {
	// Inspect finds services that run, or would run, the gateway. Errors: fault.Unsupported (no such manager here).
	Inspect(ctx context.Context, gw plugin.GatewayFacts) ([]Service, error)
	// Unload stops a service and keeps its manager from starting it again in this login or boot; idempotent; never
	// deletes a file. Errors: fault.NotFound, fault.PermissionDenied, fault.DeadlineExceeded.
	Unload(ctx context.Context, gw plugin.GatewayFacts, serviceID string) (Unloaded, error)
	// Restore brings back what Unload removed; idempotent; reports whether anything had to be done. Errors:
	// fault.InvalidArgument (not our record), fault.NotFound.
	Restore(ctx context.Context, undo []byte) (bool, error)
}

// Service is a service of the platform's manager.
type Service struct {
	ID             string
	Manager        string
	Path           string
	Loaded         bool
	PID            int
	KeepsAlive     bool
	Reason         string
	DisableCommand string
}

// Unloaded is the answer to Unload; Undo is opaque, at most 64 KiB.
type Unloaded struct {
	Changed bool
	Undo    []byte
}
