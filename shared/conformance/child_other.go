//go:build !unix

package conformance

import (
	"os"
	"os/exec"
)

func childSignals() []os.Signal { return []os.Signal{os.Interrupt} }

func isTerm(s os.Signal) bool { return s == os.Interrupt }

func ownSession(*exec.Cmd) {}
