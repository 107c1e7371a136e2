package lifecycle

import "time"

// Effect is something that the engine does for the machine. The set is closed. An operation (it has an Op) is answered
// exactly once, also when it was cancelled; a subscription (Watch, an opened session) is opened and closed.
//
//sumtype:decl
type Effect interface{ effect() }

// Operations.
type (
	// Recover asks the launcher for traces of this gateway.
	Recover struct{ Op OpID }
	// ClearServices inspects the configured unloaders and unloads what they have leave for.
	ClearServices struct{ Op OpID }
	// ProbePort asks who has the port.
	ProbePort struct{ Op OpID }
	// RunHooks runs the operator's programs before a launch, in their order.
	RunHooks struct{ Op OpID }
	// Reload asks the gateway to restart within its process, by what it is known to handle; Launch is "" for one that is not ours.
	Reload struct {
		Op      OpID
		Session SessionID
		Launch  LaunchID
	}
	// Drain asks the gateway to take no more work and waits until what is in flight has ended.
	Drain struct {
		Op      OpID
		Session SessionID
	}
	// Shutdown asks a gateway that is not ours to end itself.
	Shutdown struct {
		Op      OpID
		Session SessionID
	}
	// PrepareLaunch makes a new launch identity durable.
	PrepareLaunch struct{ Op OpID }
	// Launch starts the process.
	Launch struct {
		Op     OpID
		Launch LaunchID
	}
	// Inspect finds out what became of a launch after an unknown answer, and whether the launcher answers at all.
	Inspect struct {
		Op     OpID
		Launch LaunchID
	}
	// ProbeReady asks the port whether a connect would succeed. Port 0 is the configured one.
	ProbeReady struct {
		Op   OpID
		Port int
	}
	// OpenSession dials, and on success the session lives until CloseSession or SessionClosed.
	OpenSession struct {
		Op      OpID
		Session SessionID
		Port    int
	}
	// VerifySession makes one call over the session.
	VerifySession struct {
		Op      OpID
		Session SessionID
	}
	// Terminate ends a launch and its whole tree.
	Terminate struct {
		Op     OpID
		Launch LaunchID
		Grace  time.Duration
	}
	// Diagnose asks the doctors about the failed start.
	Diagnose struct {
		Op       OpID
		Launch   LaunchID // whose output to show; empty when there was none
		Exit     *Exit
		Problem  Problem
		Attempt  int
		Repaired bool
	}
	// Repair executes the plan that the last Diagnose found.
	Repair struct{ Op OpID }
	// SetTimer answers TimerFired after a while.
	SetTimer struct {
		Op    OpID
		After time.Duration
	}
)

// Commands to the engine without an answer of their own.
type (
	// Cancel ends an operation or a timer early. Its answer may still come.
	Cancel struct{ Op OpID }
	// Watch opens the output and exit of a launch.
	Watch struct {
		Launch  LaunchID
		Adopted bool // from an earlier host: output goes on where that one stopped
	}
	// Unwatch closes it. Of a launch that has ended, what it wrote last is still read first, within a bound.
	Unwatch struct {
		Launch LaunchID
		Ended  bool
	}
	// CloseSession ends a session politely.
	CloseSession struct{ Session SessionID }
	// Release forgets an ended launch; its exit is recorded in State.
	Release struct{ Launch LaunchID }
	// Reply answers a command.
	Reply struct {
		Command CommandID
		Outcome Outcome
	}
	// Ignored says why an input changed nothing; for the log.
	Ignored struct{ Reason string }
)

// OutcomeKind is how a command ended.
type OutcomeKind string

// Outcomes (B021, B030, B231).
const (
	OutcomeApplied    OutcomeKind = "applied"
	OutcomeJoined     OutcomeKind = "joined"
	OutcomeDeferred   OutcomeKind = "deferred" // put off first, then applied
	OutcomeSuperseded OutcomeKind = "superseded"
	OutcomeFailed     OutcomeKind = "failed"
)

// Outcome is the answer to a command; Problem is set with OutcomeFailed and OutcomeSuperseded.
type Outcome struct {
	Kind    OutcomeKind
	Problem *Problem
}

func (Recover) effect()       {}
func (RunHooks) effect()      {}
func (Reload) effect()        {}
func (Drain) effect()         {}
func (Shutdown) effect()      {}
func (ClearServices) effect() {}
func (ProbePort) effect()     {}
func (PrepareLaunch) effect() {}
func (Launch) effect()        {}
func (Inspect) effect()       {}
func (ProbeReady) effect()    {}
func (OpenSession) effect()   {}
func (VerifySession) effect() {}
func (Terminate) effect()     {}
func (Diagnose) effect()      {}
func (Repair) effect()        {}
func (SetTimer) effect()      {}
func (Cancel) effect()        {}
func (Watch) effect()         {}
func (Unwatch) effect()       {}
func (CloseSession) effect()  {}
func (Release) effect()       {}
func (Reply) effect()         {}
func (Ignored) effect()       {}
