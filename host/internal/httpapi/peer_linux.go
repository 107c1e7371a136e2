package httpapi

import (
	"net"

	"golang.org/x/sys/unix"
)

const peersAreKnown = true

func peerOf(c *net.UnixConn) peer {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		//nolint:gosec // a descriptor fits
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return peer{err: err}
	}
	if credErr != nil {
		return peer{err: credErr}
	}
	p := peer{uid: int(cred.Uid), pid: int(cred.Pid)}
	if pgid, err := unix.Getpgid(p.pid); err == nil {
		p.pgid = pgid
	}
	return p
}
