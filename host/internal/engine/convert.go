package engine

import (
	"cmp"
	"context"
	"errors"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// resultOf tells failed from unknown: an answer that never came may hide an effect that did.
func resultOf(err error) lifecycle.Result {
	switch {
	case err == nil:
		return lifecycle.OK
	case errors.Is(err, fault.ErrPluginGone), errors.Is(err, fault.ErrDeadlineExceeded), errors.Is(
		err, fault.ErrCancelled,
	),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return lifecycle.Unknown
	default:
		return lifecycle.Failed
	}
}

// ProblemOf carries an error's code, text and hint into the lifecycle; the zero Problem for nil.
func ProblemOf(err error) lifecycle.Problem {
	if err == nil {
		return lifecycle.Problem{}
	}
	return lifecycle.Problem{Code: string(fault.CodeOf(err)), Message: err.Error(), Hint: fault.HintOf(err)}
}

// exitOf is an exit as plugins tell it, for the lifecycle.
func exitOf(x plugin.Exit) lifecycle.Exit {
	return lifecycle.Exit{
		Code: x.Code, Signal: x.Signal, Known: x.Known, At: x.At, Core: x.Core, Durable: x.Durable,
	}
}

// PluginExit is an exit for plugins, as they told it; nil for nil.
func PluginExit(x *lifecycle.Exit) *plugin.Exit {
	if x == nil {
		return nil
	}
	return &plugin.Exit{Code: x.Code, Signal: x.Signal, Known: x.Known, At: x.At, Core: x.Core, Durable: x.Durable}
}

func instanceOf(i launcher.Instance) lifecycle.Instance {
	out := lifecycle.Instance{
		Launch: lifecycle.LaunchID(i.LaunchID), Live: i.Live(), Watched: i.Phase != launcher.PhaseUnwatched,
		Process: lifecycle.Process{PID: i.PID, StartedAt: i.StartedAt},
	}
	if i.Phase == launcher.PhaseElsewhere {
		out.Elsewhere = cmp.Or(i.Detail, "it lives in another place, which its launcher does not name")
	}
	if i.Exit != nil {
		out.Exit = exitOf(*i.Exit)
	}
	return out
}
