package session

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/internal/frame"
)

// The protocols that this host speaks: offered together, they work on every release measured (docs/openclaw.md
// §12).
const (
	MinProtocol = 3
	MaxProtocol = 4
)

// The identity of this host towards the gateway; both are closed enums there (docs/openclaw.md §6).
const (
	clientID   = "gateway-client"
	clientMode = "backend"
	role       = "operator"
)

const (
	// helloLimit bounds a frame before the handshake is over; a hello of 2026.9.6 has 20 kB.
	helloLimit = 1 << 20
	// frameLimit bounds a frame after it: the gateway's own maxPayload of 25 MiB, and space for its envelope.
	frameLimit = 26<<20 + 1<<16
	// maxHandshakeFrames bounds what may come before an answer to connect.
	maxHandshakeFrames = 256
)

// Options say how to open a session; zero durations mean the defaults.
type Options struct {
	URL   string // ws://127.0.0.1:18789/ws
	Token string
	// Password is sent instead of a token, to a gateway that authenticates by one.
	Password string
	Device   *Device // nil: none; some releases then grant no scopes (internal/release: NeedsDevice)
	Version  string  // of this host
	Scopes   []string
	Log      hclog.Logger

	ChallengeTimeout time.Duration // default 10 s, from before the TCP connect (B121, B122)
	ConnectTimeout   time.Duration // default 20 s: refusals are slowed down by up to 5 s (B129)
	CallTimeout      time.Duration // default 30 s (B151)
	Ping             time.Duration // default 30 s
	PongTimeout      time.Duration // default 15 s, at most Ping

	// OnEvent is called by the reader for each event after the handshake; it must not block for long.
	OnEvent func(Event)
	// OnAlive is called by the reader for everything that arrives.
	OnAlive func()
	// OnPings is called, by the reader or the writer, whenever the number of pings in a row without an answer in time
	// has changed; Stats has the figures.
	OnPings func()
	// Trace is called with every frame that is sent or received, by the goroutine that sends or reads; it must hide
	// the secrets in the frame, must not keep it, and must not block. nil: none.
	Trace func(sent bool, data []byte)
	// Launched says that Peer proves a process that this host launched. Until the handshake is over, frames of it that
	// are no JSON are counted and ignored within the deadlines; those of any other program end the handshake.
	Launched bool
	// Peer proves whose program is at the other end of a connection. It is called once for each connection, before a
	// byte is sent on it. Its error ends the dial; a *ConnectError is returned as it is. nil: nothing is proved.
	Peer func(ctx context.Context, conn net.Conn) error
	// TLS checks the certificate, for a URL that begins with wss. A *ConnectError of its VerifyConnection is returned as
	// it is.
	TLS *tls.Config
	// NetDial replaces the TCP dialler, for tests.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.ChallengeTimeout, 10*time.Second)
	set(&o.ConnectTimeout, 20*time.Second)
	set(&o.CallTimeout, 30*time.Second)
	set(&o.Ping, 30*time.Second)
	set(&o.PongTimeout, 15*time.Second)
	o.PongTimeout = min(o.PongTimeout, o.Ping)
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"operator.read", "operator.write", "operator.admin"}
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	if o.OnAlive == nil {
		o.OnAlive = func() {}
	}
	if o.OnPings == nil {
		o.OnPings = func() {}
	}
	if o.Trace == nil {
		o.Trace = func(bool, []byte) {}
	}
	if o.Version == "" {
		o.Version = "0.0.0"
	}
	if o.NetDial == nil {
		o.NetDial = (&net.Dialer{}).DialContext
	}
	if o.Peer == nil {
		o.Peer = func(context.Context, net.Conn) error { return nil }
	}
}

