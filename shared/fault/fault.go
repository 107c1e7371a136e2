// Package fault holds errors that keep their meaning across a process boundary: a code that programs act on, a message
// and a hint for people. The adapters of every kind translate them to and from gRPC, so errors.Is gives the same answer
// on both sides. The code of a cause is not the error's code.
package fault

import (
	"context"
	"errors"
	"time"
)

// Code is the stable name of a meaning; it is never translated or renamed.
type Code string

// The codes.
const (
	NotFound           Code = "not_found"
	AlreadyExists      Code = "already_exists"
	InvalidArgument    Code = "invalid_argument"
	FailedPrecondition Code = "failed_precondition"
	PermissionDenied   Code = "permission_denied"
	Unsupported        Code = "unsupported"
	Unavailable        Code = "unavailable"
	DeadlineExceeded   Code = "deadline_exceeded"
	Cancelled          Code = "cancelled"
	Exhausted          Code = "exhausted"
	Conflict           Code = "conflict"
	Internal           Code = "internal"
	// PluginGone: the plugin died, or was replaced, during the call; whether the call had an effect is unknown.
	PluginGone Code = "plugin_gone"
	// PluginDown: no plugin process could be asked; the call had no effect.
	PluginDown Code = "plugin_down"
)

// Error is an error with a meaning.
type Error struct {
	Code       Code
	Message    string // verb and object in lower case, cause last
	Hint       string // imperative, for the operator; may be empty
	Retryable  bool
	RetryAfter time.Duration     // 0 when not known
	Details    map[string]string // facts for programs; no secrets
	Cause      error             // not carried across RPC
}

// Error is the message, with the cause when the message does not have it.
func (e *Error) Error() string {
	switch {
	case e.Message == "" && e.Cause != nil:
		return e.Cause.Error()
	case e.Message == "":
		return string(e.Code)
	case e.Cause != nil:
		return e.Message + ": " + e.Cause.Error()
	default:
		return e.Message
	}
}

// Unwrap returns the cause, without its code: an error has one code, its own, as it has after an RPC. A plugin may be
// down because its program was not found; that does not mean that what the plugin was asked for was not found.
func (e *Error) Unwrap() error {
	if e.Cause == nil {
		return nil
	}
	return cause{e.Cause}
}

// cause lets errors.Is and errors.As find everything in an error but its faults.
type cause struct{ err error }

func (c cause) Error() string { return c.err.Error() }

// Is reports whether the error is or wraps target, unless target is only a code.
func (c cause) Is(target error) bool {
	t, ok := target.(*Error)
	return !(ok && t.bare()) && errors.Is(c.err, target)
}

// As finds everything but faults.
func (c cause) As(target any) bool {
	_, wantsFault := target.(**Error)
	return !wantsFault && errors.As(c.err, target)
}

// Is makes errors.Is compare codes: two faults of one code match when the target has nothing but its code.
func (e *Error) Is(target error) bool {
	if e.Code == DeadlineExceeded && target == context.DeadlineExceeded { //nolint:errorlint // the sentinel itself
		return true
	}
	t, ok := target.(*Error)
	return ok && t.bare() && t.Code == e.Code
}

// bare reports whether e has only a code, like the sentinels.
func (e *Error) bare() bool { return e.Message == "" && e.Cause == nil }

// Sentinels for errors.Is.
var (
	ErrNotFound           = &Error{Code: NotFound}
	ErrAlreadyExists      = &Error{Code: AlreadyExists}
	ErrInvalidArgument    = &Error{Code: InvalidArgument}
	ErrFailedPrecondition = &Error{Code: FailedPrecondition}
	ErrPermissionDenied   = &Error{Code: PermissionDenied}
	ErrUnsupported        = &Error{Code: Unsupported}
	ErrUnavailable        = &Error{Code: Unavailable}
	ErrDeadlineExceeded   = &Error{Code: DeadlineExceeded}
	ErrCancelled          = &Error{Code: Cancelled}
	ErrExhausted          = &Error{Code: Exhausted}
	ErrConflict           = &Error{Code: Conflict}
	ErrInternal           = &Error{Code: Internal}
	ErrPluginGone         = &Error{Code: PluginGone}
	ErrPluginDown         = &Error{Code: PluginDown}
)

// New makes a fault.
func New(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// Wrap makes a fault with a cause; its message is "message: cause".
func Wrap(code Code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, Cause: cause}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(hint string) *Error {
	e.Hint = hint
	return e
}

// CodeOf returns the code of the first fault in err's tree: Internal when there is none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f.Code
	}
	return Internal
}

// HintOf returns the first hint in err's tree.
func HintOf(err error) string {
	for err != nil {
		f, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if f.Hint != "" {
			return f.Hint
		}
		err = f.Cause
	}
	return ""
}
