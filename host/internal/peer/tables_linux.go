package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxTable bounds one reading of a table: 64 MiB are more than 400,000 sockets.
const maxTable = 64 << 20

// States of a row (include/net/tcp_states.h).
const (
	stEstablished = "01"
	stSynReceived = "03"
	stListen      = "0A"
)

// row is one row of a table.
type row struct {
	local, remote, state string
	uid                  int
	inode                uint64
}

// look reads both tables once. The row of the other end has our addresses the other way round; it is in tcp6, with
// mapped addresses, when the listener takes connections of both families.
func (k kernel) look(ctx context.Context, c tuple) (sight, error) {
	var found, exact, wild *row
	ours := ""
	readable := 0
	for _, name := range []string{"tcp", "tcp6"} {
		wantLocal, ok := column(c.remote, name == "tcp6")
		if !ok {
			continue
		}
		wantRemote, _ := column(c.local, name == "tcp6")
		everywhere := netip.IPv4Unspecified()
		if name == "tcp6" {
			everywhere = netip.IPv6Unspecified()
		}
		wildcard, _ := column(netip.AddrPortFrom(everywhere, c.remote.Port()), name == "tcp6")
		err := k.rows(ctx, name, func(r row) {
			switch {
			case r.state == stListen && r.local == wantLocal:
				exact = &r
			case r.state == stListen && r.local == wildcard:
				wild = &r
			case r.local == wantLocal && r.remote == wantRemote:
				found = &r
			case r.local == wantRemote && r.remote == wantLocal:
				ours = r.state
			}
		})
		switch {
		case err == nil:
			readable++
		case !errors.Is(err, fs.ErrNotExist): // a kernel without IPv6 has no tcp6
			return sight{}, err
		}
		if found != nil {
			break
		}
	}
	if readable == 0 {
		return sight{}, fmt.Errorf("%w: %s has no table of TCP connections", ErrUnknown, filepath.Join(k.proc, "net"))
	}
	heir := exact
	if heir == nil {
		heir = wild
	}
	return k.sightOf(found, heir, ours), nil
}

// sightOf judges the rows. A row without an inode has no process: it waits to be accepted, or its process has closed
// it. Its uid means nothing: kernels before 6.16 show 0, which is the superuser.
func (k kernel) sightOf(found, heir *row, ours string) sight {
	switch {
	case found != nil && found.state == stEstablished && found.inode != 0:
		return sight{stage: accepted, end: k.end(*found)}
	case found != nil && (found.state == stEstablished || found.state == stSynReceived):
		s := sight{stage: waiting}
		if heir != nil {
			e := k.end(*heir)
			s.heir = &e
		}
		return s
	case found != nil || ours != "" && ours != stEstablished:
		return sight{stage: closed}
	default:
		return sight{stage: absent}
	}
}

func (k kernel) end(r row) end {
	return end{uid: r.uid, inode: r.inode, own: r.uid == k.uid, root: r.uid == 0}
}

// rows calls each for every row of a table that can be read.
func (k kernel) rows(ctx context.Context, name string, each func(row)) error {
	f, err := os.Open(filepath.Join(k.proc, "net", name))
	if err != nil {
		return denied(err)
	}
	defer func() { _ = f.Close() }()
	limited := &io.LimitedReader{R: f, N: maxTable}
	lines := bufio.NewScanner(limited)
	for lines.Scan() {
		if r, ok := parseRow(lines.Text()); ok {
			each(r)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	switch err := lines.Err(); {
	case err != nil:
		return fmt.Errorf("cannot read the table of TCP connections: %w", err)
	case limited.N == 0:
		return fmt.Errorf("%w: the table of TCP connections has more than %d MiB", ErrUnknown, maxTable>>20)
	default:
		return nil
	}
}

// denied adds to an error about a missing right that trying again does not help.
func denied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return fmt.Errorf("cannot read the table of TCP connections: %w", err)
}

// parseRow reads a row: the number, the local and the remote address, the state, four columns that do not matter here,
// the uid, a timeout and the inode. Rows of sockets in TIME_WAIT have uid and inode 0.
func parseRow(line string) (row, bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return row{}, false
	}
	uid, err := strconv.ParseUint(f[7], 10, 32)
	if err != nil { // the line of titles
		return row{}, false
	}
	inode, err := strconv.ParseUint(f[9], 10, 64)
	if err != nil {
		return row{}, false
	}
	return row{local: f[1], remote: f[2], state: f[3], uid: int(uid), inode: inode}, true
}

// column writes an address as a table does: each group of four bytes as one number in the machine's order. It is false
// when the table cannot have the address.
func column(a netip.AddrPort, six bool) (string, bool) {
	addr := a.Addr()
	if addr.Is6() && !six {
		return "", false
	}
	bytes := addr.AsSlice()
	if six {
		wide := addr.As16()
		bytes = wide[:]
	}
	var b strings.Builder
	for i := 0; i < len(bytes); i += 4 {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(bytes[i:]))
	}
	fmt.Fprintf(&b, ":%04X", a.Port())
	return b.String(), true
}
