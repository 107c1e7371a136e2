package observe

import (
	"math"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/control"
)

// Kinds of automatic attempts: a new process, or a new session with the same process.
const (
	ByProcess   = "process"
	ByTransport = "transport"
)

// causeAnnounced is the cause of an attempt after a restart that the gateway announced; such a restart uses up no
// attempt (B205).
const causeAnnounced = "announced_restart"

// reconnects follows the automatic attempts to get one gateway back (B207). It is a fold over steps, and a value:
// follow returns the next one and changes nothing that another copy sees.
type reconnects struct {
	open                          *attempt // the attempt that has not ended; never changed after it is stored
	attempts, successes, failures uint64
	last                          *control.ReconnectData
	nextAt                        time.Time // while the open attempt waits for its delay
}

// attempt is one automatic attempt.
type attempt struct {
	kind, cause string
	number      int
	delay       time.Duration
	began       time.Time
	waiting     bool // its delay has not passed yet
}

// follow returns the attempts after a step, and what that step changed.
func (r reconnects) follow(c Change, limit int) (reconnects, []control.ReconnectData) {
	before, after := c.Before, c.After
	if before.Phase == after.Phase && before.Flow == after.Flow {
		return r, nil
	}
	var changed []control.ReconnectData
	if r.open != nil {
		if outcome := r.outcome(before, after); outcome != "" {
			changed = append(changed, r.end(outcome, after, c.At, limit))
		}
	}
	if next := begun(c); next != nil && r.open == nil {
		r.open, r.nextAt = next, time.Time{}
		if next.waiting {
			r.nextAt = c.At.Add(next.delay)
			changed = append(changed, r.data(control.ReconnectScheduled, limit))
		}
	}
	return r, changed
}

// outcome returns how a step ended the open attempt; "" when the attempt goes on.
func (r *reconnects) outcome(before, after lifecycle.State) string {
	if r.open.waiting {
		switch {
		case after.Phase == lifecycle.PhaseBackoff,
			after.Phase == lifecycle.PhaseError && before.Phase == lifecycle.PhaseError:
			return ""
		case after.Flow == lifecycle.FlowRevive, after.Flow == lifecycle.FlowRejoin:
			begun := *r.open
			begun.waiting, begun.began = false, after.PhaseSince
			r.open, r.nextAt = &begun, time.Time{}
			return ""
		default:
			return control.ReconnectSuperseded
		}
	}
	switch {
	case after.Phase == lifecycle.PhaseRunning:
		return control.ReconnectSuccess
	case after.Flow == lifecycle.FlowStart, after.After == lifecycle.AfterRest, after.Phase == lifecycle.PhaseStopped:
		return control.ReconnectSuperseded
	case after.Phase == lifecycle.PhaseError,
		after.Phase == lifecycle.PhaseBackoff && before.Phase != lifecycle.PhaseBackoff,
		r.open.kind == ByTransport && after.Flow == lifecycle.FlowRevive:
		return control.ReconnectFailure
	default:
		return ""
	}
}

func (r *reconnects) end(outcome string, after lifecycle.State, now time.Time, limit int) control.ReconnectData {
	switch outcome {
	case control.ReconnectSuccess:
		r.attempts, r.successes = r.attempts+1, r.successes+1
	case control.ReconnectFailure:
		r.attempts, r.failures = r.attempts+1, r.failures+1
	}
	data := r.data(outcome, limit)
	if !r.open.began.IsZero() {
		data.TookMs = control.Ms(now.Sub(r.open.began))
	}
	if outcome == control.ReconnectFailure {
		data.Error = after.Cause.Code
		if after.Err != nil {
			data.Error = after.Err.Code
		}
	}
	r.open, r.nextAt, r.last = nil, time.Time{}, &data
	return data
}

// data returns the open attempt in the API's words.
func (r *reconnects) data(outcome string, limit int) control.ReconnectData {
	d := control.ReconnectData{
		Attempt: r.open.number, MaxAttempts: limit, Kind: r.open.kind, Cause: r.open.cause, Outcome: outcome,
		Attempts: r.attempts, Successes: r.successes, SuccessRate: rate(r.successes, r.attempts),
	}
	if r.open.delay > 0 || r.open.waiting {
		d.DelayMs = control.Ms(r.open.delay)
	}
	return d
}

// begun returns the attempt that a step schedules or begins; nil for none.
func begun(c Change) *attempt {
	before, after := c.Before, c.After
	switch {
	case after.Phase == lifecycle.PhaseBackoff && before.Phase != lifecycle.PhaseBackoff:
		next := &attempt{
			kind: ByProcess, cause: after.Cause.Code, number: after.Reconnects, waiting: true,
			delay: delayOfTimer(c, lifecycle.TimerBackoff),
		}
		if after.Attached {
			next.kind = ByTransport
		}
		return next
	case after.Phase == lifecycle.PhaseError && before.Phase != lifecycle.PhaseError: // attempts at the slow interval
		if delay := delayOfTimer(c, lifecycle.TimerSlow); delay > 0 && after.Err != nil {
			return &attempt{kind: ByProcess, cause: after.Err.Code, number: after.Reconnects, waiting: true, delay: delay}
		}
	case after.Flow == lifecycle.FlowRejoin && before.Flow != lifecycle.FlowRejoin:
		next := &attempt{kind: ByTransport, cause: after.Cause.Code, began: c.At}
		if delay := delayOfTimer(c, lifecycle.TimerProbe); delay > 0 {
			next.waiting, next.delay = true, delay
		}
		if in, ok := c.Input.(lifecycle.SessionClosed); ok && in.Announce == lifecycle.AnnounceRestart {
			next.cause = causeAnnounced
		}
		return next
	}
	return nil
}

// delayOfTimer returns the delay to which a step set a timer; 0 when it set none.
func delayOfTimer(c Change, kind lifecycle.OpKind) time.Duration {
	for _, e := range c.Effects {
		if t, ok := e.(lifecycle.SetTimer); ok && c.After.Pending[t.Op].Kind == kind {
			return t.After
		}
	}
	return 0
}

// rate returns part/all with 4 decimals (B207); nil when all is 0.
func rate(part, all uint64) *float64 {
	if all == 0 {
		return nil
	}
	r := math.Round(float64(part)/float64(all)*10_000) / 10_000
	return &r
}

// status returns the sum for status; nil before the first attempt.
func (r reconnects) status() *control.Reconnect {
	if r.open == nil && r.last == nil {
		return nil
	}
	out := &control.Reconnect{
		Attempts: r.attempts, Successes: r.successes, Failures: r.failures, SuccessRate: rate(r.successes, r.attempts),
		NextAt: control.At(r.nextAt),
	}
	if r.last != nil {
		out.LastCause, out.LastOutcome, out.LastDelayMs = r.last.Cause, r.last.Outcome, r.last.DelayMs
	}
	if r.open != nil { // it is newer than the last one
		out.LastCause = r.open.cause
		if r.open.delay > 0 {
			out.LastDelayMs = control.Ms(r.open.delay)
		}
	}
	return out
}
