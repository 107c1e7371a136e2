package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/internal/frame"
)

const (
	maxPending = 1024             // unanswered calls (B161)
	maxQueue   = 256              // frames that the writer has not sent yet
	writeLimit = 10 * time.Second // for one frame: a peer that does not read is gone
	goodbye    = 2 * time.Second  // for the peer's close frame
)

// Session is an open session. Safe for concurrent use. Its goroutines end when the socket does.
type Session struct {
	conn  *websocket.Conn
	hello Hello
	opts  Options

	out    chan message  // bounded: see maxQueue
	repace chan struct{} // holds one: the interval of pings has changed
	closed chan struct{} // closed when no more may be sent
	done   chan struct{} // closed when reader and writer have ended

	mu      sync.Mutex // guards all fields below
	pending map[string]chan frame.Frame
	over    bool
	end     End
	stats   Stats
	pingAt  time.Time
	pace    pace
}

// pace is how often the gateway is pinged, and how fast it should answer.
type pace struct{ ping, pong time.Duration }

type message struct {
	kind int // a websocket message type
	data []byte
}

// End is how a session ended.
type End struct {
	Code     int    // WebSocket close code; 1006 without a close frame
	Reason   string // of the close frame
	Err      error  // what the reader saw
	Shutdown bool   // a shutdown event came before
	Said     string // the shutdown event's reason
	// Restart: the shutdown event announced one, or a bare 1012 came without any event (docs/openclaw.md §8).
	// Expected is its restartExpectedMs, 0 when unknown.
	Restart  bool
	Expected time.Duration
}

// Stats count unusual events; times are zero when there was none.
type Stats struct {
	LastFrameAt    time.Time
	LastTickAt     time.Time
	LastPongAt     time.Time
	RTT            time.Duration
	MissedTicks    int // tick intervals without any frame
	MissedPongs    int // pings without a pong in PongTimeout: a sign, never a decision (T071)
	Unanswered     int // of them, in a row
	BadFrames      int
	UnexpectedIDs  int // late or second answers (B159)
	EventsReceived int64
	FramesIn       uint64 // messages after the handshake; pings, pongs and close frames are none
	FramesOut      uint64
	LastMissAt     time.Time // of a pong that was overdue
}

// newSession makes a session of a connection; bad counts the frames of its handshake that were ignored.
func newSession(conn *websocket.Conn, hello Hello, bad int, o Options) *Session {
	s := &Session{
		conn: conn, hello: hello, opts: o, out: make(chan message, maxQueue), closed: make(chan struct{}),
		done:    make(chan struct{}),
		pending: map[string]chan frame.Frame{}, repace: make(chan struct{}, 1), pace: pace{o.Ping, o.PongTimeout},
	}
	s.stats.LastFrameAt, s.stats.BadFrames = time.Now(), bad
	conn.SetPongHandler(func(string) error { s.pong(); return nil })
	conn.SetPingHandler(func(data string) error {
		s.alive(func(*Stats) {})
		s.queue(message{websocket.PongMessage, []byte(data)})
		return nil
	})
	var both sync.WaitGroup
	both.Go(s.read)
	both.Go(s.write)
	go func() {
		both.Wait()
		close(s.done)
	}()
	return s
}

// Hello returns what the gateway said about itself.
func (s *Session) Hello() Hello { return s.hello }

// SetPing changes how often the gateway is pinged, from now on; as in Options, zero means the default.
func (s *Session) SetPing(ping, pongTimeout time.Duration) {
	o := Options{Ping: ping, PongTimeout: pongTimeout}
	o.defaults()
	next := pace{o.Ping, o.PongTimeout}
	s.mu.Lock()
	changed := s.pace != next
	s.pace = next
	s.mu.Unlock()
	if !changed { // the interval continues
		return
	}
	select {
	case s.repace <- struct{}{}:
	default:
	}
}

func (s *Session) paceNow() pace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pace
}

