package probe

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	gopsnet "github.com/shirou/gopsutil/v4/net"

	"github.com/gatehost/gatehost/host/internal/peer"
)

// Holder is a process that listens on a port.
type Holder struct {
	PID       int    // 0: a process that this user may not see
	Command   string // program and arguments, secrets hidden, bounded; "" when unknown
	User      string // whose it is; "" when unknown
	Addresses []string
}

// String names the holder for an error.
func (h Holder) String() string {
	if h.PID == 0 {
		return "a process that this user may not see"
	}
	out := fmt.Sprintf("pid %d", h.PID)
	if h.Command != "" {
		out += " (" + h.Command + ")"
	}
	if h.User != "" {
		out += " of user " + h.User
	}
	return out
}

// End says how an operator ends the holder, in commands to paste.
func (h Holder) End(port int) string {
	if h.PID == 0 {
		return "see who listens: `" + peer.Search(port) + "`, and end that program"
	}
	switch runtime.GOOS {
	case "linux":
		return fmt.Sprintf("end it with `kill %d`, or with the service that starts it (`systemctl status %d` shows which)",
			h.PID, h.PID)
	case "windows":
		return fmt.Sprintf("end it with `taskkill /PID %d`, or with the service that starts it", h.PID)
	default:
		return fmt.Sprintf("end it with `kill %d`, or with the service that starts it", h.PID)
	}
}

// Holders lists the processes that listen on port on the addresses that a gateway wants: both loopbacks, or any
// address. A free port gives an empty list; when the holders cannot be found out, the error says why (B100). The
// kernel's table names pids; where this user may not read it, a connection still shows that there is a holder.
func Holders(ctx context.Context, port int) ([]Holder, error) {
	connections, err := gopsnet.ConnectionsWithContext(ctx, "tcp")
	if err != nil {
		return byConnect(ctx, port)
	}
	byPID := map[int]*Holder{}
	var order []int
	for _, c := range connections {
		if c.Status != "LISTEN" || int(c.Laddr.Port) != port || !concerns(c.Laddr.IP) {
			continue
		}
		pid := int(c.Pid)
		if byPID[pid] == nil {
			byPID[pid] = &Holder{PID: pid, Command: peer.Command(ctx, pid), User: peer.User(ctx, pid)}
			order = append(order, pid)
		}
		byPID[pid].Addresses = append(byPID[pid].Addresses, net.JoinHostPort(c.Laddr.IP, strconv.Itoa(port)))
	}
	if len(order) == 0 {
		return byConnect(ctx, port) // a table that hides the sockets of others does not prove that the port is free
	}
	out := make([]Holder, 0, len(order))
	for _, pid := range order {
		out = append(out, *byPID[pid])
	}
	return out, nil
}

// Free reports whether nothing listens on port, as Holders would find it, and names no process: it is cheap. The table
// of the kernel is asked first, so that a program that has the port is not connected to.
func Free(ctx context.Context, port int) (bool, error) {
	if taken, err := peer.Listening(ctx, port); err == nil && taken {
		return false, nil
	}
	holders, err := byConnect(ctx, port)
	return err == nil && len(holders) == 0, err
}

// concerns reports whether a listener on ip prevents a gateway from listening on loopback.
func concerns(ip string) bool {
	switch ip {
	case "127.0.0.1", "::1", "0.0.0.0", "::", "*", "::ffff:127.0.0.1":
		return true
	default:
		return false
	}
}

// byConnect finds a holder that no table shows.
func byConnect(ctx context.Context, port int) ([]Holder, error) {
	var out []Holder
	for _, host := range []string{"127.0.0.1", "::1"} {
		d := net.Dialer{Timeout: time.Second}
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			_ = conn.Close()
			out = append(out, Holder{Addresses: []string{net.JoinHostPort(host, strconv.Itoa(port))}})
		}
	}
	return out, nil
}
