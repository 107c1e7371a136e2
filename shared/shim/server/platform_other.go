//go:build unix && !linux

package server

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeSubreaper does nothing here: a process that outlives its parent goes to the system's init, and is found by its
// environment.
func becomeSubreaper() error { return nil }

func enterGroup(*syscall.SysProcAttr, *os.File) {}

func replace(from, to int) error { return unix.Dup2(from, to) }

// closeStrays does nothing here: Go programs mark their descriptors close-on-exec.
func closeStrays() {}
