package lifecycle

import "time"

// Effect is something that the engine does for the machine. The set is closed. An operation (it has an Op) is answered
// exactly once, also when it was cancelled; a subscription (Watch, an opened session) is opened and closed.
//
// Each effect names the report that the machine gets when its performer breaks, for example by a panic. An effect
// without an answer has none.
//
//sumtype:decl
type Effect interface {
	onFailure(why Problem) Report
}

// FailureOf returns the report of an operation whose performer broke; nil for an effect without an answer.
func FailureOf(e Effect, why Problem) Report { return e.onFailure(why) }

// Recover asks the launcher for traces of this gateway.
type Recover struct{ Op OpID }

func (Recover) onFailure(why Problem) Report { return Recovered{Result: Failed, Problem: why} }

// ClearServices inspects the configured unloaders and unloads the services that they may unload.
type ClearServices struct{ Op OpID }

func (ClearServices) onFailure(why Problem) Report {
	return ServicesCleared{Result: Failed, Problem: why}
}

// ProbePort asks who has the port. With OnlyFree it asks cheaply whether the port is free, and says nothing else to the
// process that has it.
type ProbePort struct {
	Op       OpID
	OnlyFree bool
}

func (ProbePort) onFailure(why Problem) Report {
	return PortProbed{Holder: HolderStranger, Problem: why}
}

// Preflight looks for what would make the next start fail, before a process that works is ended for a restart.
type Preflight struct{ Op OpID }

// What cannot be checked keeps no restart back.
func (Preflight) onFailure(Problem) Report { return Preflighted{Result: OK} }

// RunHooks runs the operator's programs before a launch, in their order.
type RunHooks struct{ Op OpID }

func (RunHooks) onFailure(why Problem) Report { return HooksDone{Result: Failed, Problem: why} }

// Reload asks the gateway to restart within its process, in a way that its release handles. Launch is "" for a gateway
// that is not ours.
type Reload struct {
	Op      OpID
	Session SessionID
	Launch  LaunchID
}

// The request may have been heard.
func (Reload) onFailure(why Problem) Report { return Reloaded{Result: Unknown, Problem: why} }

// Drain asks the gateway to take no more work and waits until the work in flight has ended.
type Drain struct {
	Op      OpID
	Session SessionID
}

func (Drain) onFailure(why Problem) Report { return Drained{Problem: why} }

// Shutdown asks a gateway that is not ours to end itself.
type Shutdown struct {
	Op      OpID
	Session SessionID
}

func (Shutdown) onFailure(why Problem) Report { return ShutdownAsked{Result: Failed, Problem: why} }

// PrepareLaunch makes a new launch identity durable.
type PrepareLaunch struct{ Op OpID }

func (PrepareLaunch) onFailure(why Problem) Report {
	return LaunchPrepared{Result: Failed, Problem: why}
}

// AlignConfig makes the gateway's own configuration agree with a launch that is about to be made: its token. It may
// edit the gateway's file, so the machine waits for its answer.
type AlignConfig struct {
	Op     OpID
	Launch LaunchID
}

func (AlignConfig) onFailure(why Problem) Report { return ConfigAligned{Result: Failed, Problem: why} }

// Launch starts the process.
type Launch struct {
	Op     OpID
	Launch LaunchID
}

// The process may have been started.
func (Launch) onFailure(why Problem) Report { return Launched{Result: Unknown, Problem: why} }

// Inspect finds out what became of a launch after an unknown answer, and whether the launcher answers at all.
type Inspect struct {
	Op     OpID
	Launch LaunchID
}

func (Inspect) onFailure(why Problem) Report { return Inspected{Result: Failed, Problem: why} }

// ProbeReady asks the port whether a connect would succeed. Port 0 is the configured one.
type ProbeReady struct {
	Op   OpID
	Port int
}

func (ProbeReady) onFailure(Problem) Report { return ReadyProbed{Readiness: ReadinessClosed} }

// OpenSession dials. On success the session lives until CloseSession or SessionClosed.
type OpenSession struct {
	Op      OpID
	Session SessionID
	Port    int
}

func (e OpenSession) onFailure(why Problem) Report {
	return SessionRefused{Session: e.Session, Problem: why}
}

// VerifySession makes one call over the session.
type VerifySession struct {
	Op      OpID
	Session SessionID
}

func (e VerifySession) onFailure(Problem) Report { return Verified{Session: e.Session} }

// Terminate ends a launch and its whole tree of processes.
type Terminate struct {
	Op     OpID
	Launch LaunchID
	Grace  time.Duration
}

func (e Terminate) onFailure(why Problem) Report {
	return Terminated{Result: Unknown, Launch: e.Launch, Problem: why}
}

// Incident is the failed start attempt that a diagnosis starts from.
type Incident struct {
	Launch   LaunchID // whose output to show; empty when there was none
	Exit     *Exit
	Problem  Problem
	Attempt  int
	Repaired bool // a repair was already done in this start
}

// Diagnose asks the doctors about a failed start attempt.
type Diagnose struct {
	Op       OpID
	Incident Incident
}

func (Diagnose) onFailure(Problem) Report { return Diagnosed{} }

// Repair executes one plan, that of the diagnosis which the machine decided on, and no other.
type Repair struct {
	Op   OpID
	Plan PlanID
}

// It may have changed something.
func (Repair) onFailure(why Problem) Report { return Repaired{Result: Unknown, Problem: why} }

// SetTimer is answered by TimerFired after a while.
type SetTimer struct {
	Op    OpID
	After time.Duration
}

func (SetTimer) onFailure(Problem) Report { return TimerFired{} }

// Commands to the engine without an answer of their own.
type (
	// Cancel ends an operation or a timer early. Its answer may still come.
	Cancel struct{ Op OpID }
	// Watch opens the output of a launch and waits for its exit.
	Watch struct {
		Launch  LaunchID
		Adopted bool // launched by an earlier host: its output is read on from where that host stopped
	}
	// Unwatch closes them. The last lines of a launch that has ended are still read first, within a bound.
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
	OutcomeDetached   OutcomeKind = "detached" // a stop ended the connection; the gateway runs on, it is not ours
	OutcomeSuperseded OutcomeKind = "superseded"
	OutcomeFailed     OutcomeKind = "failed"
)

// Outcome is the answer to a command; Problem is set with OutcomeFailed and OutcomeSuperseded.
type Outcome struct {
	Kind    OutcomeKind
	Problem *Problem
}

func (Cancel) onFailure(Problem) Report       { return nil }
func (Watch) onFailure(Problem) Report        { return nil }
func (Unwatch) onFailure(Problem) Report      { return nil }
func (CloseSession) onFailure(Problem) Report { return nil }
func (Release) onFailure(Problem) Report      { return nil }
func (Reply) onFailure(Problem) Report        { return nil }
func (Ignored) onFailure(Problem) Report      { return nil }
