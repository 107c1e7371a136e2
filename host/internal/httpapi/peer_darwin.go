package httpapi

import (
	"net"

	"golang.org/x/sys/unix"
)

const peersAreKnown = true

// peerOf returns the process that connected, and a function that reports whether no process has its number any more.
func peerOf(c *net.UnixConn) (who peer, gone func() bool) {
	who = credentialsOf(c)
	return who, func() bool { return who.pid > 0 && numberFree(who.pid) }
}

func credentialsOf(c *net.UnixConn) peer {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var p peer
	if err := raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
		if err != nil {
			p.err = err
			return
		}
		p.uid = int(cred.Uid)
		if p.pid, err = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID); err != nil {
			p.err = err
		}
	}); err != nil {
		return peer{err: err}
	}
	if pgid, err := unix.Getpgid(p.pid); err == nil && p.pid > 0 {
		p.pgid = pgid
	}
	return p
}
