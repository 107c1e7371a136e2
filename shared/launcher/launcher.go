// Package launcher is the kind of plugin that runs gateway processes and finds them again.
//
// The contract (order, deadlines, idempotence, errors) is in shared/proto/gatehost/plugin/v1alpha1/launcher.proto.
package launcher

import (
	"context"
	"time"

	"github.com/gatehost/gatehost/shared/plugin"
)

// Launcher runs gateways on one kind of platform. All methods may be called concurrently. It has more than four methods
// because a process has that many verbs; each of them is needed to supervise a process whose parent one may not be.
type Launcher interface {
	// Launch starts a gateway; idempotent by LaunchID. Errors: fault.NotFound (no such program),
	// fault.PermissionDenied, fault.InvalidArgument, fault.AlreadyExists (same LaunchID with another spec).
	Launch(ctx context.Context, req LaunchRequest) (Launched, error)
	// List returns every instance that can be found, running, or ended and not yet released, or elsewhere; gateway ""
	// means all. All other methods fail with fault.Conflict for an instance elsewhere.
	List(ctx context.Context, gateway string) (Listing, error)
	// Recover takes up an instance that an earlier plugin process launched. Errors: fault.NotFound.
	Recover(ctx context.Context, launchID string) (Instance, error)
	// Inspect returns the facts of this moment. Errors: fault.NotFound.
	Inspect(ctx context.Context, launchID string) (Inspection, error)
	// Output calls sink for each item until End (then it returns nil), ctx is done, or sink fails. Sink is called by
	// one goroutine; items are *LineBatch, *Gap, *Heartbeat and, last, *End. Without Follow it ends after the output
	// that exists.
	Output(ctx context.Context, req OutputRequest, sink func(OutputItem) error) error
	// Signal sends one signal by its POSIX name after checking the identity of the process. Errors: fault.NotFound,
	// fault.FailedPrecondition (it has ended), fault.InvalidArgument.
	Signal(ctx context.Context, launchID, signal string) error
	// Stop ends an instance and returns when no process of its tree is left; grace 0 kills at once. Idempotent.
	Stop(ctx context.Context, launchID string, grace time.Duration) (Stopped, error)
	// Release forgets an ended instance. Errors: fault.FailedPrecondition (it still runs). Unknown ids are fine.
	Release(ctx context.Context, launchID string) error
	// Exec runs a one-shot command in a gateway's context and calls sink for each of its lines, from one goroutine.
	// Cancelling ctx kills its whole tree and waits for it.
	Exec(ctx context.Context, req ExecRequest, sink func(plugin.Line) error) (ExecResult, error)
}

// LaunchRequest starts a gateway.
type LaunchRequest struct {
	LaunchID       string // 1 to 64 of [A-Za-z0-9._-]
	Gateway        plugin.GatewayFacts
	Process        plugin.ProcessSpec
	Grace          time.Duration
	OrphanGrace    *time.Duration // nil: never
	OutputMaxBytes uint64
	Labels         map[string]string
}

// Launched is the answer to Launch.
type Launched struct {
	Instance        Instance
	AlreadyLaunched bool
}

// Phase is where a launched process is in its life.
type Phase int

// The phases.
const (
	PhaseStarting Phase = iota + 1
	PhaseRunning
	PhaseEnded
	PhaseUnwatched // it lives, but its shim does not
	PhaseFailed    // its program never ran
	PhaseElsewhere // it lives, or may live, where this launcher cannot look; Detail says where
)

// String is the lower-case word for logs.
func (p Phase) String() string {
	switch p {
	case PhaseStarting:
		return "starting"
	case PhaseRunning:
		return "running"
	case PhaseEnded:
		return "ended"
	case PhaseUnwatched:
		return "unwatched"
	case PhaseFailed:
		return "failed"
	case PhaseElsewhere:
		return "elsewhere"
	default:
		return "unknown"
	}
}

// Instance is one launched process.
type Instance struct {
	LaunchID  string
	Gateway   string
	Phase     Phase
	PID       int
	StartTime string // the kernel's, opaque; with PID and BootID it proves identity
	BootID    string
	StartedAt time.Time
	Exit      *plugin.Exit // in PhaseEnded and PhaseFailed
	OutputEnd uint64
	Labels    map[string]string
	Detail    string
	ShimPID   int
}

// Live reports whether the process of i is believed to exist, and is in reach: see PhaseElsewhere.
func (i Instance) Live() bool {
	return i.Phase == PhaseStarting || i.Phase == PhaseRunning || i.Phase == PhaseUnwatched
}

// Listing is the answer to List.
type Listing struct {
	Instances []Instance
	Broken    []BrokenBundle
}

// BrokenBundle is a launch that could not be read and was not removed; Path is where it is now.
type BrokenBundle struct{ Path, Reason string }

// Inspection is the answer to Inspect; zero figures are unknown.
type Inspection struct {
	Instance  Instance
	RSSBytes  uint64
	Processes int
}

// OutputRequest opens the output of an instance after a cursor; 0 means all that is kept.
type OutputRequest struct {
	LaunchID string
	Cursor   uint64
	Follow   bool
}

// OutputItem is one of *LineBatch, *Gap, *Heartbeat, *End.
//
//sumtype:decl
type OutputItem interface{ outputItem() }

// LineBatch is lines in order of arrival, at most 256.
type LineBatch struct{ Lines []plugin.Line }

// Gap says that output was lost before it could be read; continue at To. ToLine is how many lines, of both streams
// together, ended before To since the launch began, so that a reader who counts lines knows how many are lost. 0 when
// that is not known.
type Gap struct{ From, To, Bytes, ToLine uint64 }

// Heartbeat says that the stream is alive and has nothing new.
type Heartbeat struct{ Cursor uint64 }

// End says that there will be no more output.
type End struct {
	Exit      plugin.Exit
	EndCursor uint64
	Truncated bool // a descendant still held a pipe
}

func (*LineBatch) outputItem() {}
func (*Gap) outputItem()       {}
func (*Heartbeat) outputItem() {}
func (*End) outputItem()       {}

// Stopped is the answer to Stop.
type Stopped struct {
	Exit   plugin.Exit
	Killed bool // SIGKILL was needed
	Swept  int  // descendants that had to be killed as well
}

// ExecRequest runs a one-shot command.
type ExecRequest struct {
	Gateway        plugin.GatewayFacts
	Process        plugin.ProcessSpec
	Timeout        time.Duration // must be positive
	Stdin          []byte        // at most 1 MiB
	MaxOutputBytes uint64        // 0: 4 MiB
}

// ExecResult is how it ended.
type ExecResult struct {
	Exit         plugin.Exit
	TimedOut     bool
	DroppedBytes uint64
}
