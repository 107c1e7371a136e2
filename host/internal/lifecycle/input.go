package lifecycle

import "time"

// Input is a fact or a wish that reaches the machine. The set is closed.
//
//sumtype:decl
type Input interface{ input() }

// Result is how an effect ended.
type Result int

// Results.
const (
	OK Result = iota + 1
	Failed
	// Unknown: the performer died in the middle; whether the effect happened has to be found out.
	Unknown
)

// The operator's wishes; each is answered by exactly one Reply.
type (
	// StartRequested wants the gateway up.
	StartRequested struct {
		Command CommandID
		Auto    bool // by the host when it begins: it counts for nothing once an operator has asked for anything
		Adopt   bool // only take up what runs already; where nothing does, nothing is started
	}
	// StopRequested wants it down.
	StopRequested struct {
		Command CommandID
		Now     bool // kill at once instead of waiting the grace
		Drain   bool // let work in flight end first
		// External: a gateway that is not ours is asked to shut down before it is let go (B211). Without it, it is only let go.
		External bool
	}
	// RestartRequested wants a new process. A Delay is a debounce: such a wish never starts a gateway that is down (B245).
	RestartRequested struct {
		Command CommandID
		Delay   time.Duration
	}
	// ReloadRequested wants the gateway to read its configuration again.
	ReloadRequested struct {
		Command CommandID
		Delay   time.Duration
	}
)

// Answers to effects; Op is that of the effect.
type (
	// Recovered answers Recover: launches of this gateway that left a trace.
	Recovered struct {
		Op        OpID
		Result    Result
		Instances []Instance // newest last
		Problem   Problem
	}
	// ServicesCleared answers ClearServices.
	ServicesCleared struct {
		Op      OpID
		Result  Result
		Problem Problem // with Failed: a service with leave to unload could not be
	}
	// PortProbed answers ProbePort.
	PortProbed struct {
		Op      OpID
		Holder  Holder
		Problem Problem // says who, with HolderStranger and HolderGateway
	}
	// HooksDone answers RunHooks. Failed: one that is required did.
	HooksDone struct {
		Op      OpID
		Result  Result
		Problem Problem
	}
	// Reloaded answers Reload: whether the gateway took the wish. Failed: it cannot, or refused.
	Reloaded struct {
		Op      OpID
		Result  Result
		Problem Problem
	}
	// Drained answers Drain: nothing is in flight any more, or it cannot be waited for.
	Drained struct {
		Op      OpID
		Problem Problem // why it was not waited for; zero when it was
	}
	// ShutdownAsked answers Shutdown. Failed: it cannot, or refused, and runs on.
	ShutdownAsked struct {
		Op      OpID
		Result  Result
		Problem Problem
	}
	// LaunchPrepared answers PrepareLaunch: the identity is durable now.
	LaunchPrepared struct {
		Op      OpID
		Result  Result
		Launch  LaunchID
		Problem Problem
	}
	// Launched answers Launch.
	Launched struct {
		Op       OpID
		Result   Result
		Instance Instance
		Problem  Problem
	}
	// Inspected answers Inspect. Found false: there is no trace of it.
	Inspected struct {
		Op       OpID
		Result   Result
		Found    bool
		Instance Instance
		Problem  Problem
	}
	// ReadyProbed answers ProbeReady.
	ReadyProbed struct {
		Op        OpID
		Readiness Readiness
	}
	// SessionOpened answers OpenSession.
	SessionOpened struct {
		Op      OpID
		Session SessionID
		Hello   Hello
	}
	// SessionRefused answers OpenSession, too.
	SessionRefused struct {
		Op         OpID
		Session    SessionID
		Retryable  bool          // the gateway says that it is still starting, or the socket was not to be had
		RetryAfter time.Duration // bounded by the session
		Problem    Problem       // Fatal: credentials, pairing, protocol
	}
	// Verified answers VerifySession.
	Verified struct {
		Op      OpID
		Session SessionID
		Alive   bool
		Why     VerifyFailure // when not Alive
	}
	// Terminated answers Terminate: OK means that nothing of the launch is alive.
	Terminated struct {
		Op      OpID
		Result  Result
		Launch  LaunchID
		Exit    Exit
		Problem Problem
	}
	// Diagnosed answers Diagnose. Found false: the doctors know nothing.
	Diagnosed struct {
		Op         OpID
		Found      bool
		Problem    Problem // the finding that counts
		Repairable bool
		OtherOwner bool
	}
	// Repaired answers Repair.
	Repaired struct {
		Op      OpID
		Result  Result
		Problem Problem
	}
	// TimerFired answers SetTimer.
	TimerFired struct{ Op OpID }
)

