//go:build !linux

package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/user"
	"runtime"
	"strconv"

	gopsnet "github.com/shirou/gopsutil/v4/net"
	gopsprocess "github.com/shirou/gopsutil/v4/process"

	"github.com/gatehost/gatehost/shared/shim/process"
)

// tables is what gopsutil says: lsof on macOS, which shows a user only that user's own processes, and the table of
// extended TCP rows on Windows.
type tables struct{}

func newSystem() system { return tables{} }

// look finds the other end in one reading. What is not in the table belongs to another user, or has not been accepted:
// when a listener can be seen, it may still accept.
func (t tables) look(ctx context.Context, c tuple) (sight, error) {
	connections, err := gopsnet.ConnectionsWithContext(ctx, "tcp")
	if err != nil {
		return sight{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	s := sight{stage: absent}
	for _, row := range connections {
		switch {
		case row.Status == "LISTEN" && row.Laddr.Port == uint32(c.remote.Port()) && row.Pid != 0:
			heir := t.end(ctx, int(row.Pid))
			s = sight{stage: waiting, heir: &heir}
		case !same(row.Laddr, c.remote) || !same(row.Raddr, c.local):
		case row.Status != "ESTABLISHED":
			return sight{stage: closed}, nil
		case row.Pid != 0:
			return sight{stage: accepted, end: t.end(ctx, int(row.Pid))}, nil
		}
	}
	return s, nil
}

func same(a gopsnet.Addr, b netip.AddrPort) bool {
	addr, err := netip.ParseAddr(a.IP)
	return err == nil && addr.Unmap().WithZone("") == b.Addr() && a.Port == uint32(b.Port())
}

// end tells whose process has a socket.
func (t tables) end(ctx context.Context, pid int) end {
	uid, name := userOf(ctx, pid)
	e := end{uid: uid, inode: uint64(pid)} //nolint:gosec // a pid is not negative
	if self, err := user.Current(); err == nil {
		e.own = uid >= 0 && strconv.Itoa(uid) == self.Uid || uid < 0 && name != "" && name == self.Username
	}
	e.root = uid == 0 || runtime.GOOS == "windows" && name == `NT AUTHORITY\SYSTEM`
	return e
}

// userOf returns the user of a process. On Windows the uid is -1: there the names are compared.
func userOf(ctx context.Context, pid int) (uid int, name string) {
	p, err := gopsprocess.NewProcessWithContext(ctx, int32(pid)) //nolint:gosec // a pid
	if err != nil {
		return -1, ""
	}
	name, _ = p.UsernameWithContext(ctx)
	uid = -1
	if uids, err := p.UidsWithContext(ctx); err == nil && len(uids) > 0 {
		uid = int(uids[0])
	}
	return uid, name
}

// maxDepth bounds the way from a process up to the launch.
const maxDepth = 64

func (t tables) holds(ctx context.Context, launch int, e end) (bool, error) {
	for pid, depth := int(e.inode), 0; pid > 1 && depth < maxDepth; depth++ { //nolint:gosec // a pid
		if pid == launch {
			return true, nil
		}
		parent, err := parentOf(ctx, pid)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		pid = parent
	}
	return false, nil
}

func parentOf(ctx context.Context, pid int) (int, error) {
	id, err := process.Identify(pid)
	if err == nil {
		return id.Parent()
	}
	if !errors.Is(err, process.ErrUnsupported) {
		return 0, err
	}
	p, err := gopsprocess.NewProcessWithContext(ctx, int32(pid)) //nolint:gosec // a pid
	if err != nil {
		return 0, err
	}
	parent, err := p.PpidWithContext(ctx)
	return int(parent), err
}

func (t tables) owner(ctx context.Context, e end) Owner {
	pid := int(e.inode) //nolint:gosec // a pid
	uid, name := userOf(ctx, pid)
	return Owner{UID: uid, User: name, PID: pid, Command: Command(ctx, pid), Own: e.own}
}
