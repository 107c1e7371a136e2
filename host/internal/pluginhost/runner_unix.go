//go:build unix

package pluginhost

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes the plugin lead a group, so that ^C of a terminal does not reach it and a kill reaches its children.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}

// endGroup kills what is left in the group of a leader that ended and was not waited for.
func endGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) }
