//go:build unix

package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
)

const (
	maxConns      = 64
	maxStrangers  = 16
	helloTimeout  = 10 * time.Second
	idleTimeout   = time.Minute // until the next request; a connection that attaches, or reads output, may be idle
	writeTimeout  = time.Minute // a reader that reads nothing for so long has to connect again
	heartbeat     = 5 * time.Second
	shutdownGrace = 2 * time.Second // for followers to get the end
)

// accept takes connections until its listener is closed.
func (s *supervisor) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors: it passes
			s.log.printf("cannot accept: %v", err)
			time.Sleep(time.Second)
			continue
		}
		if !s.admit(conn) {
			conn.Close()
			continue
		}
		s.handlers.Go(func() {
			defer s.dismiss(conn)
			s.handle(conn)
		})
	}
}

// admit lets a connection say hello. When too many have not said it yet, the oldest of them makes room: a flood of
// strangers takes no place from a client, which says hello at once.
func (s *supervisor) admit(conn net.Conn) bool {
	uid, err := shim.PeerUID(conn)
	if err == nil && uid != os.Geteuid() && uid != 0 {
		s.log.printf("refused a connection of user %d", uid)
		return false
	}
	if err != nil && !errors.Is(err, shim.ErrUnsupported) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	if len(s.strangers) >= maxStrangers {
		s.strangers[0].Close() // its handler ends
		s.strangers = s.strangers[1:]
	}
	s.strangers = append(s.strangers, conn)
	return true
}

// welcome makes a stranger a client.
func (s *supervisor) welcome(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(conn)
	if s.closing || len(s.conns) >= maxConns {
		return false
	}
	s.conns[conn] = struct{}{}
	s.armOrphan()
	return true
}

func (s *supervisor) dismiss(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(conn)
	delete(s.conns, conn)
	s.armOrphan()
}

// leave forgets a stranger; mu is held.
func (s *supervisor) leave(conn net.Conn) {
	s.strangers = slices.DeleteFunc(s.strangers, func(c net.Conn) bool { return c == conn })
}

// shutdown lets clients that follow the output read its end, within a bound, and closes all connections.
func (s *supervisor) shutdown() {
	s.listener.Close()
	s.mu.Lock()
	s.closing = true
	if s.orphan != nil {
		s.orphan.Stop()
	}
	conns := slices.Clone(s.strangers)
	for conn := range s.conns {
		conns = append(conns, conn)
	}
	s.mu.Unlock()
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now()) // no further request
		_ = conn.SetWriteDeadline(time.Now().Add(shutdownGrace))
	}
	s.handlers.Wait()
	s.out.Close()
	s.record.Close()
	s.alive.Close()
	s.lock.Close()
}

// handle serves one connection: hello, then requests in order.
func (s *supervisor) handle(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	hello, err := shim.ReadHello(conn)
	if err != nil {
		return
	}
	if f := s.refuse(hello); f != nil {
		_ = shim.WriteFrame(conn, shim.Response{Error: f}, nil)
		return
	}
	if !s.welcome(conn) {
		return
	}
	state := s.snapshot()
	if shim.WriteFrame(conn, shim.Response{Version: shim.ProtocolVersion, State: &state}, nil) != nil {
		return
	}
	for idle := idleTimeout; ; {
		var req shim.Request
		if !s.patient(conn, idle) {
			return
		}
		if _, err := shim.ReadFrame(conn, &req); err != nil {
			return
		}
		if req.Op == shim.OpOutput {
			if s.patient(conn, 0) {
				s.stream(conn, req)
			}
			return
		}
		if req.Op == shim.OpAttach {
			idle = 0
		}
		answer := s.answer(req)
		s.hurry(conn)
		if shim.WriteFrame(conn, answer, nil) != nil {
			return
		}
		if req.Op == shim.OpRelease && answer.Error == nil {
			s.release()
		}
	}
}

