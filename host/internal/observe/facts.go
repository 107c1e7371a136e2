package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// Fact is something that a step or a sight showed. The set is closed. Facts come in the order in which readers are to
// see them.
//
//sumtype:decl
type Fact interface{ fact() }

// The facts.
type (
	// StateChanged is a change of the state or the phase. It causes what follows.
	StateChanged struct{ control.StateData }
	// ProcessEnded is the end of a process. One process has at most two: the second comes when it becomes known how the
	// process ended. It causes what follows.
	ProcessEnded struct {
		control.ExitData

		Counted bool // it is the first of a launch that this host saw running
	}
	// SessionOpened is a session that the lifecycle accepted.
	SessionOpened struct{ control.SessionData }
	// SessionLost is the end of the present session, caused by the gateway or the network. It causes what follows.
	SessionLost struct{ control.SessionData }
	// SessionChanged is the end of a session or the begin of another; Closed and Opened may both be set. Code is that of
	// the close: 1000 when this host closed.
	SessionChanged struct {
		Closed, Opened bool
		Code           int
	}
	// ConditionChanged is a condition that came, went, or has another message.
	ConditionChanged struct{ control.ConditionData }
	// ReconnectChanged is an automatic attempt that was scheduled or has ended. Delay is that of a scheduled one; Reason
	// says why the gateway was lost.
	ReconnectChanged struct {
		control.ReconnectData

		Delay  time.Duration
		Reason string
	}
	// Restarted is a process that was lost, or was ended in order to replace it; Suppressed: nothing replaces it
	// automatically.
	Restarted struct {
		Cause      string
		Suppressed bool
	}
	// StartEnded is the end of a start. SpawnToReady is 0 unless the start launched a process that came to running.
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
