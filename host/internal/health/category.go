package health

import (
	"context"
	"errors"
	"regexp"

	"github.com/gatehost/gatehost/internal/frame"
)

// Category is the kind of an error.
type Category string

// The categories.
const (
	OK           Category = ""
	Refused      Category = "refused"      // the gateway declared an error: the transport works
	Unavailable  Category = "unavailable"  // so did it, and said that the error is temporary
	Timeout      Category = "timeout"      // no answer in time
	Disconnected Category = "disconnected" // there is no session, or it ended in the middle
	Cancelled    Category = "cancelled"    // cancelled by the caller: says nothing about the gateway
	Failed       Category = "failed"
)

// timedOut is the reference's pattern for a text about a timeout (docs/behaviour.md §19).
var timedOut = regexp.MustCompile(`(?i)\b(?:timed? out|timeout)\b`)

// CategoryOf returns the category of an error. disconnected are the errors that mean that there is no session.
func CategoryOf(err error, disconnected ...error) Category {
	if err == nil {
		return OK
	}
	if refusal, ok := errors.AsType[*frame.Error](err); ok {
		if refusal.Retryable || refusal.Code == "UNAVAILABLE" {
			return Unavailable
		}
		return Refused
	}
	for _, d := range disconnected {
		if errors.Is(err, d) {
			return Disconnected
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Cancelled
	case timedOut.MatchString(err.Error()):
		return Timeout
	default:
		return Failed
	}
}

// answered reports whether the gateway said anything at all.
func (c Category) answered() bool { return c == OK || c == Refused || c == Unavailable }
