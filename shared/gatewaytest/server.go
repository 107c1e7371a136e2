package gatewaytest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Version is the newest release that is played, and the default.
const Version = "2026.9.6"

// Scale is the part of a real gateway's time that an emulated one takes where nothing else is asked for.
const Scale = 0.02

// Call is one RPC as a Handler sees it.
type Call struct {
	Method string
	Params json.RawMessage // nil when there were none
	Scopes []string        // of the session
}

// Handler answers a call. An error of type *Error goes out as it is.
type Handler func(ctx context.Context, c Call) (any, error)

// Record is one line of the gateway's log.
type Record struct {
	Warn      bool   // stderr; else stdout
	Subsystem string // "gateway"; "" for the few lines that name none
	Text      string
	Bare      bool // a line without a time, as the tail of a message of several lines
}

// Server is a gateway inside a test. The zero value works: a free port on both loopbacks, a random token, no waiting to
// speak of. The fields are read by Start and may not be changed after it. Methods are safe for concurrent use; Stop
// must be called, and leaves no goroutine behind. All time is that of package time, so that it runs inside a synctest
// bubble with Listeners of pipes.
type Server struct {
	Token      string         // "": a random one, see AuthToken
	NoAuth     bool           // as --auth none: takes any token
	Auth       string         // none, token, password or trusted-proxy; "": token
	Password   string         // of the last two
	TLS        *tls.Config    // nil: it serves plain HTTP
	Port       int            // 0: a free one, kept over restarts
	Listeners  []net.Listener // instead of TCP on Port; each generation takes the same ones
	Scale      float64        // of a real gateway's times; 0 is Scale, negative is none
	Tick       time.Duration  // default 30 s
	Ping       time.Duration  // default 25 s; a peer that does not pong is cut after two more
	Handshake  time.Duration  // default 15 s
	Release    string         // that is played, one of Releases; "": the newest
	Version    string         // that it says it is; "": the release's own
	Misbehave  string         // a script, see Misbehaviours
	StateDir   string         // as it is named to clients
	ConfigPath string         // of config.*; "": the configuration lives in memory
	Handlers   map[string]Handler
	Log        func(Record)
	// LogConnections logs a line for each WebSocket: "emulator: websocket accepted".
	LogConnections bool

	// for the program
	beforeListen func() error        // in a restart, after the port was closed; an error leaves it closed
	externally   func() bool         // a restart that leaves the process, and says so
	noChannels   bool                // OPENCLAW_SKIP_CHANNELS
	portTries    int                 // how often a port that is taken is tried again
	requested    func(reason string) // a restart asked for by RPC; nil: Restart

	script  script
	release release
	shown   atomic.Int32 // the port, for lines
	config  configStore

	mu       sync.Mutex // guards all below
	port     int
	token    string
	current  *generation
	http     *http.Server // nil while the port is closed
	conns    map[*conn]struct{}
	refused  int
	accepted int
	calls    map[string]int
	writes   map[string][]time.Time // of a device, in the last minute
	pairing  string                 // a pending pairing request
	tasks    sync.WaitGroup
	stopping bool

	restarting bool

	life context.Context //nolint:containedctx // ends with Stop
	end  context.CancelFunc
}

// generation is the gateway between two restarts.
type generation struct {
	bootID string
	began  time.Time
	talks  chan struct{} // closed when challenges are sent
	ready  chan struct{} // closed when connects are taken
	over   chan struct{} // closed when it drains

	suspended  string // an id of gateway.suspend; guarded by Server.mu, as is the next
	restarting bool   // asked for by RPC
}

// Start opens the port and returns; connects are refused with startup-sidecars until Ready. It fails when the port is
// taken, when the script makes no sense, or with the cause of ctx while a slow start is awaited.
func (s *Server) Start(ctx context.Context) error {
	if s.life == nil {
		if err := s.prepare(); err != nil {
			return fmt.Errorf("cannot start gateway: %w", err)
		}
	}
	return s.begin(ctx, false)
}

// prepare makes Stop safe to call.
func (s *Server) prepare() error {
	var err error
	if s.script, err = parseScript(s.Misbehave); err != nil {
		return err
	}
	if s.release, err = choose(s.Release, s.script); err != nil {
		return err
	}
	s.defaults()
	return s.config.load(s.ConfigPath)
}