// refuse says why a hello is not answered with the state.
func (s *supervisor) refuse(hello shim.Request) *shim.Failure {
	switch {
	case hello.Op != shim.OpHello || !slices.Contains(hello.Versions, shim.ProtocolVersion):
		return shim.Failf(shim.CodeVersion,
			"cannot talk to shim: it speaks protocol version %d, the client %v", shim.ProtocolVersion, hello.Versions)
	case !s.secret.Matches(hello.Secret):
		if err := s.secret.Keep(s.dir); err != nil {
			s.log.printf("cannot write the secret of the launch anew: %v", err)
		}
		return shim.Failf(shim.CodeForbidden,
			"cannot talk to shim: %v; it is in the launch's bundle, and gatehost 0.1.0 or newer shows it",
			shim.ErrForbidden)
	default:
		return nil
	}
}

// patient gives the next request some time, 0: any time, unless shutdown has set its own deadlines.
func (s *supervisor) patient(conn net.Conn, idle time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var until time.Time
	if idle > 0 {
		until = time.Now().Add(idle)
	}
	return !s.closing && conn.SetReadDeadline(until) == nil && conn.SetWriteDeadline(time.Time{}) == nil
}

// hurry bounds the time that a client takes to read an answer, unless shutdown has set its own deadlines.
func (s *supervisor) hurry(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
}

func (s *supervisor) answer(req shim.Request) shim.Response {
	wrap := func(err error) shim.Response {
		if f, ok := errors.AsType[*shim.Failure](err); ok {
			return shim.Response{Error: f}
		}
		return shim.Response{}
	}
	switch req.Op {
	case shim.OpState:
		state := s.snapshot()
		return shim.Response{State: &state}
	case shim.OpAttach:
		return shim.Response{}
	case shim.OpSignal:
		return wrap(s.signal(req.Signal))
	case shim.OpStop:
		stopped, err := s.stop(max(req.Grace, 0))
		answer := wrap(err)
		answer.Stopped = &stopped
		return answer
	case shim.OpRelease:
		select {
		case <-s.ended:
			<-s.cleared // bounded: the sweep kills
			return shim.Response{}
		default:
			return shim.Response{Error: shim.Failf(shim.CodeRunning, "cannot release launch: gateway is still running")}
		}
	default:
		return shim.Response{Error: shim.Failf(shim.CodeUnsupported, "cannot do %.32q: this shim does not know it",
			req.Op)}
	}
}

// stream sends output until its end, or up to what exists.
func (s *supervisor) stream(conn net.Conn, req shim.Request) {
	gone := make(chan struct{})
	go func() { // ends when the client does, or with the connection
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}()
	defer func() {
		conn.Close()
		<-gone
	}()
	w := bufio.NewWriterSize(conn, 64<<10)
	send := func(item shim.WireItem, data []byte) error { return shim.WriteFrame(w, item, data) }
	flush := func() error {
		s.hurry(conn)
		return w.Flush()
	}
	if shim.WriteFrame(w, shim.Response{}, nil) != nil {
		return
	}
	s.follow(req, gone, send, flush)
}

func (s *supervisor) follow(
	req shim.Request, gone <-chan struct{}, send func(shim.WireItem, []byte) error, flush func() error,
) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for cursor := s.out.Read(req.From); ; {
		batch, err := cursor.Next()
		if err != nil {
			s.mu.Lock()
			e := *s.exit
			s.mu.Unlock()
			_ = send(shim.WireItem{Kind: shim.ItemEnd, Offset: e.EndOffset, Exit: &e}, nil)
			_ = flush()
			return
		}
		if g := batch.Gap; g != nil &&
			send(shim.WireItem{Kind: shim.ItemGap, Offset: g.From, To: g.To, ToLine: g.ToLine}, nil) != nil {
			return
		}
		for _, r := range batch.Records {
			if send(shim.WireItem{
				Kind: shim.ItemRecord, Offset: r.Offset, At: r.Time.UnixNano(), Stream: r.Stream, Flags: r.Flags,
			}, r.Data) != nil {
				return
			}
		}
		if batch.Wait == nil {
			continue
		}
		if !req.Follow {
			_ = send(shim.WireItem{Kind: shim.ItemEnd, Offset: s.out.End()}, nil)
			_ = flush()
			return
		}
		if flush() != nil {
			return
		}
		select {
		case <-batch.Wait:
		case <-gone:
			select {
			case <-s.final: // shutdown ends the reading side only: the end is still owed
				gone = nil
			default:
				return
			}
		case <-beat.C:
			if send(shim.WireItem{Kind: shim.ItemHeartbeat, Offset: s.out.End()}, nil) != nil {
				return
			}
		}
	}
}
