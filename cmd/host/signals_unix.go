//go:build unix

package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// notify sends the signals that the host obeys to signals, and makes the others that come from a terminal or a pipe
// harmless. The returned function reports whether the terminal in which the host was started is gone; it is always
// false for a host without a terminal, and for one that was started to survive it (nohup).
func notify(signals chan<- os.Signal) (gone func() bool) {
	survives := signal.Ignored(syscall.SIGHUP)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A handler, so that a write fails with EPIPE instead of ending the host. Not SIG_IGN, which programs inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Ignore(syscall.SIGTTOU) // a line of a host in the background must not suspend it (stty tostop)
	terminals := slices.DeleteFunc([]int{0, 1, 2}, func(fd int) bool { return !answersAsTerminal(fd) })
	if survives {
		terminals = nil
	}
	return func() bool {
		return slices.ContainsFunc(terminals, func(fd int) bool { return !answersAsTerminal(fd) })
	}
}

// answersAsTerminal reports whether a descriptor is a terminal that is there: one that hung up refuses with EIO.
func answersAsTerminal(fd int) bool {
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return err == nil
}
