package gatewaytest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

const patience = 30 * time.Second

func start(t *testing.T, s *gatewaytest.Server) *gatewaytest.Server {
	t.Helper()
	if s.Scale == 0 {
		s.Scale = -1
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// client is a bare WebSocket.
type client struct {
	t  *testing.T
	ws *websocket.Conn
}

func connect(t *testing.T, s *gatewaytest.Server) *client {
	t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	t.Cleanup(func() { _ = ws.NetConn().Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &client{t, ws}
}

func (c *client) next() (map[string]any, error) {
	_, data, err := c.ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	return m, nil
}

func (c *client) challenge() (nonce string, ts int64) {
	c.t.Helper()
	m, err := c.next()
	if err != nil || m["event"] != "connect.challenge" {
		c.t.Fatalf("challenge = %v, %v", m, err)
	}
	p := m["payload"].(map[string]any)
	return p["nonce"].(string), int64(p["ts"].(float64))
}

func params(token string) map[string]any {
	return map[string]any{
		"minProtocol": 3, "maxProtocol": 4, "role": "operator", "scopes": []string{"operator.read"}, "caps": []string{},
		"auth": map[string]any{"token": token}, "client": map[string]any{
			"id": "gateway-client", "version": "1",
			"platform": "Linux", "mode": "backend",
		},
	}
}

func (c *client) call(method string, params any) map[string]any {
	c.t.Helper()
	if err := c.ws.WriteJSON(map[string]any{
		"type": "req", "id": method, "method": method,
		"params": params,
	}); err != nil {
		c.t.Fatal(err)
	}
	for {
		m, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		if m["type"] == "res" && m["id"] == method {
			return m
		}
	}
}

func code(m map[string]any) string {
	e, _ := m["error"].(map[string]any)
	d, _ := e["details"].(map[string]any)
	s, _ := d["code"].(string)
	return s
}

func TestZeroValueIsAGatewayThatTakesItsOwnToken(t *testing.T) {
	var s gatewaytest.Server
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	<-s.Ready()
	c := connect(t, &s)
	c.challenge()
	if m := c.call("connect", params(s.AuthToken())); m["ok"] != true {
		t.Errorf("connect = %v", m)
	}
	if m := c.call("health", map[string]any{}); m["ok"] != true {
		t.Errorf("health = %v", m)
	}
	if s.Accepted() != 1 || s.Calls()["health"] != 1 || s.Sessions() != 1 {
		t.Errorf("accepted %d, calls %v, sessions %d", s.Accepted(), s.Calls(), s.Sessions())
	}
}

func TestStopLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, misbehave := range []string{
		"", "never-challenge", "sidecars-forever", "silent-after=1",
		"late-answers=60000", "hang-probes",
	} {
		s := &gatewaytest.Server{Misbehave: misbehave}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.URL(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		read := make(chan struct{})
		go func() { // a peer that answers close frames
			defer close(read)
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		}()
		s.Stop()
		<-read
		_ = ws.NetConn().Close()
		if _, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(s.PortNumber()), time.Second); err == nil {
			t.Errorf("%q: the port is still open", misbehave)
		}
		s.Stop() // again is harmless
	}
}

func TestDeviceProofsAreVerified(t *testing.T) {
	s := start(t, &gatewaytest.Server{})
	<-s.Ready()
	key := ed25519.NewKeyFromSeed([]byte("gatewaytest, a seed of 32 bytes!"))
	public := key.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	id := hex.EncodeToString(sum[:])
	for _, row := range []struct {
		name   string
		change func(a *frame.DeviceAuth, d map[string]any)
		v2     bool
		want   string
	}{
		{"v3", nil, false, ""},
		{"v2", nil, true, ""},
		{
			"another nonce", func(a *frame.DeviceAuth, d map[string]any) { a.Nonce, d["nonce"] = "x", "x" }, false,
			"DEVICE_AUTH_NONCE_MISMATCH",
		},
		{
			"old", func(a *frame.DeviceAuth, d map[string]any) { a.SignedAtMs -= 130_000; d["signedAt"] = a.SignedAtMs },
			false, "DEVICE_AUTH_SIGNATURE_EXPIRED",
		},
		{
			"from the future",
			func(a *frame.DeviceAuth, d map[string]any) { a.SignedAtMs += 130_000; d["signedAt"] = a.SignedAtMs },
			false, "DEVICE_AUTH_SIGNATURE_EXPIRED",
		},
		{
			"a minute old",
			func(a *frame.DeviceAuth, d map[string]any) { a.SignedAtMs -= 60_000; d["signedAt"] = a.SignedAtMs }, false,
			"",
		},
		{
			"signed without the token", func(a *frame.DeviceAuth, _ map[string]any) { a.Token = "" }, false,
			"DEVICE_AUTH_SIGNATURE_INVALID",
		},
		{
			"signed with other scopes", func(a *frame.DeviceAuth, _ map[string]any) { a.Scopes = nil }, false,
			"DEVICE_AUTH_SIGNATURE_INVALID",
		},
		{
			"another id", func(_ *frame.DeviceAuth, d map[string]any) { d["id"] = strings.Repeat("0", 64) }, false,
			"DEVICE_AUTH_DEVICE_ID_MISMATCH",
		},
		{
			"no key", func(_ *frame.DeviceAuth, d map[string]any) { d["publicKey"] = "x" }, false,
			"DEVICE_AUTH_DEVICE_ID_MISMATCH",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := connect(t, s)
			nonce, ts := c.challenge()
			auth := frame.DeviceAuth{
				DeviceID: id, ClientID: "gateway-client", ClientMode: "backend", Role: "operator",
				Scopes: []string{"operator.read"}, SignedAtMs: ts,
				Token: s.AuthToken(), Nonce: nonce, Platform: "Linux",
			}
			device := map[string]any{
				"id": id, "publicKey": base64.RawURLEncoding.EncodeToString(public),
				"signedAt": ts, "nonce": nonce,
			}
			if row.change != nil {
				row.change(&auth, device)
			}
			payload := auth.V3()
			if row.v2 {
				payload = auth.V2()
			}
			device["signature"] = base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(payload)))
			p := params(s.AuthToken())
			p["device"] = device
			m := c.call("connect", p)
			if ok := m["ok"] == true; ok != (row.want == "") || code(m) != row.want {
				t.Errorf("connect = %v, want %q", m, row.want)
			}
		})
	}
}