func (s *Server) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&s.Tick, 30*time.Second)
	def(&s.Ping, 25*time.Second)
	def(&s.Handshake, 15*time.Second)
	if s.Scale == 0 {
		s.Scale = Scale
	}
	if s.Version == "" {
		s.Version = s.release.version
	}
	if s.token = s.Token; s.token == "" {
		s.token = randomText(24)
	}
	if s.Log == nil {
		s.Log = func(Record) {}
	}
	if s.StateDir == "" {
		s.StateDir = "/home/emulator/.openclaw"
	}
	s.conns, s.calls, s.writes, s.port = map[*conn]struct{}{}, map[string]int{}, map[string][]time.Time{}, s.Port
	s.life, s.end = context.WithCancel(context.Background())
}

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Server) protocol() int { return s.release.protocol }

// AuthToken is the token that connects must bring.
func (s *Server) AuthToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// PortNumber is where it listens; 0 with Listeners.
func (s *Server) PortNumber() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// URL is the WebSocket's address.
func (s *Server) URL() string {
	scheme := "ws"
	if s.TLS != nil {
		scheme = "wss"
	}
	return scheme + "://127.0.0.1:" + strconv.Itoa(s.PortNumber()) + "/ws"
}

// BootID names the present generation; it changes with each restart.
func (s *Server) BootID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return ""
	}
	return s.current.bootID
}

// Ready is closed when the present generation takes connects.
func (s *Server) Ready() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	return s.current.ready
}

// Accepted counts the WebSockets that were opened so far.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Calls counts the requests so far by method, connect included.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Sessions counts the WebSockets that are open now.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// begin opens a new generation and sets it going.
func (s *Server) begin(ctx context.Context, restart bool) error {
	s.say("gateway", "starting HTTP server...")
	if !s.noChannels || s.release.data != "" {
		s.say("health-monitor", "started (interval: 300s, startup-grace: 60s, channel-connect-grace: 120s)")
	}
	if !s.wait(ctx, s.life.Done(), 700*time.Millisecond) {
		return s.givenUp(ctx)
	}
	if d, ok := s.script.after("slow-listen"); ok && !s.sleep(ctx, s.life.Done(), d) {
		return s.givenUp(ctx)
	}
	if s.script.has("never-listen") {
		select {
		case <-ctx.Done():
		case <-s.life.Done():
		}
		return s.givenUp(ctx)
	}
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	g := &generation{
		bootID: newID(), began: time.Now(), talks: make(chan struct{}), ready: make(chan struct{}),
		over: make(chan struct{}),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		for _, l := range listeners {
			_ = l.Close()
		}
		return errStopped
	}
	if s.http == nil {
		s.http = &http.Server{
			Handler: http.HandlerFunc(s.serveHTTP), ReadHeaderTimeout: 60 * time.Second,
			ErrorLog: log.New(io.Discard, "", 0),
		}
		server := s.http
		for _, l := range listeners {
			if s.TLS != nil {
				l = tls.NewListener(l, s.TLS)
			}
			s.tasks.Go(func() { _ = server.Serve(l) })
		}
	}
	s.current = g
	s.say("gateway", "agent model: openai/gpt-6-astra (thinking=medium, fast=off)")
	s.say("gateway",
		"http server listening (14 plugins: anthropic, browser, canvas, cua-computer, device-pair, file-transfer, "+
			"geolocation, github, linux-node, memory-core, ollama, openai, talk-voice, xai; 2.6s)")
	s.tasks.Go(func() { s.warmUp(g, restart) })
	return nil
}