// connect opens a TCP connection and proves its peer.
func (o Options) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := o.NetDial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if err := o.Peer(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// Hello is what a gateway said about itself; absent fields are zero.
type Hello struct {
	Protocol     int
	Version      string
	BuildID      string
	BootID       string
	ConnID       string
	Methods      []string
	Events       []string
	Scopes       []string
	TickInterval time.Duration
	MaxPayload   int64
	Snapshot     json.RawMessage
}

// Dial opens a session: TCP, proof of the peer, upgrade, challenge, connect, hello-ok, on one socket. Every error is a
// *ConnectError; then the socket is cut, and no goroutine is left.
func Dial(ctx context.Context, o Options) (*Session, error) {
	o.defaults()
	challenge, cancel := context.WithTimeout(ctx, o.ChallengeTimeout)
	defer cancel()
	conn, err := upgrade(ctx, challenge, o)
	if err != nil {
		return nil, err
	}
	hello, bad, err := handshake(ctx, challenge, conn, o)
	if err != nil {
		cut(conn) // cut, not closed: no side waits for a close frame (T059, T065)
		return nil, err
	}
	return newSession(conn, hello, bad, o), nil
}

func upgrade(ctx, challenge context.Context, o Options) (*websocket.Conn, error) {
	dialer := websocket.Dialer{NetDialContext: o.connect, TLSClientConfig: o.TLS, ReadBufferSize: 32 << 10}
	header := http.Header{"User-Agent": {"gatehost/" + o.Version}} // no Origin: a foreign one is refused
	conn, resp, err := dialer.DialContext(challenge, o.URL, header)
	if err == nil {
		return conn, nil
	}
	if ce, ok := errors.AsType[*ConnectError](err); ok {
		ce.Stage = cmp.Or(ce.Stage, "peer")
		return nil, ce
	}
	out := &ConnectError{
		Stage: "dial", Code: "dial_failed", Message: "cannot connect to the gateway: " + err.Error(), Cause: err,
	}
	timeout := challenge.Err() != nil || isTimeout(err)
	switch {
	case resp != nil:
		out.Stage, out.Code = "upgrade", "upgrade_refused"
		out.Message = "the gateway refused the WebSocket: HTTP " + strconv.Itoa(resp.StatusCode) + said(resp)
		out.Hint = "check that the program on this port is a gateway"
		out.Retryable = resp.StatusCode == http.StatusServiceUnavailable // it drains (docs/openclaw.md §4)
	case errors.Is(err, syscall.ECONNREFUSED):
		out.Code, out.Retryable = "refused", true
	case ctx.Err() != nil:
		out.Code, out.Message, out.Cause = "cancelled", "the connection was cancelled", context.Cause(ctx)
	case timeout:
		out.Code, out.Message = "challenge_timeout", "Timed out waiting for connect.challenge from Gateway"
		// its event loop may be busy; the lifecycle decides how long that may take
		out.Hint, out.Retryable = hintSilent, true
	default:
		out.Hint = "check that the program on this port is a gateway"
	}
	if ctx.Err() == nil {
		if other := o.otherProtocol(ctx, err, resp); other != nil {
			return nil, other
		}
	}
	return nil, out
}

// said returns the first line of a plain answer; HTML pages say nothing.
func said(resp *http.Response) string {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "text/plain" && kind != "application/json" {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 256))
	line, _, _ := strings.Cut(clean(body), "\n")
	if line == "" {
		return ""
	}
	return ": " + line
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

const hintSilent = "the gateway accepts connections but does not answer: read its output with `gatehost logs NAME`, " +
	"then restart it"

func clean(b []byte) string {
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "\uFFFD"))
}

// handshake waits for the challenge, answers it, and waits for the result. bad counts the frames that were ignored.
func handshake(ctx, challenge context.Context, conn *websocket.Conn, o Options) (hello Hello, bad int, err error) {
	conn.SetReadLimit(helloLimit)
	stop := context.AfterFunc(ctx, func() { cut(conn) })
	defer stop()
	deadline, _ := challenge.Deadline()
	_ = conn.SetReadDeadline(deadline)
	r := &reader{conn: conn, o: o}
	nonce, ts, err := awaitChallenge(r)
	if err != nil {
		return Hello{}, 0, r.explain(ctx, err, "challenge", "challenge_timeout",
			"Timed out waiting for connect.challenge from Gateway")
	}
	id := uuid.NewString()
	if err := sendConnect(conn, id, nonce, ts, o); err != nil {
		return Hello{}, 0, r.explain(ctx, err, "connect", "connect_failed", "cannot send connect")
	}
	_ = conn.SetReadDeadline(time.Now().Add(o.ConnectTimeout))
	hello, err = awaitHello(r, id)
	if err != nil {
		return Hello{}, 0, r.explain(ctx, err, "connect", "connect_timeout", "Connect handshake timeout")
	}
	conn.SetReadLimit(frameLimit)
	_ = conn.SetReadDeadline(time.Time{})
	return hello, r.bad, nil
}

