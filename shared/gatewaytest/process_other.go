//go:build !unix

package gatewaytest

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
)

var errOwned = errors.New("the state directory has an owner")

// lockState does nothing here: two emulators on one state directory are not told apart.
func lockState(string, string) (release func(), err error) { return func() {}, nil }

func owned(string) bool { return false }

// signals knows the interrupt only.
func (r *run) signals() (stop func()) {
	c := make(chan os.Signal, 16) // 16: bursts
	signal.Notify(c, os.Interrupt)
	over := make(chan struct{})
	r.tasks.Go(func() {
		for {
			select {
			case <-r.ctx.Done():
				return
			case <-over:
				return
			case <-c:
				r.stop("SIGINT")
			}
		}
	})
	return func() { close(over) }
}

func ignoreBrokenPipes() {}

func ownSession(*exec.Cmd) {}

func kill() { os.Exit(1) } //nolint:revive // an end without a word is the point