// warmUp is the time between the open port and ready (docs/openclaw.md §3, and §4 for a restart in process).
func (s *Server) warmUp(g *generation, restart bool) {
	blocked, sidecars := 730*time.Millisecond, 700*time.Millisecond
	switch {
	case s.release.noSidecars:
		blocked, sidecars = 0, 0
	case restart:
		blocked, sidecars = 10*time.Millisecond, 120*time.Millisecond
	}
	if !s.wait(context.Background(), g.over, blocked) {
		return
	}
	close(g.talks)
	s.say("gateway", "starting channels and sidecars...")
	if s.noChannels {
		s.say("gateway/channels", "skipping channel start (OPENCLAW_SKIP_CHANNELS=1 or OPENCLAW_SKIP_PROVIDERS=1)")
	}
	if d, ok := s.script.after("sidecars"); ok {
		if !s.sleep(context.Background(), g.over, d) {
			return
		}
	} else if !s.wait(context.Background(), g.over, sidecars) {
		return
	}
	if s.script.has("sidecars-forever") {
		return
	}
	s.say("gateway",
		"startup outcomes: internal-hooks=skipped (not-configured); internal-startup-hook=skipped (no-handlers-loaded); "+
			"gateway-start-hooks=scheduled; gmail-watcher=skipped (hooks-disabled); gmail-model=skipped (not-configured)")
	s.say("gateway", "ready")
	close(g.ready)
	s.say("heartbeat", "started")
	if !restart {
		if d, ok := s.script.after("restart-after"); ok && s.sleep(context.Background(), g.over, d) {
			s.tasks.Go(func() { _ = s.Restart(context.Background(), "restart-after") })
			return
		}
	}
	s.beat(g)
}

// beat sends what a gateway says by itself.
func (s *Server) beat(g *generation) {
	tick, health := time.NewTicker(s.Tick), time.NewTicker(time.Minute)
	defer tick.Stop()
	defer health.Stop()
	for {
		select {
		case <-g.over:
			return
		case now := <-tick.C:
			if !s.script.has("no-ticks") {
				s.Broadcast("tick", map[string]any{"ts": now.UnixMilli()})
			}
		case <-health.C:
			s.broadcastHealth()
		}
	}
}

func (s *Server) givenUp(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errStopped
}

func (s *Server) listen(ctx context.Context) ([]net.Listener, error) {
	if s.Listeners != nil {
		return s.Listeners, nil
	}
	port := s.PortNumber()
	for attempt := 0; ; attempt++ {
		listeners, got, err := both(ctx, port)
		if err == nil {
			s.setPort(got)
			return listeners, nil
		}
		again := attempt < s.portTries
		if port == 0 {
			again = attempt < 20 // the other family's port was taken: another one is free
		}
		if !again {
			return nil, &portError{port, err}
		}
		if !s.wait(ctx, s.life.Done(), 500*time.Millisecond) {
			return nil, s.givenUp(ctx)
		}
	}
}

// both listens on the two loopbacks, or on the one that a machine without IPv6 has.
func both(ctx context.Context, port int) ([]net.Listener, int, error) {
	var lc net.ListenConfig
	four, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, 0, err
	}
	port = four.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener's
	six, err := lc.Listen(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	switch {
	case err == nil:
		return []net.Listener{four, six}, port, nil
	case !inUse(err):
		return []net.Listener{four}, port, nil
	}
	_ = four.Close()
	return nil, 0, err
}

func (s *Server) setPort(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port = port
	s.shown.Store(int32(port)) //nolint:gosec // a port
}

// portError says that the port could not be had.
type portError struct {
	port  int
	cause error
}

func (e *portError) Error() string {
	return fmt.Sprintf("cannot listen on port %d: %v", e.port, e.cause)
}
func (e *portError) Unwrap() error { return e.cause }

// Restart restarts in process as SIGUSR2 does: shutdown event, close 1012, port closed, port back, ready. It returns
// when the port is open again, and is an error when it could not be opened.
func (s *Server) Restart(ctx context.Context, reason string) error {
	s.mu.Lock()
	g := s.current
	if g == nil || s.stopping || s.restarting {
		s.mu.Unlock()
		return nil
	}
	s.restarting = true
	up := !isClosed(g.over)
	if up {
		close(g.over)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.restarting = false
	}()
	s.say("admission", "closed: restart-signal fence")
	s.say("admission", "closed: restart (SIGUSR2"+suffix(reason)+")")
	s.say("gateway", "received SIGUSR2; restarting")
	if up { // else it stayed alive on an invalid configuration
		s.drain(map[string]any{"reason": "gateway restarting", "restartExpectedMs": 1500})
	}
	if s.externally != nil && s.externally() || s.script.has("zombie-restart") {
		return nil
	}
	if s.beforeListen != nil {
		if err := s.beforeListen(); err != nil {
			return err
		}
	}
	if !s.wait(ctx, s.life.Done(), 1900*time.Millisecond) {
		return s.givenUp(ctx)
	}
	return s.begin(ctx, true)
}