func TestFramesAreLimited(t *testing.T) { // docs/openclaw.md §9
	s := start(t, &gatewaytest.Server{})
	<-s.Ready()
	c := connect(t, s)
	c.challenge()
	_ = c.ws.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(" ", 64<<10+1)))
	if _, err := c.next(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("before: %v", err)
	}
	c = connect(t, s)
	c.challenge()
	c.call("connect", params(s.AuthToken()))
	big := map[string]any{"pad": strings.Repeat("x", 2<<20)}
	if m := c.call("health", big); m["ok"] != true {
		t.Errorf("2 MiB: %v", m)
	}
	_ = c.ws.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(" ", 25<<20+1)))
	if _, err := c.next(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("after: %v", err)
	}
}

func TestForwardedRequestIsRefused(t *testing.T) {
	s := start(t, &gatewaytest.Server{})
	_, resp, err := websocket.DefaultDialer.DialContext(t.Context(), s.URL(),
		http.Header{"X-Forwarded-For": {"192.0.2.1"}})
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
}

func TestConfigIsWrittenWithItsHash(t *testing.T) {
	path := t.TempDir() + "/openclaw.json"
	s := start(t, &gatewaytest.Server{ConfigPath: path})
	<-s.Ready()
	c := connect(t, s)
	c.challenge()
	p := params(s.AuthToken())
	p["scopes"] = []string{"operator.admin"}
	c.call("connect", p)
	if m := c.call("config.set", map[string]any{"raw": `{gateway: {mode: 'local'}, /* JSON5 */}`}); m["ok"] != true {
		t.Fatalf("set = %v", m)
	}
	hash := func() string {
		payload := c.call("config.get", map[string]any{})["payload"].(map[string]any)
		return payload["hash"].(string)
	}
	before := hash()
	if m := c.call("config.patch", map[string]any{
		"raw":      `{"logging":{"level":"debug"}}`,
		"baseHash": "stale",
	}); !strings.Contains(message(m), "changed since") {
		t.Errorf("stale = %v", m)
	}
	if m := c.call("config.patch", map[string]any{
		"raw":      `{"gateway":{"port":"x"}}`,
		"baseHash": before,
	}); !strings.Contains(message(m), "gateway.port: Invalid input: expected number") {
		t.Errorf("invalid = %v", m)
	}
	m := c.call("config.patch", map[string]any{"raw": `{"logging":{"level":"debug"}}`, "baseHash": before})
	if m["ok"] != true || hash() == before {
		t.Errorf("patch = %v", m)
	}
	boot := s.BootID()
	m = c.call("config.patch", map[string]any{"raw": `{"gateway":{"bind":"loopback"}}`, "baseHash": hash()})
	if text, _ := json.Marshal(m); !strings.Contains(string(text), `"requiresRestart":true`) {
		t.Errorf("restart class = %s", text)
	}
	for {
		if _, err := c.next(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
				t.Errorf("then %v", err)
			}
			break
		}
	}
	deadline := time.Now().Add(patience)
	for s.BootID() == boot && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond) // a poll
	}
	if s.BootID() == boot {
		t.Error("it did not restart")
	}
}

