package gatewaytest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// The limits of docs/openclaw.md §9.
const (
	maxBefore = 64 << 10
	maxAfter  = 25 << 20
	writeTime = 10 * time.Second
	closeTime = time.Second
)

// conn is one WebSocket.
type conn struct {
	s       *Server
	g       *generation
	ws      *websocket.Conn
	request *http.Request
	id      string
	nonce   string
	opened  time.Time
	done    chan struct{} // closed when serve ends
	closing sync.Once

	mu     sync.Mutex // guards writing and all below
	seq    int64
	in     bool // past the handshake
	silent bool
	deaf   bool
	missed int // pings without a pong
	scopes []string
	who    string // the device, or the connection where it has none; written before any call
}

type wireEvent struct {
	Type         string         `json:"type"`
	Event        string         `json:"event"`
	Payload      any            `json:"payload"`
	Seq          int64          `json:"seq,omitempty"`
	StateVersion map[string]int `json:"stateVersion,omitempty"`
}

type wireAnswer struct {
	Type    string          `json:"type"`
	ID      json.RawMessage `json:"id"`
	OK      bool            `json:"ok"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// Error is a refusal in the gateway's shape.
type Error struct {
	Code         string         `json:"code"`
	Message      string         `json:"message"`
	Retryable    bool           `json:"retryable,omitempty"`
	RetryAfterMs int            `json:"retryAfterMs,omitempty"`
	Details      map[string]any `json:"details,omitempty"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

func invalid(message string) *Error { return &Error{Code: "INVALID_REQUEST", Message: message} }

// serve runs a connection from the upgrade to its end, in the goroutine of its HTTP request.
func (c *conn) serve() {
	defer close(c.done)
	defer c.cut()
	stop := context.AfterFunc(c.s.life, c.cut)
	defer stop()
	if code := c.s.script.number("close-at-once"); code > 0 {
		c.farewell(code, "")
		return
	}
	c.ws.SetReadLimit(maxBefore)
	_ = c.ws.SetReadDeadline(time.Now().Add(c.s.Handshake))
	c.ws.SetPongHandler(func(string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.missed = 0
		return nil
	})
	c.ws.SetPingHandler(func(data string) error {
		c.control(websocket.PongMessage, []byte(data))
		return nil
	})
	c.ws.SetCloseHandler(func(code int, _ string) error {
		c.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
		return nil
	})
	if !c.challenge() {
		c.linger()
		return
	}
	if !c.handshake() {
		return
	}
	c.ws.SetReadLimit(maxAfter)
	_ = c.ws.SetReadDeadline(time.Time{})
	c.s.tasks.Go(c.pings)
	c.misbehave()
	c.requests()
}

// linger reads what comes until the peer or the gateway ends.
func (c *conn) linger() {
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			if isTimeout(err) {
				c.farewell(websocket.CloseNormalClosure, "")
			}
			return
		}
	}
}

// challenge sends the first frame; false when a misbehaviour replaces the handshake.
func (c *conn) challenge() bool {
	select {
	case <-c.g.talks:
	case <-c.g.over:
		return true
	}
	if d, ok := c.s.script.after("slow-challenge"); ok && !c.s.sleep(c.s.life, nil, d) {
		return true
	}
	c.garbageBefore()
	payload := map[string]any{"nonce": c.nonce, "ts": time.Now().UnixMilli()}
	if !c.s.release.noCapabilities {
		payload["capabilities"] = []string{"model-catalog-snapshot"}
	}
	switch s := c.s.script; {
	case s.has("never-challenge"):
		return false
	case s.has("garbage-challenge"):
		c.write(websocket.TextMessage, []byte("HELLO, I am no gateway\n"))
		return false
	case s.has("binary-garbage"):
		for range 16 {
			garbage := make([]byte, 512)
			_, _ = rand.Read(garbage)
			c.write(websocket.BinaryMessage, garbage)
		}
		return false
	case s.has("oversized-challenge"):
		c.oversized()
		return false
	case s.has("challenge-without-nonce"):
		delete(payload, "nonce")
	}
	c.json(wireEvent{Type: "event", Event: "connect.challenge", Payload: payload})
	return true
}

func (c *conn) oversized() {
	c.json(wireEvent{
		Type: "event", Event: "connect.challenge",
		Payload: map[string]any{"pad": strings.Repeat("x", 64<<20)},
	})
}

// garbageBefore sends the frames of "garbage-before", text and binary by turns.
func (c *conn) garbageBefore() {
	for n := range c.s.script.number("garbage-before") {
		if n%2 == 0 {
			c.write(websocket.TextMessage, []byte("[debug] a library prints on the connection"))
		} else {
			c.write(websocket.BinaryMessage, []byte{0xff, 0, 0xfe})
		}
	}
}

// requests answers calls until the connection ends.
func (c *conn) requests() {
	for {
		_, data, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		c.take(data)
		c.mu.Lock()
		deaf := c.deaf
		c.mu.Unlock()
		if deaf {
			<-c.s.life.Done()
			return
		}
	}
}

// take answers one frame after the handshake (F:post-auth-malformed).
func (c *conn) take(data []byte) {
	if !json.Valid(data) {
		c.notJSON(data) // the peer is told nothing
		return
	}
	var f struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	_ = json.Unmarshal(data, &f) // the schema says what is wrong
	if wrong := requestFrame().judge(data, "", c.s.release); wrong != "" {
		id := f.ID
		if id == nil {
			id = json.RawMessage(`"invalid"`)
		}
		c.answer(id, nil, invalid("invalid request frame: "+wrong))
		return
	}
	c.s.count(f.Method)
	call := Call{Method: f.Method, Params: f.Params, Scopes: c.scopes}
	if string(call.Params) == "null" {
		call.Params = nil
	}
	c.s.tasks.Go(func() {
		payload, err := c.s.dispatch(c, call)
		if d, ok := c.s.script.after("late-answers"); ok && !c.s.sleep(c.s.life, c.done, d) {
			return
		}
		if c.s.script.has("no-answers") {
			return
		}
		if c.s.script.has("odd-answers") {
			c.answer(json.RawMessage(`"not-asked"`), map[string]any{}, nil)
		}
		c.answer(f.ID, payload, err)
		if c.s.script.has("duplicate-answers") {
			c.answer(f.ID, payload, err)
		}
	})
}

