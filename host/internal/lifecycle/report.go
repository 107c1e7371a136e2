package lifecycle

import "time"

// Report is what the answer to an operation says. The set is closed.
//
//sumtype:decl
type Report interface{ report() }

// ReportOf returns the report of type R that an input carries, if the input is an answer with such a report.
func ReportOf[R Report](in Input) (r R, ok bool) {
	a, isAnswer := in.(Answer)
	if !isAnswer {
		return r, false
	}
	r, ok = a.Report.(R)
	return r, ok
}

// Result is how an effect ended.
type Result int

// Results.
const (
	OK Result = iota + 1
	Failed
	// Unknown: the performer died in the middle; whether the effect happened has to be found out.
	Unknown
)

// Recovered answers Recover: the launches of this gateway that left a trace.
type Recovered struct {
	Result    Result
	Instances []Instance // newest last
	Problem   Problem
}

func (Recovered) report() {}

// ServicesCleared answers ClearServices.
type ServicesCleared struct {
	Result  Result
	Problem Problem // with Failed: a service that may be unloaded could not be
}

func (ServicesCleared) report() {}

// PortProbed answers ProbePort.
type PortProbed struct {
	Holder  Holder
	Problem Problem // says who, with HolderStranger and HolderGateway
}

func (PortProbed) report() {}

// Preflighted answers Preflight. Failed: the next start would fail, for this reason.
type Preflighted struct {
	Result  Result
	Problem Problem
}

func (Preflighted) report() {}

// HooksDone answers RunHooks. Failed: one that is required did.
type HooksDone struct {
	Result  Result
	Problem Problem
}

func (HooksDone) report() {}

// Reloaded answers Reload: whether the gateway accepted the request. Failed: it cannot, or refused.
type Reloaded struct {
	Result  Result
	Problem Problem
}

func (Reloaded) report() {}

// Drained answers Drain: nothing is in flight any more, or it cannot be waited for.
type Drained struct {
	Problem Problem // why it was not waited for; zero when it was
}

func (Drained) report() {}

// ShutdownAsked answers Shutdown. Failed: it cannot, or refused, and runs on.
type ShutdownAsked struct {
	Result  Result
	Problem Problem
}

func (ShutdownAsked) report() {}

// LaunchPrepared answers PrepareLaunch: the identity is durable.
type LaunchPrepared struct {
	Result  Result
	Launch  LaunchID
	Problem Problem
}

func (LaunchPrepared) report() {}

// ConfigAligned answers AlignConfig. Failed does not prevent the launch: the gateway itself says better what is wrong
// with its file.
type ConfigAligned struct {
	Result  Result
	Problem Problem
}

func (ConfigAligned) report() {}

// Launched answers Launch.
type Launched struct {
	Result   Result
	Instance Instance
	Problem  Problem
}

func (Launched) report() {}

// Inspected answers Inspect. Found false: there is no trace of it.
type Inspected struct {
	Result   Result
	Found    bool
	Instance Instance
	Problem  Problem
}

func (Inspected) report() {}

// ReadyProbed answers ProbeReady.
type ReadyProbed struct {
	Readiness Readiness
}

func (ReadyProbed) report() {}

// SessionOpened answers OpenSession.
type SessionOpened struct {
	Session SessionID
	Hello   Hello
}

func (SessionOpened) report() {}

// SessionRefused answers OpenSession, too.
type SessionRefused struct {
	Session    SessionID
	Retryable  bool          // the gateway says that it is still starting, or the socket could not be opened
	RetryAfter time.Duration // bounded by the session
	Problem    Problem       // Fatal: credentials, pairing, protocol
}

func (SessionRefused) report() {}

// Verified answers VerifySession.
type Verified struct {
	Session SessionID
	Alive   bool
	Why     VerifyFailure // when not Alive
}

func (Verified) report() {}

// Terminated answers Terminate: OK means that nothing of the launch is alive.
type Terminated struct {
	Result  Result
	Launch  LaunchID
	Exit    Exit
	Problem Problem
}

func (Terminated) report() {}

// Diagnosed answers Diagnose. Found false: the doctors know nothing.
type Diagnosed struct {
	Found      bool
	Problem    Problem // the finding that counts
	Plan       PlanID  // the repair that is proposed for it; "": there is none
	OtherOwner bool    // another program has the gateway's port or state
}

func (Diagnosed) report() {}

// Repaired answers Repair.
type Repaired struct {
	Result  Result
	Problem Problem
}

func (Repaired) report() {}

// TimerFired answers SetTimer.
type TimerFired struct{}

func (TimerFired) report() {}

// Instance is one launch as a launcher found it.
type Instance struct {
	Launch  LaunchID
	Live    bool
	Watched bool // false: it lives without its shim
	Process Process
	Exit    Exit     // when not Live
	Drift   []string // the settings that have changed since it was launched
	// Elsewhere: it lives, or may live, in a place that this host cannot look at, such as a container or a machine that
	// shares the state directory; which one and since when, for people. Such a launch is not Live, and is left alone.
	Elsewhere string
}

// Holder is who has the port.
type Holder int

// Holders.
const (
	HolderNone     Holder = iota + 1
	HolderGateway         // a gateway that gatehost did not start
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
