//go:build unix

package conformance

import (
	"os"
	"os/exec"
	"syscall"
)

func childSignals() []os.Signal { return []os.Signal{syscall.SIGTERM, syscall.SIGUSR1} }

func isTerm(s os.Signal) bool { return s == syscall.SIGTERM }

func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
