package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// Fact is something that a step or an observation showed. The set is closed. Facts come in the order in which readers are to see them.
//
//sumtype:decl
type Fact interface{ fact() }

// The facts.
type (
	// StateChanged is a change of the state or the phase. What follows is caused by it.
	StateChanged struct{ control.StateData }
	// ProcessEnded is the end of a process; of one process at most two: again when how it ended becomes known. What follows is caused by it.
	ProcessEnded struct {
		control.ExitData

		Counted bool // the first about a launch of this host's time
	}
	// SessionOpened is a session that the lifecycle took.
	SessionOpened struct{ control.SessionData }
	// SessionLost is the end of the present session that the gateway, or the network, made. What follows is caused by it.
	SessionLost struct{ control.SessionData }
	// SessionChanged is the end of a session or the begin of another; Closed and Opened may both be set. Code is of the close: 1000 is ours.
	SessionChanged struct {
		Closed, Opened bool
		Code           int
	}
	// ConditionChanged is a condition that came, says something else, or went.
	ConditionChanged struct{ control.ConditionData }
	// ReconnectChanged is an automatic attempt that is scheduled or came to an end. Delay is that of a scheduled one; Reason says why the
	// gateway was lost.
	ReconnectChanged struct {
		control.ReconnectData

		Delay  time.Duration
		Reason string
	}
	// Restarted is a process that was lost or ended to be replaced; Suppressed: it will not be, by itself.
	Restarted struct {
		Cause      string
		Suppressed bool
	}
	// StartEnded is the end of a start. SpawnToReady is 0 unless it launched a process that came to running.
	StartEnded struct {
		Waterfall    Waterfall
		SpawnToReady time.Duration
		Problem      *lifecycle.Problem // of a start that ended in error
		Attempt      int
	}
	// SlowStage is a stage of the gateway's own start that took long.
	SlowStage struct {
		Name string
		Took time.Duration
	}
)

func (StateChanged) fact()     {}
func (ProcessEnded) fact()     {}
func (SessionOpened) fact()    {}
func (SessionLost) fact()      {}
func (SessionChanged) fact()   {}
func (ConditionChanged) fact() {}
func (ReconnectChanged) fact() {}
func (Restarted) fact()        {}
func (StartEnded) fact()       {}
func (SlowStage) fact()        {}
