//go:build unix

package testhost

import (
	"fmt"
	"syscall"
)

// Signal is kill(2), for one process or, by a negative number, one group. The pid of a process that does not run is
// 0, and a signal to 0 goes to the sender's own group, which is that of make and of CI, too: it is refused, as are
// 1 and -1. Errors: that one; the system's.
func Signal(pid int, sig syscall.Signal) error {
	if pid >= -1 && pid <= 1 {
		return fmt.Errorf("no signal %v to pid %d: the process does not run", sig, pid)
	}
	return syscall.Kill(pid, sig)
}
