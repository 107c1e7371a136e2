package shimlauncher

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// stateOf returns what a bundle's files say; the zero State for one that no shim wrote to.
func stateOf(b shim.Bundle) shim.State {
	if b.State == nil {
		s := shim.State{LaunchID: b.LaunchID}
		if b.Spec != nil {
			s.Labels, s.StartedAt, s.SpecHash = b.Spec.Labels, b.Spec.Created, b.Spec.Hash
		}
		return s
	}
	s := *b.State
	if s.Exit = b.Exit; s.Exit != nil {
		s.OutputEnd = s.Exit.EndOffset
	}
	return s
}

// instance combines what the files say and what the shim says.
func instance(b shim.Bundle, s shim.State) launcher.Instance {
	i := launcher.Instance{
		LaunchID: b.LaunchID, Gateway: s.Labels[labelGateway], PID: s.Gateway.PID, StartTime: s.Gateway.StartTime,
		BootID:    s.BootID,
		StartedAt: s.StartedAt, OutputEnd: s.OutputEnd, Detail: b.Detail, Labels: maps.Clone(s.Labels),
	}
	delete(i.Labels, labelGateway)
	if i.Gateway == "" {
		i.Gateway = recordedGateway(b.Dir)
	}
	if b.ShimAlive {
		i.ShimPID = s.Shim.PID
	}
	switch {
	case b.Status == shim.StatusNew:
		i.Phase, i.Detail = launcher.PhaseFailed, "recorded, but no shim has begun with it"
	case b.Status == shim.StatusFailed:
		i.Phase = launcher.PhaseFailed
	case b.Status == shim.StatusElsewhere:
		i.Phase = launcher.PhaseElsewhere
	case b.Status == shim.StatusUnwatched: // also when the gateway has ended and what it started has not
		i.Phase = launcher.PhaseUnwatched
	case s.Exit != nil || b.Status == shim.StatusEnded:
		i.Phase = launcher.PhaseEnded
	case s.Phase == shim.PhaseStarting:
		i.Phase = launcher.PhaseStarting
	default:
		i.Phase = launcher.PhaseRunning
	}
	if i.Phase == launcher.PhaseEnded || i.Phase == launcher.PhaseFailed {
		e := exit(s.Exit)
		i.Exit = &e
	}
	return i
}

// launchFile is what a host writes into a bundle before it calls Launch.
const launchFile = "launch.json"

// recordedGateway returns the gateway in the host's record of a launch; "" when there is none.
func recordedGateway(dir string) string {
	var record struct {
		Gateway string `json:"gateway"`
	}
	b, err := os.ReadFile(filepath.Join(dir, launchFile))
	if err != nil || json.Unmarshal(b, &record) != nil {
		return ""
	}
	return record.Gateway
}

// exit converts an exit; nil is an end that was not seen.
func exit(e *shim.Exit) plugin.Exit {
	if e == nil || e.At.IsZero() {
		return plugin.Exit{At: time.Now()}
	}
	return plugin.Exit{Code: e.Code, Signal: e.Signal, At: e.At, Durable: e.Durable, Known: true, Core: e.Core}
}

func line(l shim.Line) plugin.Line {
	stream := plugin.Stdout
	if l.Stream == outlog.Stderr {
		stream = plugin.Stderr
	}
	return plugin.Line{
		Cursor: l.Offset, Time: l.Time, Stream: stream, Text: l.Text, Truncated: l.Truncated, Partial: l.Partial,
	}
}

func sortByStart(all []launcher.Instance) {
	slices.SortStableFunc(all, func(a, b launcher.Instance) int { return a.StartedAt.Compare(b.StartedAt) })
}

// sinkError is a caller's own error, returned to the caller unchanged.
type sinkError struct{ error }

func (s sinkError) Unwrap() error { return s.error }

func sinkErr(err error) error {
	if err == nil {
		return nil
	}
	return sinkError{err}
}

// faultOf gives an error of shared/shim its code; nil stays nil, and a fault stays as it is.
func faultOf(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[sinkError](err); ok {
		return s.error
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	code, hint := fault.Internal, ""
	for _, m := range []struct {
		err  error
		code fault.Code
		hint string
	}{
		{shim.ErrCommandNotFound, fault.NotFound, "install the program, or set its path in launch.command"},
		{shim.ErrPermission, fault.PermissionDenied, "make the program executable for this user"},
		{shim.ErrInvalidSpec, fault.InvalidArgument, ""},
		{shim.ErrSpecMismatch, fault.AlreadyExists, ""},
		{shim.ErrNoBundle, fault.NotFound, ""},
		{shim.ErrEnded, fault.FailedPrecondition, ""},
		{shim.ErrRunning, fault.FailedPrecondition, "stop it first"},
		{shim.ErrBadSignal, fault.InvalidArgument, ""},
		{shim.ErrSurvived, fault.DeadlineExceeded, "look at the named processes; they may wait for a device"},
		{shim.ErrElsewhere, fault.Conflict, "stop it where it runs"},
		{shim.ErrUnsupported, fault.Unsupported, ""},
		{shim.ErrShimGone, fault.Unavailable, ""},
		{shim.ErrBroken, fault.Internal, "look into the named directory; when nothing of it runs, remove it"},
		{context.DeadlineExceeded, fault.DeadlineExceeded, ""},
		{context.Canceled, fault.Cancelled, ""},
	} {
		if errors.Is(err, m.err) {
			code, hint = m.code, m.hint
			break
		}
	}
	return fault.New(code, err.Error()).WithHint(hint)
}