// reader reads the frames of one handshake.
type reader struct {
	conn *websocket.Conn
	o    Options
	bad  int // frames that were no JSON, and were ignored
}

// explain turns a broken handshake into a ConnectError.
func (r *reader) explain(ctx context.Context, err error, stage, timeoutCode, timeoutText string) error {
	if ce, ok := errors.AsType[*ConnectError](err); ok {
		ce.Stage = stage
		return ce
	}
	out := &ConnectError{
		Stage: stage, Code: "closed_before_handshake",
		Message: "WebSocket closed before handshake: " + err.Error(), Cause: err, Hint: hintSilent,
	}
	switch closed, isClose := errors.AsType[*websocket.CloseError](err); {
	case ctx.Err() != nil:
		out.Code, out.Message, out.Cause = "cancelled", "the connection was cancelled", context.Cause(ctx)
	case isClose:
		out.Message = fmt.Sprintf("WebSocket closed before handshake: %s (code %d)", orUnknown(closed.Text),
			closed.Code)
		out.CloseCode = closed.Code
		if strings.HasPrefix(closed.Text, "gateway install changed") { // 2026.9.6 can't load the rest of itself
			out.Code = "STALE_INSTALL"
		}
		out.Retryable = closed.Code == websocket.CloseTryAgainLater || closed.Code == websocket.CloseServiceRestart
	case errors.Is(err, websocket.ErrReadLimit):
		out.Code, out.Message = "frame_too_large", fmt.Sprintf(
			"the gateway sent a frame of more than %d bytes before the handshake", helloLimit)
	case isTimeout(err):
		out.Code, out.Message, out.Retryable = timeoutCode, timeoutText, true
		if r.bad > 0 {
			out.Message += fmt.Sprintf("; %d of its frames were no JSON and were ignored", r.bad)
		}
	}
	return out
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return clean([]byte(s))
}

// next returns the next frame. Text and binary frames are equal. A frame that is no JSON is an error, since a peer
// that speaks another protocol will not begin to speak this one. A process that was launched is proved to be the
// gateway: what a library in it prints on the connection does not count, as in the reference, and the read deadline
// is the bound.
func (r *reader) next() (frame.Frame, error) {
	for {
		_, data, err := r.conn.ReadMessage()
		if err != nil {
			return frame.Frame{}, err
		}
		r.o.Trace(false, data)
		f, err := frame.Parse(data)
		switch {
		case err == nil:
			return f, nil
		case r.o.Launched:
			if r.bad++; r.bad == 1 {
				r.o.Log.Debug("ignored a frame before the handshake that is no JSON", "bytes", len(data))
			}
		default:
			return frame.Frame{}, &ConnectError{
				Code: "garbage", Message: "the program on the port does not speak the gateway's protocol: " + err.Error(),
				Cause: err,
				Hint:  "check that the program on this port is a gateway; read its output with `gatehost logs NAME`",
			}
		}
	}
}

func awaitChallenge(r *reader) (nonce string, ts int64, err error) {
	for range maxHandshakeFrames {
		f, err := r.next()
		if err != nil {
			return "", 0, err
		}
		if f.Kind != frame.Event || f.Name != "connect.challenge" {
			continue
		}
		var p struct {
			Nonce string  `json:"nonce"`
			TS    float64 `json:"ts"`
		}
		if err := json.Unmarshal(f.Payload, &p); err != nil || p.Nonce == "" || len(p.Nonce) > 4096 {
			return "", 0, &ConnectError{
				Code: "challenge_without_nonce", Message: "Gateway connect.challenge missing nonce",
				Hint: "upgrade the gateway, or gatehost",
			}
		}
		if p.TS < 1 || p.TS > 1<<52 {
			p.TS = float64(time.Now().UnixMilli())
		}
		return p.Nonce, int64(p.TS), nil
	}
	return "", 0, &ConnectError{
		Code:    "no_challenge",
		Message: "the gateway sent many frames but no connect.challenge", Hint: hintSilent,
	}
}

