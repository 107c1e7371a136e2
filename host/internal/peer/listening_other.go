//go:build !linux

package peer

import (
	"context"
	"fmt"
	"runtime"
)

// Listening always fails with ErrUnknown: this system has no table that is cheap to read.
func Listening(context.Context, int) (bool, error) {
	return false, fmt.Errorf("%w: %s has no table of TCP connections that is cheap to read", ErrUnknown, runtime.GOOS)
}
