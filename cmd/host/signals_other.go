//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notify sends the signals that the host obeys to signals; no terminal is known to be gone here.
func notify(signals chan<- os.Signal) (gone func() bool) {
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return func() bool { return false }
}
