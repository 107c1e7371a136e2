package conformance

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Opener starts processes of one plugin. All of them use the same directories, one process after the other or several
// at once.
type Opener interface {
	// Open starts a process and brings it to the point where the host would call it: it has described itself and taken
	// its table. write names directories that it may write to besides its own, as an operator would grant them.
	// Errors: what the host would say; fault.InvalidArgument when it refuses its table.
	Open(ctx context.Context, write ...string) (Process, error)
	// Places are the directories below which everything lies that processes may leave behind, by name: "data", "run",
	// "runtime", "tmp".
	Places() map[string]string
}

// Process is one process of a plugin and the connection to it. Safe for concurrent use.
type Process interface {
	Conn() grpc.ClientConnInterface
	Info() plugin.Info
	// Asked is what the plugin was configured with.
	Asked() plugin.ConfigureRequest
	// PID is 0 when the plugin has no process of its own.
	PID() int
	// Done is closed when the process has ended; its children may live on.
	Done() <-chan struct{}
	// Drained is closed when no process holds its stdout and stderr any more.
	Drained() <-chan struct{}
	// Printed is what came on stdout besides the handshake, at most a few lines.
	Printed() []string
	// LastLines are its last lines of log.
	LastLines() []string
	// Mark is a NAME=value of its environment that no other process has, but those that it started; "" when there is
	// none.
	Mark() string
	// SocketDir is where its socket is; "" when it has none.
	SocketDir() string
	// Socket is the path of its socket when it speaks without mutual TLS (transport = "socket"), else "".
	Socket() string
	// CloseStdin closes the plugin's stdin, as the death of the host does.
	CloseStdin()
	// Kill ends it, and those of its group, by SIGKILL.
	Kill()
	// Close ends it as a host does that stops, and waits for its end.
	Close()
}

// Bounds of the contract, and what is added to each for a machine that is busy with something else.
const (
	hostGone     = 2 * time.Second // the death pipe closes, the plugin ends
	startTimeout = 30 * time.Second
	slack        = 4 * time.Second
)

// Deadlines of base.proto's table.
const (
	deadlineDiagnose = 30 * time.Second
	deadlinePlan     = 30 * time.Second
	deadlineBatch    = 2 * time.Second
	deadlineLaunch   = 60 * time.Second
	deadlineQuick    = 10 * time.Second // List, Recover, Inspect, Signal, Release of a launcher
	deadlineUnits    = 15 * time.Second
	deadlineChange   = 30 * time.Second
	stopExtra        = 30 * time.Second // Stop: besides its grace
	execExtra        = 15 * time.Second // Exec: besides its timeout
)