// Done is closed when the session is over and all its goroutines have ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// End returns how the session ended; meaningful after Done.
func (s *Session) End() End {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Stats returns the counts so far.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Call makes one call and returns its payload; nil is null. Errors: *frame.Error (the gateway's own),
// ErrNotConnected, ErrBusy, the cause of ctx, or a timeout that names the method. ctx is the timeout; without a
// deadline it is CallTimeout.
func (s *Session) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.CallTimeout)
		defer cancel()
	}
	if len(params) > 0 && !json.Valid(params) {
		return nil, fmt.Errorf("cannot call %s: its params are not JSON", method)
	}
	id := uuid.NewString()
	data, err := frame.NewRequest(id, method, params)
	if err != nil {
		return nil, err
	}
	if limit := s.hello.MaxPayload; limit > 0 && int64(len(data)) > limit {
		return nil, fmt.Errorf("cannot call %s: the request has %d bytes, the gateway takes %d", method, len(data),
			limit)
	}
	answer, err := s.register(id)
	if err != nil {
		return nil, err
	}
	defer s.forget(id)
	if !s.queue(message{websocket.TextMessage, data}) {
		return nil, ErrBusy
	}
	select {
	case f, ok := <-answer:
		switch {
		case !ok:
			return nil, s.why()
		case !f.OK:
			return nil, f.Error
		}
		return f.Payload, nil
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
			return nil, cause
		}
		return nil, fmt.Errorf("RPC timeout: %s: %w", method, context.DeadlineExceeded) // B153
	}
}

func (s *Session) register(id string) (<-chan frame.Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return nil, ErrNotConnected
	case len(s.pending) >= maxPending:
		return nil, ErrBusy
	}
	c := make(chan frame.Frame, 1) // 1: the reader never waits for a caller
	s.pending[id] = c
	return c, nil
}

// why says why a call that was under way has no answer.
func (s *Session) why() error {
	if s.End().Restart {
		return ErrServiceRestart
	}
	return ErrNotConnected
}

func (s *Session) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
}

// queue hands a message to the writer; it returns false when the writer is too far behind.
func (s *Session) queue(m message) bool {
	select {
	case s.out <- m:
		return true
	case <-s.closed:
		return true // the reader is ending all calls
	default:
		return false
	}
}