func sendConnect(conn *websocket.Conn, id, nonce string, ts int64, o Options) error {
	params := map[string]any{
		"minProtocol": MinProtocol, "maxProtocol": MaxProtocol,
		"client": map[string]any{"id": clientID, "version": o.Version, "platform": runtime.GOOS, "mode": clientMode},
		"role":   role, "scopes": o.Scopes, "caps": []string{},
		"locale": "en-US", "userAgent": "gatehost/" + o.Version,
	}
	auth := map[string]any{}
	if o.Token != "" {
		auth["token"] = o.Token
	}
	if o.Password != "" {
		auth["password"] = o.Password
	}
	if len(auth) > 0 {
		params["auth"] = auth
	}
	if o.Device != nil {
		payload := frame.DeviceAuth{
			DeviceID: o.Device.ID, ClientID: clientID, ClientMode: clientMode, Role: role, Scopes: o.Scopes,
			SignedAtMs: ts, Token: o.Token, Nonce: nonce, Platform: runtime.GOOS,
		}.V3()
		params["device"] = map[string]any{
			"id": o.Device.ID, "publicKey": o.Device.PublicKey(), "signature": o.Device.sign(payload), "signedAt": ts,
			"nonce": nonce,
		}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	data, err := frame.NewRequest(id, "connect", raw)
	if err != nil {
		return err
	}
	o.Trace(true, data)
	_ = conn.SetWriteDeadline(time.Now().Add(o.ConnectTimeout))
	return conn.WriteMessage(websocket.TextMessage, data)
}

func awaitHello(r *reader, id string) (Hello, error) {
	for range maxHandshakeFrames {
		f, err := r.next()
		if err != nil {
			return Hello{}, err
		}
		if f.Kind != frame.Response || f.ID != id {
			continue // nothing else counts before the handshake is over (B139)
		}
		if !f.OK {
			return Hello{}, refusal(f.Error)
		}
		return parseHello(f.Payload)
	}
	return Hello{}, &ConnectError{
		Code: "no_answer", Message: "the gateway sent many frames but no answer to connect",
		Hint: hintSilent,
	}
}

func parseHello(raw json.RawMessage) (Hello, error) {
	var w struct {
		Protocol int `json:"protocol"`
		Server   struct {
			Version, BuildID, BootID, ConnID string
		} `json:"server"`
		Features struct{ Methods, Events []string } `json:"features"`
		Auth     struct{ Scopes []string }          `json:"auth"`
		Policy   struct {
			TickIntervalMs float64 `json:"tickIntervalMs"`
			MaxPayload     float64 `json:"maxPayload"`
		} `json:"policy"`
		Snapshot json.RawMessage `json:"snapshot"`
	}
	if err := json.Unmarshal(raw, &w); err != nil || w.Protocol < MinProtocol || w.Protocol > MaxProtocol {
		return Hello{}, &ConnectError{
			Code: "bad_hello", Message: "the gateway's hello cannot be understood", Hint: "upgrade gatehost",
			Final: true, Cause: err,
		}
	}
	h := Hello{
		Protocol: w.Protocol, Version: bound(w.Server.Version), BuildID: bound(w.Server.BuildID),
		BootID: bound(w.Server.BootID), ConnID: bound(w.Server.ConnID), Methods: w.Features.Methods,
		Events: w.Features.Events, Scopes: w.Auth.Scopes, Snapshot: w.Snapshot,
	}
	if ms := w.Policy.TickIntervalMs; ms >= 100 && ms <= 3600_000 {
		h.TickInterval = time.Duration(ms) * time.Millisecond
	}
	if n := w.Policy.MaxPayload; n >= 1024 && n <= frameLimit {
		h.MaxPayload = int64(n)
	}
	return h, nil
}

func bound(s string) string { return s[:min(len(s), 256)] }
