package pluginhost

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/fault"
)

// answers proves that the other end is the process, or one of the group that it leads: an interpreter may be a child of
// a script.
func answers(conn *net.UnixConn, pid int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		number := int(fd) //nolint:gosec // a descriptor fits
		cred, credErr = unix.GetsockoptUcred(number, unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if group, err := unix.Getpgid(int(cred.Pid)); int(cred.Pid) == pid || err == nil && group == pid {
		return nil
	}
	return fault.New(fault.PermissionDenied,
		fmt.Sprintf("process %d answers on its socket, not process %d or a child of it", cred.Pid, pid))
}
