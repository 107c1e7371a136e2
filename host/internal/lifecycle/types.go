package lifecycle

import "time"

// LaunchID names one launch of a process; it is durable before the process exists.
type LaunchID string

// SessionID names one WebSocket session of this host process.
type SessionID uint64

// OpID names one effect that answers, or one timer.
type OpID uint64

// PlanID names one repair that a diagnosis proposed.
type PlanID string

// CommandID names one request of an operator; the engine hands them out.
type CommandID uint64

// Public is the state as operators see it (B001).
type Public string

// The public states.
const (
	Stopped      Public = "stopped"
	Starting     Public = "starting"
	Running      Public = "running"
	Reconnecting Public = "reconnecting"
	Stopping     Public = "stopping"
	Error        Public = "error"
)

// Phase is the step within a public state.
type Phase string

// The phases, in the order of a start, then those of the way down. docs/lifecycle.md shows the comments.
const (
	PhaseStopped    Phase = "stopped"    // down; no process is owned
	PhaseRecovering Phase = "recovering" // asking the launcher for launches of earlier hosts
	PhaseServices   Phase = "services"   // clearing platform services that also manage the gateway
	PhaseProbing    Phase = "probing"    // asking who has the port
	PhaseHooks      Phase = "hooks"      // running the operator's programs before a launch
	PhasePreparing  Phase = "preparing"  // making the identity of the launch durable
	PhaseAligning   Phase = "aligning"   // making the gateway's own configuration agree with the launch
	PhaseLaunching  Phase = "launching"  // starting the process
	PhaseReady      Phase = "ready"      // waiting until the gateway would accept a connect
	PhaseConnecting Phase = "connecting" // opening a session
	PhaseRunning    Phase = "running"    // a session is open
	PhaseVerifying  Phase = "verifying"  // running, but silent: one call decides
	PhaseReloading  Phase = "reloading"  // running, and asked to restart within its process
	PhaseDraining   Phase = "draining"   // on the way down: work in flight may end first
	PhaseClearing   Phase = "clearing"   // ending the owned process; State.After says why
	PhaseDiagnosing Phase = "diagnosing" // asking the doctors about a failed start
	PhaseRepairing  Phase = "repairing"  // executing the plan of a doctor
	PhaseRetryWait  Phase = "retry-wait" // waiting before the next attempt of a start
	PhaseBackoff    Phase = "backoff"    // waiting before an automatic attempt
	PhaseError      Phase = "error"      // failed; tried slowly, or not at all
)

// Flow is the reason for which the chain of phases runs.
type Flow string

// The flows.
const (
	FlowNone   Flow = ""
	FlowStart  Flow = "start"  // an operator requested it
	FlowRevive Flow = "revive" // the gateway was lost; a new process is started
	FlowRejoin Flow = "rejoin" // only the connection was lost; the process lives
)

// After is what follows bringDown.
type After string

// What follows when no owned process is alive.
const (
	AfterNothing After = ""
	AfterRest    After = "rest"    // the operator's stop
	AfterRestart After = "restart" // the operator's restart
	AfterFailed  After = "failed"  // a start attempt failed: judge State.Cause
	AfterLost    After = "lost"    // a running gateway was lost: back off and revive
	AfterGiveUp  After = "give-up" // go to error with State.Cause
	AfterBegin   After = "begin"   // what an earlier host left has ended: go on with the start
)

// Owner says who owns the process of the gateway.
type Owner string

// Owners.
const (
	OwnerNone     Owner = "none"
	OwnerOwned    Owner = "owned"
	OwnerAttached Owner = "attached" // gatehost did not start it; never signalled
)

// Problem is an error with a stable code and a hint.
type Problem struct {
	Code    string
	Message string
	Hint    string
	// Fatal: trying again without a change is pointless.
	Fatal bool
	// RetryAfter is when an automatic attempt may help already; 0: as late as any slow attempt.
	RetryAfter time.Duration
}

// Exit is how a process ended.
type Exit struct {
	Code    int
	Signal  string
	Known   bool
	At      time.Time
	Core    bool          // the kernel wrote a core file
	Durable bool          // its record is known to be on disk
	Lasted  time.Duration // since the process began; 0: not known
}

// Process is the owned process.
type Process struct {
	PID       int
	StartedAt time.Time
	Port      int // that it was launched with; 0: the configured one
}

// Hello is the part of the gateway's hello that the machine keeps.
type Hello struct {
	Protocol int
	Version  string
	BootID   string
	ConnID   string
}

// VerifyFailure is the reason of a failed verification, as a category: the text of the error may hold secrets (B276).
type VerifyFailure string

// Categories; the words are the table's.
const (
	VerifyTimeout VerifyFailure = "deadline-probe-timeout"
	VerifyFailed  VerifyFailure = "deadline-probe-failed"
)

// Verification is the last call that decided whether a silent gateway is alive.
type Verification struct {
	At    time.Time
	Alive bool // also when a sign of life came during the call
	Why   VerifyFailure
}

// Condition is a defect of a gateway that runs.
type Condition struct {
	Code    string
	Message string
	Hint    string
	Since   time.Time
}

// Symptom is the meaning of a line of output, as far as the machine acts on it. The words are those of plugin.Symptom.
type Symptom string

// The symptoms that the machine knows.
const (
	SymptomConfigInvalid      Symptom = "config-invalid"
	SymptomRuntimeFatal       Symptom = "runtime-fatal"
	SymptomMigrationLocked    Symptom = "migration-locked"
	SymptomPortConflict       Symptom = "port-conflict"
	SymptomStateLocked        Symptom = "state-locked"
	SymptomChannelsSuppressed Symptom = "channels-suppressed"
	SymptomZombie             Symptom = "zombie"
	SymptomConfigMissing      Symptom = "config-missing"
)
