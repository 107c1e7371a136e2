package httpapi

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

const peersAreKnown = true

// peerOf returns the process that connected, and a function to be called once, which reports whether it has ended.
// Linux 6.5 and newer give a handle of exactly that process; before, its number may be that of another one by now.
func peerOf(c *net.UnixConn) (who peer, gone func() bool) {
	who, handle := credentialsOf(c)
	return who, func() bool { return who.gone(handle) }
}

const noHandle = -1

// gone reports whether the process has ended, and closes its handle.
func (p peer) gone(handle int) bool {
	switch {
	case handle != noHandle:
		defer func() { _ = unix.Close(handle) }()
		return pidfdEnded(handle)
	case p.pid == 0: // of another namespace
		return false
	default:
		return errors.Is(p.handleErr, unix.ESRCH) || numberFree(p.pid)
	}
}

// pidfdEnded reports whether the process of a handle has ended: then the handle can be read.
func pidfdEnded(handle int) bool {
	fds := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}} //nolint:gosec // a descriptor fits
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}

func credentialsOf(c *net.UnixConn) (p peer, handle int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{err: err}, noHandle
	}
	var cred *unix.Ucred
	var credErr, handleErr error
	if err := raw.Control(func(fd uintptr) {
		//nolint:gosec // a descriptor fits
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		handle, handleErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD) //nolint:gosec // as above
	}); err != nil {
		return peer{err: err}, noHandle
	}
	if handleErr != nil {
		handle = noHandle
	}
	if credErr != nil {
		return peer{err: credErr}, handle
	}
	p = peer{uid: int(cred.Uid), pid: int(cred.Pid), handleErr: handleErr}
	if pgid, err := unix.Getpgid(p.pid); err == nil {
		p.pgid = pgid
	}
	return p, handle
}
