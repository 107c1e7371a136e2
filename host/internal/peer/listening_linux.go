package peer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
)

// Listening reports whether a process listens on a port, on a loopback address or on any. It reads the kernel's tables
// only: no process sees it, and it costs little. Error: ErrUnknown when there is no table.
func Listening(ctx context.Context, port int) (bool, error) {
	return listening(ctx, kernel{proc: "/proc"}, port)
}

func listening(ctx context.Context, k kernel, port int) (bool, error) {
	addresses := []netip.Addr{
		netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv4Unspecified(), netip.IPv6Loopback(), netip.IPv6Unspecified(),
	}
	found, readable := false, 0
	for _, name := range []string{"tcp", "tcp6"} {
		wanted := map[string]bool{}
		for _, a := range addresses {
			if text, ok := column(netip.AddrPortFrom(a, uint16(port)), name == "tcp6"); ok { //nolint:gosec // a port
				wanted[text] = true
			}
		}
		err := k.rows(ctx, name, func(r row) { found = found || r.state == stListen && wanted[r.local] })
		switch {
		case err == nil:
			readable++
		case !errors.Is(err, fs.ErrNotExist): // a kernel without IPv6 has no tcp6
			return false, err
		}
	}
	if readable == 0 {
		return false, fmt.Errorf("%w: there is no table of TCP connections", ErrUnknown)
	}
	return found, nil
}
