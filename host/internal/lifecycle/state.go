package lifecycle

import (
	"maps"
	"slices"
	"time"
)

// OpKind is the kind of a pending operation or timer.
type OpKind string

// Kinds of operations, then of timers.
const (
	OpRecover   OpKind = "recover"
	OpServices  OpKind = "services"
	OpPort      OpKind = "port"
	OpPrepare   OpKind = "prepare"
	OpAlign     OpKind = "align"
	OpLaunch    OpKind = "launch"
	OpInspect   OpKind = "inspect"
	OpReach     OpKind = "reach" // does the launcher answer, before a restart that no operator requested
	OpReady     OpKind = "ready"
	OpSession   OpKind = "session"
	OpVerify    OpKind = "verify"
	OpTerminate OpKind = "terminate"
	OpDiagnose  OpKind = "diagnose"
	OpRepair    OpKind = "repair"
	OpHooks     OpKind = "hooks"
	OpReload    OpKind = "reload"
	OpDrain     OpKind = "drain"
	OpShutdown  OpKind = "shutdown"
	OpPreflight OpKind = "preflight"

	TimerProbe      OpKind = "timer-probe"
	TimerNoProgress OpKind = "timer-no-progress"
	TimerStart      OpKind = "timer-start"
	TimerRepair     OpKind = "timer-repair"
	TimerRetry      OpKind = "timer-retry"
	TimerBackoff    OpKind = "timer-backoff"
	TimerRejoin     OpKind = "timer-rejoin"
	TimerSilence    OpKind = "timer-silence"
	TimerSlow       OpKind = "timer-slow"
	TimerTerminate  OpKind = "timer-terminate"
	TimerRefresh    OpKind = "timer-refresh"
	TimerReload     OpKind = "timer-reload"
	TimerBreaker    OpKind = "timer-breaker"
	TimerElsewhere  OpKind = "timer-elsewhere"
	TimerPort       OpKind = "timer-port"
)

// Op is a pending operation or timer.
type Op struct {
	Kind    OpKind
	Launch  LaunchID
	Session SessionID
	// Abandoned: its result is not wanted any more, but the machine must know what it did before it goes on.
	Abandoned bool
}

// mustSettle says that the machine may not go on before the answer is there, since the effect may have created or may
// still be changing something.
func (o Op) mustSettle() bool {
	switch o.Kind {
	case OpHooks, OpAlign, OpLaunch, OpInspect, OpTerminate, OpRepair:
		return true
	default:
		return false
	}
}

// mayLaunch says that the operation is a step of a launch: its answer tells whether there is a process.
func (o Op) mayLaunch() bool { return o.Kind == OpAlign || o.Kind == OpLaunch || o.Kind == OpInspect }

// waiterKind says which command waits.
type waiterKind int

const (
	waitStart waiterKind = iota + 1
	waitStop
	waitRestart
	waitReload
)

// Waiter is a command that has not been answered.
type Waiter struct {
	Command CommandID
	kind    waiterKind
	outcome OutcomeKind // given on success
	extern  bool        // a stop that wants an attached gateway ended, too
	force   bool        // a restart that is not kept back by a preflight
	held    bool        // it waits until it is due and the gateway is up

	// Of a refresh.
	delay time.Duration
	first time.Time // when the debounce that it is part of began
	due   time.Time
}

// State is everything that is known about one gateway. It is a value: Step never changes the one it was given.
type State struct {
	Phase      Phase
	PhaseSince time.Time
	Flow       Flow
	After      After // in PhaseClearing
	Up         bool  // the operator wants the gateway up
	Epoch      uint64

	Launch   LaunchID // the owned launch; set before it exists, cleared when nothing of it is alive
	Process  Process
	Adopted  bool
	adopting bool // this flow only adopts a gateway that runs already
	// Drift names the settings that have changed since the launch. It is shown, and the next restart applies them; the
	// machine never restarts a gateway for it (R26).
	Drift    []string
	Attached bool
	Failed   LaunchID // the launch of the attempt that just failed, for the diagnosis

	Session     SessionID
	Hello       *Hello
	ConnectedAt time.Time
	LastAlive   time.Time
	LastVerify  *Verification
	LastHello   *Hello // survives the session: version in status while reconnecting

	Cause      Problem // of the way down, or of the retry
	Err        *Problem
	LastExit   *Exit
	Readiness  Readiness
	Conditions []Condition

	Attempt  int    // in this flow, from 1
	Plan     PlanID // of the repair that was decided on last
	Repaired bool   // in this flow
	repair   repairState

	Reconnects   int // automatic attempts since the last stable period (invariant 5)
	pace         pace
	Restarts     int // processes lost, or ended by a restart, since the host began
	RunningSince time.Time
	RestartedAt  time.Time // begin of the last restart that was requested
	SpawnedAt    time.Time // begin of the present process, also of an adopted one

	ending ending
	// leftoversKnown: the launches of earlier hosts are known, and none of them can be alive but Launch.
	leftoversKnown bool
	reload         *reload
	suppression    suppression
	preflight      Problem // why the restart would be made that is checked now; zero: requests wait for it
	port           portOwner

	Pending map[OpID]Op
	Waiters []Waiter

	nextOp      OpID
	nextSession SessionID
}

// repairState is what is known about a repair of this flow whose answer did not come.
type repairState struct {
	unknown bool // the next diagnosis tells what it did
	lost    bool // it was cut off and had done nothing
}

// portOwner is what is known about another program on the port, while that is the error.
type portOwner int

const (
	portNotMeant  portOwner = iota // the error is about something else
	portSuspected                  // the doctors say that another program has the port, or the state
	portHeld                       // another program has it
)

// pace says how automatic attempts and sessions follow each other.
type pace struct {
	slow   bool          // an error ended the fast attempts: automatic attempts are slow
	flaps  int           // sessions with this gateway that did not last, in a row
	waited time.Duration // for the sessions after them
}

// ending is the way down of a process.
type ending struct {
	tries int // to end it
	// worked: the process that a restart ends is a gateway that works, and nothing else has happened to it.
	worked bool
}

// New returns the state of a gateway before the first request.
func New() State { return State{Phase: PhaseStopped} }

// Public returns the state as operators see it.
func (s State) Public() Public {
	switch s.Phase {
	case PhaseStopped:
		return Stopped
	case PhaseRunning, PhaseVerifying, PhaseReloading:
		return Running
	case PhaseDraining:
		return Stopping
	case PhaseError:
		return Error
	case PhaseRecovering:
		if s.adopting {
			return Stopped
		}
	case PhaseClearing:
		if s.After == AfterRest {
			return Stopping
		}
	default:
	}
	if s.Flow == FlowStart {
		return Starting
	}
	return Reconnecting
}

// Owner says who owns the process of the gateway.
func (s State) Owner() Owner {
	switch {
	case s.Attached:
		return OwnerAttached
	case s.Launch != "":
		return OwnerOwned
	default:
		return OwnerNone
	}
}

// Final reports whether the state may have nothing pending.
func (s State) Final() bool {
	return s.Phase == PhaseStopped || s.Phase == PhaseError
}

func (s State) clone() State {
	s.Pending = maps.Clone(s.Pending)
	if s.Pending == nil {
		s.Pending = map[OpID]Op{}
	}
	s.Waiters = slices.Clone(s.Waiters)
	s.Conditions = slices.Clone(s.Conditions)
	return s
}

// pendingOf finds a live operation of a kind.
func (s State) pendingOf(kind OpKind) (OpID, bool) {
	for id, op := range s.Pending {
		if op.Kind == kind && !op.Abandoned {
			return id, true
		}
	}
	return 0, false
}
