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
	helloTimeout  = 10 * time.Second
	writeTimeout  = time.Minute // a reader that reads nothing for so long has to connect again
	heartbeat     = 5 * time.Second
	shutdownGrace = 2 * time.Second // for followers to get the end
)

// accept takes connections until shutdown.
func (s *supervisor) accept() {
	for {
		conn, err := s.listener.Accept()
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

// admit counts a connection in.
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
	delete(s.conns, conn)
	s.armOrphan()
}

// shutdown lets clients that follow the output read its end, within a bound, and closes all connections.
func (s *supervisor) shutdown() {
	s.listener.Close()
	s.mu.Lock()
	s.closing = true
	if s.orphan != nil {
		s.orphan.Stop()
	}
	conns := make([]net.Conn, 0, len(s.conns))
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
	s.lock.Close()
}

// handle serves one connection: hello, then requests in order.
func (s *supervisor) handle(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	var hello shim.Request
	if _, err := shim.ReadFrame(conn, &hello); err != nil {
		return
	}
	if hello.Op != shim.OpHello || !slices.Contains(hello.Versions, shim.ProtocolVersion) {
		_ = shim.WriteFrame(conn, shim.Response{Error: shim.Failf(shim.CodeVersion,
			"cannot talk to shim: it speaks protocol version %d, the client %v", shim.ProtocolVersion, hello.Versions)},
			nil)
		return
	}
	state := s.snapshot()
	if shim.WriteFrame(conn, shim.Response{Version: shim.ProtocolVersion, State: &state}, nil) != nil {
		return
	}
	if !s.patient(conn) {
		return
	}
	for {
		var req shim.Request
		if _, err := shim.ReadFrame(conn, &req); err != nil {
			return
		}
		if req.Op == shim.OpOutput {
			s.stream(conn, req)
			return
		}
		answer := s.answer(req)
		if shim.WriteFrame(conn, answer, nil) != nil {
			return
		}
		if req.Op == shim.OpRelease && answer.Error == nil {
			s.release()
		}
	}
}

// patient removes the deadline of the hello, unless shutdown has set its own.
func (s *supervisor) patient(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closing && conn.SetReadDeadline(time.Time{}) == nil
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
		s.mu.Lock()
		if !s.closing { // shutdown has set a shorter one
			_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		}
		s.mu.Unlock()
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
