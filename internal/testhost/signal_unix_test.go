//go:build unix

package testhost_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// Signal 0 does nothing to whom it reaches, so that a Signal that refuses nothing is found without ending this test.
func TestSignalReachesNoOneButWhomItNames(t *testing.T) {
	for _, pid := range []int{-1, 0, 1} {
		if err := testhost.Signal(pid, 0); err == nil || errors.Is(err, syscall.EPERM) {
			t.Errorf("pid %d: %v", pid, err)
		}
	}
	if err := testhost.Signal(os.Getpid(), 0); err != nil {
		t.Error(err)
	}
	if err := testhost.Signal(-syscall.Getpgrp(), 0); err != nil && syscall.Getpgrp() > 1 {
		t.Error(err)
	}
}
