package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// The bounds of connections at one time. Each costs a descriptor, which the host needs for its gateways.
const (
	maxConnections = 512
	maxOfProcess   = 64
	maxRefused     = 16          // that are told why; others are closed at once
	refusedFor     = time.Second // at most, until its request has come
)

// door admits connections before anything is read of them.
type door struct {
	net.Listener
	s *Server

	mu      sync.Mutex  // guards all below
	total   int         // admitted and not closed
	of      map[int]int // the same, by the process at the other end
	refused int         // being told why
}

func newDoor(l net.Listener, s *Server) *door { return &door{Listener: l, s: s, of: map[int]int{}} }

// Accept returns the next connection that is admitted. Others get the reason and are closed.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		unix, ok := c.(*net.UnixConn)
		if !ok {
			return c, nil // the guard refuses it
		}
		who, gone := peerOf(unix)
		if p := d.admit(who, gone); p != nil {
			d.turnAway(unix, p)
			continue
		}
		return &admitted{UnixConn: unix, who: who, leave: sync.OnceFunc(func() { d.left(who.pid) })}, nil
	}
}

// admit counts a connection, or says why it is refused. A process that has ended since it connected is refused, since
// nothing shows any more whether it was a plugin's: another one may hold the connection now.
func (d *door) admit(who peer, gone func() bool) *control.Problem {
	plugin := who.err == nil && who.pid > 0 && d.s.o.IsPlugin(who.pid, who.pgid)
	switch ended := gone(); { // asked last: it lived while it was looked at
	case plugin:
		return d.s.refusePlugin(who)
	case ended:
		d.s.o.Log.Warn("control connection refused", "reason", "its process has ended", "pid", who.pid)
		p := problem(http.StatusForbidden, control.CodeForbidden, "the process that connected has ended")
		p.Hint = "keep the process that connects until it has the answer"
		return p
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total >= maxConnections || d.of[who.pid] >= maxOfProcess {
		d.s.o.Log.Debug("control connection refused", "reason", "too many", "pid", who.pid, "connections", d.total)
		p := problem(http.StatusTooManyRequests, string(fault.Exhausted), fmt.Sprintf(
			"too many connections: the host takes %d, and %d of one process", maxConnections, maxOfProcess))
		p.Hint, p.Retryable = "close some, then try again", true
		return p
	}
	d.total++
	d.of[who.pid]++
	return nil
}

func (d *door) left(pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if d.of[pid]--; d.of[pid] == 0 {
		delete(d.of, pid)
	}
}

// turnAway closes a connection, and says why if there is room for that.
func (d *door) turnAway(c *net.UnixConn, p *control.Problem) {
	d.mu.Lock()
	room := d.refused < maxRefused
	if room {
		d.refused++
	}
	d.mu.Unlock()
	if !room {
		_ = c.Close()
		return
	}
	d.s.operations.Go(func() {
		tell(c, p)
		_ = c.Close()
		d.mu.Lock()
		d.refused--
		d.mu.Unlock()
	})
}

// tell answers when a request comes: clients take no answer before. Nothing of the request is looked at.
func tell(c *net.UnixConn, p *control.Problem) {
	data, err := json.Marshal(p)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Now().Add(refusedFor))
	if _, err := c.Read(make([]byte, 64<<10)); err != nil {
		return
	}
	_ = (&http.Response{
		StatusCode: p.Status, ProtoMajor: 1, ProtoMinor: 1, Close: true, ContentLength: int64(len(data)),
		Header: http.Header{"Content-Type": {"application/problem+json"}}, Body: io.NopCloser(bytes.NewReader(data)),
	}).Write(c)
}

// admitted is a connection that counts until it is closed.
type admitted struct {
	*net.UnixConn
	who   peer
	leave func()
}

// Close closes it once.
func (a *admitted) Close() error {
	a.leave()
	return a.UnixConn.Close()
}