// Facts that nobody asked for just now.
type (
	// ProcessExited is the end of a launched process, after its output was read.
	ProcessExited struct {
		Launch LaunchID
		Exit   Exit
	}
	// WatchLost says that a live process is no longer watched: its shim is gone.
	WatchLost struct {
		Launch  LaunchID
		Problem Problem
	}
	// OutputSeen is a sign of progress; coalesced by the engine.
	OutputSeen struct{ Launch LaunchID }
	// SymptomSeen is a meaning found in the output of a launch.
	SymptomSeen struct {
		Launch  LaunchID
		Symptom Symptom
		Text    string
	}
	// SessionClosed is the end of an opened session.
	SessionClosed struct {
		Session  SessionID
		Code     int
		Announce Announce
		Expected time.Duration // with AnnounceRestart
	}
	// SessionAlive says that something came from the gateway; coalesced by the engine.
	SessionAlive struct{ Session SessionID }
	// Reconfigured says that the operator's settings are others from now on, and in what they differ from those that the process was
	// launched with. The policy that comes with this step and the next is the new one; timers that are armed keep their time.
	Reconfigured struct{ Drift []string }
)

// Instance is one launch as a launcher found it.
type Instance struct {
	Launch  LaunchID
	Live    bool
	Watched bool // false: it lives without its shim
	Process Process
	Exit    Exit     // when not Live
	Drift   []string // what the configuration says otherwise now than when it was launched
}

// Holder is who has the port.
type Holder int

// Holders.
const (
	HolderNobody   Holder = iota + 1
	HolderGateway         // a gateway that is not ours
	HolderStranger        // anything else
)

// Readiness is what a probe of the port showed.
type Readiness int

// Readiness, worst first.
const (
	ReadinessClosed   Readiness = iota + 1 // nothing listens
	ReadinessStarting                      // it answers that it is not ready yet
	ReadinessOpen                          // something listens; only a connect will tell
	ReadinessReady                         // it answers that it is ready
)

// Announce is what a gateway said before it closed the session.
type Announce int

// Announcements.
const (
	AnnounceNothing Announce = iota
	AnnounceRestart          // a shutdown event with restartExpectedMs, or a bare 1012
	AnnounceStop             // a shutdown event without
)

func (StartRequested) input()   {}
func (StopRequested) input()    {}
func (RestartRequested) input() {}
func (ReloadRequested) input()  {}
func (HooksDone) input()        {}
func (Reloaded) input()         {}
func (Drained) input()          {}
func (ShutdownAsked) input()    {}
func (Recovered) input()        {}
func (ServicesCleared) input()  {}
func (PortProbed) input()       {}
func (LaunchPrepared) input()   {}
func (Launched) input()         {}
func (Inspected) input()        {}
func (ReadyProbed) input()      {}
func (SessionOpened) input()    {}
func (SessionRefused) input()   {}
func (Verified) input()         {}
func (Terminated) input()       {}
func (Diagnosed) input()        {}
func (Repaired) input()         {}
func (TimerFired) input()       {}
func (ProcessExited) input()    {}
func (WatchLost) input()        {}
func (OutputSeen) input()       {}
func (SymptomSeen) input()      {}
func (SessionClosed) input()    {}
func (SessionAlive) input()     {}
func (Reconfigured) input()     {}
