//go:build unix && !linux

package server

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeSubreaper has no counterpart here: what outlives its parent goes to the system's init, and is found by its environment.
func becomeSubreaper() error { return nil }

func enterGroup(*syscall.SysProcAttr, *os.File) {}

func replace(from, to int) error { return unix.Dup2(from, to) }

// closeStrays trusts that our parent marks its descriptors close-on-exec: Go programs do.
func closeStrays() {}
