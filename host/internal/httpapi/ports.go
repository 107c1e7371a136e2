package httpapi

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/gatehost/gatehost/shared/control"
)

// Gateways are the supervised gateways. All methods are called concurrently.
type Gateways interface {
	// Status returns the state of everything, including the host and the plugins.
	Status() control.Status
	Gateway(name string) (control.Gateway, bool)
	// Do executes a command and waits for its outcome. Cancelling ctx ends the wait only. An error means that there
	// is no outcome; fault.Unsupported becomes the problem not_implemented.
	Do(ctx context.Context, name string, cmd control.Command) (control.Outcome, error)
	// RPC calls a method of a gateway; ctx carries the request's timeout. The gateway's own error is a
	// *control.RPCError.
	RPC(ctx context.Context, name string, req control.RPCRequest) (json.RawMessage, error)
}

// Services are the platform services that were unloaded for gateways.
type Services interface {
	// RestoreServices brings them back, and says of each how it went. Error: fault.NotFound for an unknown id.
	RestoreServices(ctx context.Context, name string, req control.RestoreServices) (control.RestoredServices, error)
}

// Output is the output of gateways.
type Output interface {
	// Logs yields lines, oldest first, as the query says; an error is yielded last.
	Logs(ctx context.Context, name string, q control.LogsQuery) iter.Seq2[control.LogLine, error]
}

// Doctors diagnose and repair gateways.
type Doctors interface {
	// Doctor yields messages, the result last; an error is yielded last.
	Doctor(ctx context.Context, name string, req control.DoctorRequest) iter.Seq2[control.DoctorMessage, error]
}

// Health checks gateways on demand.
type Health interface {
	// Health checks a gateway now, within a bound; with probe it takes more time and also asks the gateway's
	// router.
	Health(ctx context.Context, name string, probe bool) (control.HealthCheck, error)
}

// Configuration is the configuration of the host itself.
type Configuration interface {
	// Reload reads the file again and applies it, or says what that would do. A *control.Problem says why nothing
	// was changed.
	Reload(ctx context.Context, req control.ReloadRequest) (control.Reload, error)
}

// Plugins are the plugin processes.
type Plugins interface {
	Plugins() []control.Plugin
	// Restart replaces a plugin's process.
	Restart(ctx context.Context, name string) error
}
