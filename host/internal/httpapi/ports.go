package httpapi

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/gatehost/gatehost/shared/control"
)

// Gateways are the supervised gateways. All methods are called concurrently.
type Gateways interface {
	// Status is everything as it is now, the host and the plugins included.
	Status() control.Status
	Gateway(name string) (control.Gateway, bool)
	// Do gives a command and waits for its outcome. Cancelling ctx ends the wait only. An error means that there is no outcome;
	// fault.Unsupported becomes the problem not_implemented.
	Do(ctx context.Context, name string, cmd control.Command) (control.Outcome, error)
	// RPC calls a method of a gateway; ctx carries the request's timeout. The gateway's own refusal is a *control.RPCError.
	RPC(ctx context.Context, name string, req control.RPCRequest) (json.RawMessage, error)
}

// Output is what gateways wrote.
type Output interface {
	// Logs yields lines, oldest first, as the query says; an error is yielded last.
	Logs(ctx context.Context, name string, q control.LogsQuery) iter.Seq2[control.LogLine, error]
}

// Doctors look after gateways.
type Doctors interface {
	// Doctor yields messages, the result last; an error is yielded last.
	Doctor(ctx context.Context, name string, req control.DoctorRequest) iter.Seq2[control.DoctorMessage, error]
}

// Health asks gateways how they are.
type Health interface {
	// Health asks now, within a bound; with probe it gives more time, and asks the router, too.
	Health(ctx context.Context, name string, probe bool) (control.HealthCheck, error)
}

// Configuration is that of the host itself.
type Configuration interface {
	// Reload reads it again and puts it in force, or tells what that would do. A *control.Problem says why nothing was changed.
	Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error)
}

// Plugins are the plugin processes.
type Plugins interface {
	Plugins() []control.Plugin
	// Restart replaces a plugin's process.
	Restart(ctx context.Context, name string) error
}
