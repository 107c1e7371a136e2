package lifecycle

import "time"

// Input is something that reaches the machine: a request, the answer to an effect, or a fact. The set is closed.
//
//sumtype:decl
type Input interface{ input() }

// Answer is the answer to an operation: what was found or done, under the id of the effect. It comes exactly once for
// each operation, also when the operation was cancelled.
type Answer struct {
	Op     OpID
	Report Report
}

// The operator's requests. Each is answered by exactly one Reply.
type (
	// StartRequested wants the gateway up.
	StartRequested struct {
		Command CommandID
		Auto    bool // by the host itself when it begins: ignored once an operator has requested anything
		Adopt   bool // only adopt a gateway that runs already; start none
	}
	// StopRequested wants it down.
	StopRequested struct {
		Command CommandID
		Now     bool // kill at once instead of waiting the grace
		Drain   bool // let work in flight end first
		// External: ask an attached gateway to shut down before detaching from it (B211). Default: only detach.
		External bool
	}
	// RestartRequested wants a new process. A Delay is a debounce: such a request never starts a gateway that is down
	// (B245).
	RestartRequested struct {
		Command CommandID
		Delay   time.Duration
		Force   bool // also when the next start would fail
	}
	// ReloadRequested wants the gateway to read its configuration again.
	ReloadRequested struct {
		Command CommandID
		Delay   time.Duration
	}
)

// Facts that arrive without a request.
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
	// ErrorRevised replaces the error that is shown, since a person has changed what it was about: the configuration was
	// repaired, or a repair was undone. Since is the time of the error that is meant: an error that came later stays.
	ErrorRevised struct {
		Since   time.Time
		Problem Problem
	}
	// Reconfigured says that the operator's settings have changed, and which of them differ from those that the process
	// was launched with. The policy of this step and of later ones is the new one. Timers that are armed keep their
	// time.
	Reconfigured struct{ Drift []string }
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
func (Answer) input()           {}
func (ProcessExited) input()    {}
func (WatchLost) input()        {}
func (OutputSeen) input()       {}
func (SymptomSeen) input()      {}
func (SessionClosed) input()    {}
func (SessionAlive) input()     {}
func (ErrorRevised) input()     {}
func (Reconfigured) input()     {}