func suffix(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// Stop ends the gateway as SIGTERM does: shutdown event, close 1012. It returns when nothing of it is left. Calling it
// again is harmless.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.life == nil || s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	g := s.current
	drain := g != nil && !isClosed(g.over)
	if drain {
		close(g.over)
	}
	s.mu.Unlock()
	if drain {
		s.drain(s.farewell())
	}
	s.end()
	for _, c := range s.open() {
		c.cut()
	}
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server != nil { // stopped in the middle of a restart
		_ = server.Close()
	}
	s.tasks.Wait()
}

// farewell is the shutdown event of a stop.
func (s *Server) farewell() map[string]any {
	out := map[string]any{"reason": "gateway stopping"}
	if s.release.nullExpected {
		out["restartExpectedMs"] = nil
	}
	return out
}

// drain tells the sessions, closes them and then the port.
func (s *Server) drain(announcement map[string]any) {
	if s.release.startedLine {
		s.say("shutdown", fmt.Sprint("started: ", announcement["reason"]))
	}
	s.Broadcast("shutdown", announcement)
	var closing sync.WaitGroup
	for _, c := range s.open() {
		closing.Go(func() { c.close(websocket.CloseServiceRestart, "service restart") })
	}
	closing.Wait()
	s.say("gmail-watcher", "gmail watcher stopped")
	s.mu.Lock()
	server := s.http
	if s.Listeners != nil && !s.stopping {
		server = nil // pipes live on and are answered with 503 meanwhile
	} else {
		s.http = nil
	}
	s.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	s.say("shutdown", "completed cleanly in 68ms")
}

func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

// Broadcast sends an event to each session that is past its handshake.
func (s *Server) Broadcast(event string, payload any) {
	for _, c := range s.open() {
		c.event(event, payload)
	}
}

// CloseAll closes each session with a close frame and waits for the peers' answers, bounded.
func (s *Server) CloseAll(code int, reason string) {
	var closing sync.WaitGroup
	for _, c := range s.open() {
		closing.Go(func() { c.close(code, reason) })
	}
	closing.Wait()
}

// CutAll cuts each session's connection without a word.
func (s *Server) CutAll() {
	for _, c := range s.open() {
		c.cut()
	}
}

func (s *Server) say(subsystem, text string) { s.put(Record{Subsystem: subsystem, Text: text}) }

func (s *Server) warn(subsystem, text string) {
	s.put(Record{Warn: true, Subsystem: subsystem, Text: text})
}

// put logs a line in the words of the release.
func (s *Server) put(line Record) {
	for _, l := range s.release.say(line, int(s.shown.Load())) {
		s.Log(l)
	}
}

// wait takes the scaled part of a real gateway's time; false when it was given up.
func (s *Server) wait(ctx context.Context, over <-chan struct{}, real time.Duration) bool {
	if s.Scale < 0 {
		return ctx.Err() == nil && !isClosed(over)
	}
	return s.sleep(ctx, over, time.Duration(float64(real)*s.Scale))
}

func (s *Server) sleep(ctx context.Context, over <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-over:
		return false
	case <-ctx.Done():
		return false
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var errStopped = errors.New("the gateway stopped")

func (s *Server) setToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// announceAndClose is a stop that never comes to its end.
func (s *Server) announceAndClose() {
	s.mu.Lock()
	g := s.current
	up := g != nil && !isClosed(g.over)
	if up {
		close(g.over)
	}
	s.mu.Unlock()
	if up {
		s.drain(s.farewell())
	}
}

// abandon ends without a word: connections are cut, no event is sent.
func (s *Server) abandon() {
	s.mu.Lock()
	if s.current != nil && !isClosed(s.current.over) {
		close(s.current.over)
	}
	s.mu.Unlock()
	s.CutAll()
	s.Stop()
}