func message(m map[string]any) string {
	e, _ := m["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

func TestScriptsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, script := range []string{
		"explode", "close-after=5", "close-after=x:1", "sidecars", "no-ticks=1",
		"sidecars=-1",
	} {
		s := &gatewaytest.Server{Misbehave: script}
		if err := s.Start(t.Context()); !errors.Is(err, gatewaytest.ErrMisbehaviour) {
			t.Errorf("%s: %v", script, err)
			s.Stop()
		}
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	first := start(t, &gatewaytest.Server{})
	second := &gatewaytest.Server{Port: first.PortNumber(), Scale: -1}
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot listen on port") {
		t.Errorf("err = %v", err)
	}
	second.Stop()
}

// inBubble dials a gateway over pipes.
func inBubble(t *testing.T, s *gatewaytest.Server) *client {
	t.Helper()
	p := gatewaytest.NewPipe()
	s.Listeners = []net.Listener{p}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	d := websocket.Dialer{NetDialContext: p.Dial}
	ws, _, err := d.DialContext(context.Background(), "ws://gateway/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, ws}
}

func TestSilentPeerIsPingedOnceAndCutAfter75Seconds(t *testing.T) { // docs/openclaw.md §9
	synctest.Test(t, func(t *testing.T) {
		s := &gatewaytest.Server{}
		defer s.Stop()
		c := inBubble(t, s)
		defer func() { _ = c.ws.NetConn().Close() }()
		began := time.Now()
		var pings []time.Duration
		c.ws.SetPingHandler(func(string) error {
			pings = append(pings, time.Since(began))
			return nil // and no pong
		})
		c.challenge()
		c.call("connect", params(s.AuthToken()))
		ticks := 0
		for {
			m, err := c.next()
			if err != nil {
				if websocket.IsCloseError(err) || time.Since(began) != 75*time.Second || len(pings) != 1 ||
					pings[0] != 25*time.Second || ticks == 0 {
					t.Errorf("%v after %v, pings %v, ticks %d", err, time.Since(began), pings, ticks)
				}
				return
			}
			if m["event"] == "tick" {
				ticks++
			}
		}
	})
}

func TestPeerThatNeverConnectsIsClosedAfter15Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &gatewaytest.Server{}
		defer s.Stop()
		c := inBubble(t, s)
		defer func() { _ = c.ws.NetConn().Close() }()
		began := time.Now()
		c.challenge()
		_, err := c.next()
		if !websocket.IsCloseError(err, websocket.CloseNormalClosure) || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Measured on 2026.9.6: config.get hides secrets and shows defaults; config.set takes that shape, writes neither the
// defaults nor the placeholders, and answers without a word about restarts; config.schema.lookup has those.
func TestConfigGoesRoundInTheShapeItIsShownIn(t *testing.T) {
	path := t.TempDir() + "/openclaw.json"
	text := "{\n  // mine\n  gateway: { mode: 'local', auth: { mode: 'token', token: 'sesame-12345678' } },\n}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, &gatewaytest.Server{ConfigPath: path, Token: "sesame-12345678"})
	<-s.Ready()
	c := connect(t, s)
	c.challenge()
	p := params(s.AuthToken())
	p["scopes"] = []string{"operator.admin"}
	c.call("connect", p)
	got := c.call("config.get", map[string]any{})["payload"].(map[string]any)
	if shown, _ := json.Marshal(got); strings.Contains(string(shown), "sesame") ||
		!strings.Contains(got["raw"].(string), "// mine") {
		t.Errorf("config.get shows %s", shown)
	}
	config := got["config"].(map[string]any)
	config["logging"] = map[string]any{"level": "debug"}
	raw, _ := json.Marshal(config)
	m := c.call("config.set", map[string]any{"raw": string(raw), "baseHash": got["hash"]})
	payload, _ := m["payload"].(map[string]any)
	if m["ok"] != true || payload["sentinel"] != nil || payload["hash"] == got["hash"] {
		t.Fatalf("config.set = %v", m)
	}
	data, err := os.ReadFile(path)
	want := "{\n  \"gateway\": {\n    \"auth\": {\n      \"mode\": \"token\",\n      \"token\": \"sesame-12345678\"\n  " +
		"  },\n    \"mode\": \"local\"\n  },\n  \"logging\": {\n    \"level\": \"debug\"\n  },\n  \"meta\""
	if err != nil || !strings.HasPrefix(string(data), want) || strings.Contains(string(data), "ackReaction") {
		t.Errorf("%v: the file is\n%s", err, data)
	}
	config["hooks"] = map[string]any{"token": "__OPENCLAW_REDACTED__"}
	raw, _ = json.Marshal(config)
	if m := c.call("config.set", map[string]any{"raw": string(raw), "baseHash": payload["hash"]}); !strings.Contains(
		message(m), "not valid as real data") {
		t.Errorf("a placeholder for nothing: %v", m)
	}
	for at, kind := range map[string]string{
		"logging.level": "none", "gateway.bind": "restart",
		"gateway.controlUi.enabled": "hot",
	} {
		m := c.call("config.schema.lookup", map[string]any{"path": at})
		if m["payload"].(map[string]any)["reloadKind"] != kind {
			t.Errorf("%s: %v, want %s", at, m, kind)
		}
	}
	if m := c.call("config.schema.lookup", map[string]any{"path": "nope.nope"}); message(
		m) != "config schema path not found" {
		t.Errorf("an unknown path: %v", m)
	}
}
