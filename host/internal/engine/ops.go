package engine

import "github.com/gatehost/gatehost/host/internal/lifecycle"

// opOf is the operation that an input answers.
func opOf(in lifecycle.Input) (lifecycle.OpID, bool) {
	switch in := in.(type) {
	case lifecycle.Recovered:
		return in.Op, true
	case lifecycle.ServicesCleared:
		return in.Op, true
	case lifecycle.PortProbed:
		return in.Op, true
	case lifecycle.HooksDone:
		return in.Op, true
	case lifecycle.Reloaded:
		return in.Op, true
	case lifecycle.Drained:
		return in.Op, true
	case lifecycle.ShutdownAsked:
		return in.Op, true
	case lifecycle.LaunchPrepared:
		return in.Op, true
	case lifecycle.Launched:
		return in.Op, true
	case lifecycle.Inspected:
		return in.Op, true
	case lifecycle.ReadyProbed:
		return in.Op, true
	case lifecycle.SessionOpened:
		return in.Op, true
	case lifecycle.SessionRefused:
		return in.Op, true
	case lifecycle.Verified:
		return in.Op, true
	case lifecycle.Terminated:
		return in.Op, true
	case lifecycle.Diagnosed:
		return in.Op, true
	case lifecycle.Repaired:
		return in.Op, true
	case lifecycle.TimerFired:
		return in.Op, true
	case lifecycle.StartRequested, lifecycle.StopRequested, lifecycle.RestartRequested, lifecycle.ReloadRequested, lifecycle.ProcessExited, lifecycle.WatchLost,
		lifecycle.OutputSeen, lifecycle.SymptomSeen, lifecycle.SessionClosed, lifecycle.SessionAlive,
		lifecycle.Reconfigured:
		return 0, false
	default:
		return 0, false
	}
}

// withOp puts the operation's id into its answer.
func withOp(in lifecycle.Input, op lifecycle.OpID) lifecycle.Input {
	switch in := in.(type) {
	case lifecycle.Recovered:
		in.Op = op
		return in
	case lifecycle.ServicesCleared:
		in.Op = op
		return in
	case lifecycle.PortProbed:
		in.Op = op
		return in
	case lifecycle.HooksDone:
		in.Op = op
		return in
	case lifecycle.Reloaded:
		in.Op = op
		return in
	case lifecycle.Drained:
		in.Op = op
		return in
	case lifecycle.ShutdownAsked:
		in.Op = op
		return in
	case lifecycle.LaunchPrepared:
		in.Op = op
		return in
	case lifecycle.Launched:
		in.Op = op
		return in
	case lifecycle.Inspected:
		in.Op = op
		return in
	case lifecycle.ReadyProbed:
		in.Op = op
		return in
	case lifecycle.Verified:
		in.Op = op
		return in
	case lifecycle.Terminated:
		in.Op = op
		return in
	case lifecycle.Diagnosed:
		in.Op = op
		return in
	case lifecycle.Repaired:
		in.Op = op
		return in
	case lifecycle.StartRequested, lifecycle.StopRequested, lifecycle.RestartRequested, lifecycle.ReloadRequested, lifecycle.ProcessExited, lifecycle.WatchLost,
		lifecycle.OutputSeen, lifecycle.SymptomSeen, lifecycle.SessionClosed, lifecycle.SessionAlive, lifecycle.SessionOpened,
		lifecycle.SessionRefused, lifecycle.TimerFired, lifecycle.Reconfigured: // made with their operation, or without one
		return in
	default:
		return in
	}
}
