//go:build unix

package shim

import "syscall"

const supported = true

// detached makes the shim the leader of a session of its own: no terminal and no signal to a group reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
