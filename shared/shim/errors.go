package shim

import (
	"errors"
	"fmt"
)

// Errors for errors.Is. They survive the way from the shim.
var (
	ErrCommandNotFound = errors.New("not found")
	ErrPermission      = errors.New("permission denied")
	ErrInvalidSpec     = errors.New("invalid launch spec")
	ErrSpecMismatch    = errors.New("launch id was used with another spec")
	ErrNoBundle        = errors.New("no such launch")
	ErrBroken          = errors.New("bundle cannot be read")
	ErrShimGone        = errors.New("shim is gone")
	ErrEnded           = errors.New("gateway has ended")
	ErrRunning         = errors.New("gateway is still running")
	ErrBadSignal       = errors.New("no such signal")
	ErrVersion         = errors.New("no common protocol version")
	ErrForbidden       = errors.New("the secret of the launch was not shown")
	ErrSurvived        = errors.New("some process survived")
	ErrElsewhere       = errors.New("it may live where this process cannot look")
	ErrUnsupported     = errors.New("not supported on this platform")
)

// Code is the stable name of an error on the wire and in state.json.
type Code string

// The codes. A client takes one it does not know for CodeInternal.
const (
	CodeNotFound    Code = "command_not_found"
	CodePermission  Code = "permission_denied"
	CodeInvalid     Code = "invalid_spec"
	CodeMismatch    Code = "spec_mismatch"
	CodeLaunched    Code = "already_launched"
	CodeEnded       Code = "ended"
	CodeRunning     Code = "running"
	CodeBadSignal   Code = "bad_signal"
	CodeVersion     Code = "version"
	CodeForbidden   Code = "forbidden"
	CodeSurvived    Code = "survived"
	CodeUnsupported Code = "unsupported"
	CodeInternal    Code = "internal"
)

func (c Code) sentinel() error {
	switch c {
	case CodeNotFound:
		return ErrCommandNotFound
	case CodePermission:
		return ErrPermission
	case CodeInvalid:
		return ErrInvalidSpec
	case CodeMismatch:
		return ErrSpecMismatch
	case CodeEnded:
		return ErrEnded
	case CodeRunning:
		return ErrRunning
	case CodeBadSignal:
		return ErrBadSignal
	case CodeVersion:
		return ErrVersion
	case CodeForbidden:
		return ErrForbidden
	case CodeSurvived:
		return ErrSurvived
	case CodeUnsupported:
		return ErrUnsupported
	default:
		return nil
	}
}

// Failure is an error that a shim told. errors.Is finds the sentinel of its code.
type Failure struct {
	Code    Code   `json:"code"`
	Message string `json:"message"` // whole sentence: `cannot launch gateway: exec "openclaw": not found`
}

// Failf makes a Failure.
func Failf(code Code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (f *Failure) Error() string { return f.Message }

// Unwrap gives the sentinel of the code; nil for one that is not known.
func (f *Failure) Unwrap() error { return f.Code.sentinel() }
