//go:build !unix

package process

import (
	"fmt"
	"syscall"
)

// ParseSignal is ErrUnsupported here.
func ParseSignal(name string) (syscall.Signal, error) {
	return 0, fmt.Errorf("cannot send signal %.32q: %w", name, ErrUnsupported)
}

// SignalName is "SIG<number>" here.
func SignalName(sig syscall.Signal) string { return fmt.Sprintf("SIG%d", int(sig)) }