func (s *Server) count(method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
}

func (c *conn) answer(id json.RawMessage, payload any, err error) {
	out := wireAnswer{Type: "res", ID: id, OK: err == nil}
	if err != nil {
		refusal, ok := errors.AsType[*Error](err)
		if !ok {
			refusal = &Error{Code: "UNAVAILABLE", Message: err.Error()}
		}
		if c.s.script.has("tell-token") {
			told := *refusal
			told.Message += ": " + strings.Join(c.told(), " ")
			refusal = &told
		}
		out.Error = refusal
		c.s.say("ws", "⇄ res ✗ errorCode="+refusal.Code+" errorMessage="+refusal.Message+" conn="+c.id)
	} else if raw, marshalErr := json.Marshal(payload); marshalErr == nil {
		out.Payload = raw
	}
	c.json(out)
}

// event sends an event with the next number; before the handshake is over there are none.
func (c *conn) event(name string, payload any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.in {
		return
	}
	c.seq++
	e := wireEvent{Type: "event", Event: name, Payload: payload, Seq: c.seq}
	if name == "health" {
		e.StateVersion = map[string]int{"presence": 1, "health": 3}
	}
	if data, err := json.Marshal(e); err == nil {
		c.writeLocked(websocket.TextMessage, data)
	}
}

func (c *conn) json(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	c.write(websocket.TextMessage, data)
}

func (c *conn) write(kind int, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeLocked(kind, data)
}

func (c *conn) writeLocked(kind int, data []byte) {
	if c.silent {
		return
	}
	if kind == websocket.TextMessage && c.s.script.has("binary-frames") {
		kind = websocket.BinaryMessage
	}
	_ = c.ws.SetWriteDeadline(time.Now().Add(writeTime))
	if err := c.ws.WriteMessage(kind, data); err != nil {
		c.cut()
	}
}

func (c *conn) control(kind int, data []byte) {
	c.mu.Lock()
	silent := c.silent
	c.mu.Unlock()
	if !silent {
		_ = c.ws.WriteControl(kind, data, time.Now().Add(writeTime))
	}
}

// close sends a close frame, gives the peer a moment for its own, and cuts. Safe to call from anywhere, once.
func (c *conn) close(code int, reason string) {
	c.closing.Do(func() {
		data := websocket.FormatCloseMessage(code, reason)
		c.control(websocket.CloseMessage, data)
		_ = c.ws.SetReadDeadline(time.Now().Add(closeTime)) // the reader sees the peer's close frame, or gives up
		select {
		case <-c.done:
		case <-time.After(closeTime):
		}
	})
	c.cut()
}

// refuse answers a handshake's request, closes and waits for the peer's close frame.
func (c *conn) refuse(id json.RawMessage, err *Error, code int) {
	c.answer(id, nil, err)
	c.farewell(code, err.Message)
}

// farewell closes from the reader's own goroutine.
func (c *conn) farewell(code int, reason string) {
	if len(reason) > 120 {
		reason = reason[:120] // a close reason has at most 123 bytes
	}
	c.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason))
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTime))
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			return
		}
	}
}

func (c *conn) cut() { _ = c.ws.NetConn().Close() }

// pings asks for life every 25 s: a peer that did not answer the last one is asked no more and cut after two
// (docs/openclaw.md §9).
func (c *conn) pings() {
	t := time.NewTicker(c.s.Ping)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-t.C:
		}
		c.mu.Lock()
		if c.silent {
			c.mu.Unlock()
			return
		}
		c.missed++
		missed := c.missed
		c.mu.Unlock()
		switch {
		case missed == 1:
			c.control(websocket.PingMessage, nil)
		case missed > 2:
			c.cut()
			return
		}
	}
}

// misbehave arms what was asked for after hello.
func (c *conn) misbehave() {
	s := c.s.script
	later := func(name string, do func()) {
		if d, ok := s.after(name); ok {
			c.s.tasks.Go(func() {
				if c.s.sleep(c.s.life, c.done, d) {
					do()
				}
			})
		}
	}
	later("close-after", func() { c.close(s.second("close-after"), "") })
	later("cut-after", c.cut)
	later("oversized-frame-after", c.oversized)
	later("garbage-after", func() { c.write(websocket.TextMessage, []byte("\x7b not json")) })
	later("deaf-after", func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deaf = true
	})
	later("silent-after", func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.silent = true
	})
	if s.has("tell-token") {
		c.event("agent "+c.s.AuthToken(), map[string]any{"said": c.told(), "token": c.s.AuthToken()})
	}
	for i := range s.number("flood-events") {
		c.event("emulator.flood", map[string]any{"n": i})
	}
}

// told is the token in the forms in which programs write it, with what a terminal obeys between them.
func (c *conn) told() []string {
	token := c.s.AuthToken()
	return []string{
		token, base64.StdEncoding.EncodeToString([]byte("user:" + token)), hex.EncodeToString([]byte(token)),
		strings.ReplaceAll(token, "-", "%2D"), token[:len(token)/2] + "\x1b[0m" + token[len(token)/2:],
		"\x1b]0;title\a\u009b31m\u202e\nforged line",
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
