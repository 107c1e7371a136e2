//go:build linux || darwin

package shim

import (
	"fmt"
	"net"
)

// PeerUID is the user at the other end of a Unix socket. Errors: ErrUnsupported.
func PeerUID(conn net.Conn) (int, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, ErrUnsupported
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("cannot ask for peer: %w", err)
	}
	var uid int
	var inner error
	if err := raw.Control(func(fd uintptr) {
		uid, inner = peerUID(int(fd))
	}); err != nil {
		return 0, fmt.Errorf("cannot ask for peer: %w", err)
	}
	if inner != nil {
		return 0, fmt.Errorf("cannot ask for peer: %w", inner)
	}
	return uid, nil
}