// Close ends the session politely: a close frame, a short wait for the peer's, then the socket is cut. It returns
// when nothing of the session is left; ctx may shorten the wait.
func (s *Session) Close(ctx context.Context) {
	s.queue(message{
		websocket.CloseMessage,
		websocket.FormatCloseMessage(websocket.CloseNormalClosure, "Gateway stopped by user"),
	})
	timer := time.NewTimer(goodbye)
	defer timer.Stop()
	select {
	case <-s.done:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	cut(s.conn) // a peer that is killed never answers, and the socket would leak (B213)
	<-s.done
}

// read is the one reader. It ends with the socket and then ends all calls.
func (s *Session) read() {
	err := s.receive()
	s.finish(err)
	cut(s.conn)
}

func (s *Session) receive() error {
	for {
		_, data, err := s.conn.ReadMessage()
		if err != nil {
			return err
		}
		s.opts.Trace(false, data)
		s.take(data)
	}
}

func (s *Session) take(data []byte) {
	s.count(func(st *Stats) { st.FramesIn++ })
	f, err := frame.Parse(data)
	if err != nil {
		s.alive(func(st *Stats) { st.BadFrames++ })
		s.opts.Log.Debug("frame ignored", "reason", err, "bytes", len(data))
		return
	}
	switch f.Kind {
	case frame.Response:
		s.alive(func(*Stats) {})
		s.answer(f)
	case frame.Event:
		s.alive(func(st *Stats) {
			st.EventsReceived++
			if f.Name == "tick" {
				st.LastTickAt = time.Now()
			}
		})
		if f.Name == "shutdown" {
			s.announce(f.Payload)
		}
		s.opts.OnEvent(Event{Name: f.Name, Payload: f.Payload, Seq: f.Seq})
	case frame.Request, frame.Other:
		s.alive(func(*Stats) {})
		s.opts.OnEvent(Event{Payload: data})
	}
}

func (s *Session) answer(f frame.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.pending[f.ID]
	if !ok {
		s.stats.UnexpectedIDs++
		return
	}
	delete(s.pending, f.ID) // once, whatever comes later
	c <- f
}

func (s *Session) announce(payload json.RawMessage) {
	var p struct {
		RestartExpectedMs *float64 `json:"restartExpectedMs"`
		Reason            string   `json:"reason"`
	}
	// Absent, null and nonsense are the same: no restart is announced (docs/openclaw.md §12).
	_ = json.Unmarshal(payload, &p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end.Shutdown, s.end.Said = true, bound(p.Reason)
	s.end.Restart, s.end.Expected = false, 0 // the last frame counts
	if p.RestartExpectedMs != nil {
		s.end.Restart = true
		ms := min(max(*p.RestartExpectedMs, 0), float64((10 * time.Minute).Milliseconds()))
		s.end.Expected = time.Duration(ms) * time.Millisecond
	}
}

func (s *Session) count(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

func (s *Session) alive(count func(*Stats)) {
	s.mu.Lock()
	s.stats.LastFrameAt = time.Now()
	count(&s.stats)
	s.mu.Unlock()
	s.opts.OnAlive()
}

func (s *Session) pong() {
	again := false
	s.alive(func(st *Stats) {
		again = st.Unanswered > 0
		st.LastPongAt, st.Unanswered = time.Now(), 0
		if !s.pingAt.IsZero() {
			st.RTT = time.Since(s.pingAt)
			s.pingAt = time.Time{}
		}
	})
	if again {
		s.opts.OnPings()
	}
}

func (s *Session) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.end.Code, s.end.Err = websocket.CloseAbnormalClosure, err
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		s.end.Code, s.end.Reason = closed.Code, clean([]byte(closed.Text))
	}
	if s.end.Code == websocket.CloseServiceRestart && !s.end.Shutdown {
		s.end.Restart = true
	}
	for id, c := range s.pending {
		delete(s.pending, id)
		close(c)
	}
	close(s.closed)
}

// write is the one writer; it also pings. It ends when the reader has.
func (s *Session) write() {
	ping := time.NewTicker(s.paceNow().ping)
	defer ping.Stop()
	overdue := time.NewTimer(s.paceNow().ping)
	overdue.Stop()
	defer overdue.Stop()
	for {
		select {
		case <-s.closed:
			return
		case m := <-s.out:
			if m.kind == websocket.TextMessage {
				s.opts.Trace(true, m.data)
			}
			_ = s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
			if err := s.conn.WriteMessage(m.kind, m.data); err != nil {
				cut(s.conn) // the reader notices it
				return
			}
			if m.kind == websocket.TextMessage {
				s.count(func(st *Stats) { st.FramesOut++ })
			}
		case <-overdue.C:
			s.missed()
		case <-s.repace:
			ping.Reset(s.paceNow().ping)
		case <-ping.C:
			s.look()
			overdue.Reset(s.paceNow().pong)
			_ = s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
			if err := s.conn.WriteMessage(websocket.PingMessage, nil); err != nil {
				cut(s.conn)
				return
			}
		}
	}
}

// missed counts a ping whose pong is overdue.
func (s *Session) missed() {
	s.mu.Lock()
	waits := !s.pingAt.IsZero()
	if waits {
		s.stats.MissedPongs++
		s.stats.Unanswered++
		s.stats.LastMissAt = time.Now()
	}
	s.mu.Unlock()
	if waits {
		s.opts.OnPings()
	}
}

// look is the watchdog: it counts what is missing and decides nothing.
func (s *Session) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if tick := s.hello.TickInterval; tick > 0 && now.Sub(s.stats.LastFrameAt) > 2*tick {
		s.stats.MissedTicks++
	}
	s.pingAt = now
}
