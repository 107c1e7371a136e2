package conformance_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/internal/frame"
)

// patience is how long a test waits for something that should happen.
const patience = 60 * time.Second

// testToken is the token in the captured frames.
const testToken = "test-token"

// captured is one line of a captured exchange.
type captured struct {
	Dir   string          `json:"dir"`
	Frame json.RawMessage `json:"frame"`
}

func loadExchange(t *testing.T, name string) []captured {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "frames", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var out []captured
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// exchanges are the captured ones that can be played again: no device signatures, no remote clients.
func exchanges() []string {
	return []string{
		"err-wrong-token", "err-missing-token", "err-empty-auth", "err-protocol-3", "err-protocol-99", "err-protocol-missing",
		"err-unknown-client-id", "err-unknown-client-mode", "err-extra-param", "err-extra-client-param", "err-role-bogus",
		"err-protocol-3-wrong-token", "first-frame-not-connect", "first-frame-not-json", "second-connect",
		"post-auth-malformed", "ok-protocol-1-to-99", "ok-protocol-3-to-4", "ok-token-in-password-field", "backend-no-scopes",
		"backend-role-omitted", "backend-scopes-omitted", "backend-unknown-scope", "proto3-probe", "proto3-node-mode",
		"cli-client-no-device", "first-frame-binary-json",
	}
}

// recorded is what the real gateway answered when the exchange was captured.
func recorded(t *testing.T, name string) []string {
	t.Helper()
	var out []string
	for _, c := range loadExchange(t, name) {
		switch {
		case c.Dir == "in":
			if text, ok := describe(c.Frame); ok {
				out = append(out, text)
			}
		case c.Dir == "note":
			var note struct {
				Close *struct {
					Code   int
					Reason string
				}
			}
			if json.Unmarshal(c.Frame, &note) == nil && note.Close != nil {
				out = append(out, fmt.Sprintf("close %d %q", note.Close.Code, note.Close.Reason))
			}
		}
	}
	return out
}

var versions = regexp.MustCompile(`"(min|max)Protocol":\s*([34])\b`) //nolint:gochecknoglobals // a constant

// inProtocol moves the versions that a client asks for to a gateway that speaks another one, so that the question stays
// the same.
func inProtocol(data []byte, protocol int) []byte {
	return versions.ReplaceAllFunc(data, func(m []byte) []byte {
		m = slices.Clone(m)
		m[len(m)-1] += byte(protocol - 4) //nolint:gosec // 3 or 4
		return m
	})
}

// play sends what the client sent then and describes what comes back.
func play(t *testing.T, url, token, name string, protocol int) []string {
	t.Helper()
	conn := open(t, url)
	defer func() { _ = conn.NetConn().Close() }()
	var out []string
	list := loadExchange(t, name)
	if list[0].Dir == "out" { // captured from after the handshake on
		connect(t, conn, token, []string{"operator.read", "operator.write", "operator.admin"})
		list = list[1:]
	}
	for _, c := range list {
		switch c.Dir {
		case "in":
			if _, ok := describe(c.Frame); !ok {
				continue
			}
			text, more := receive(conn)
			out = append(out, text)
			if !more {
				return out
			}
		case "out":
			kind, data := websocket.TextMessage, []byte(c.Frame)
			if name == "first-frame-binary-json" { // the frame itself was not captured
				kind, data = websocket.BinaryMessage,
					connectFrame("b1", token, []string{"operator.read", "operator.write", "operator.admin"})
			}
			var raw string
			if json.Unmarshal(c.Frame, &raw) == nil {
				data = []byte(raw)
			}
			data = inProtocol([]byte(strings.ReplaceAll(string(data), testToken, token)), protocol)
			if err := conn.WriteMessage(kind, data); err != nil {
				return append(out, "cannot send: "+err.Error())
			}
		case "note":
			taken := len(out) > 0 && strings.Contains(out[len(out)-1], " ok keys ") // who is let in is not closed
			if strings.Contains(string(c.Frame), `"code"`) && !taken {
				text, _ := receive(conn)
				out = append(out, text)
			}
		}
	}
	return out
}

func open(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	return conn
}

// receive describes the next challenge, answer or close; other events come when they like and are passed over.
func receive(conn *websocket.Conn) (text string, more bool) {
	for {
		_, data, err := conn.ReadMessage()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return fmt.Sprintf("close %d %q", closed.Code, closed.Text), false
		}
		if err != nil {
			return "error " + err.Error(), false
		}
		if text, ok := describe(data); ok {
			return text, true
		}
	}
}

// describe is a frame without what differs between two runs; ok is false for events other than the challenge.
func describe(data []byte) (text string, ok bool) {
	var f map[string]any
	if json.Unmarshal(data, &f) != nil {
		return "", false
	}
	switch f["type"] {
	case "event":
		if f["event"] != "connect.challenge" {
			return "", false
		}
		return "event connect.challenge " + shape(f["payload"], ""), true
	case "res":
		if f["ok"] == true {
			return fmt.Sprintf("res %v ok keys %v: %s", f["id"], keys(f), shape(f["payload"], "")), true
		}
		return fmt.Sprintf("res %v error %s", f["id"], exact(f["error"])), true
	default:
		return "", false
	}
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func exact(v any) string {
	data, _ := json.Marshal(v) // it came from JSON
	return uuid.ReplaceAllString(string(data), "<uuid>")
}

// loose are the places whose content depends on the moment or on what is installed, not on the protocol.
func loose(path string) bool {
	for _, p := range []string{
		".snapshot.health", ".snapshot.presence", ".eventLoop", ".modelRuntime", ".health", ".runtimeConfig", ".config",
		".resolved", ".sourceConfig", ".parsed", ".heartbeat", ".schedule", ".dreaming", ".workerPools", ".summary",
		".pluginSurfaceUrls", ".processMemory", ".taskAudit", ".shutdownBudget",
	} {
		if strings.HasSuffix(path, p) {
			return true
		}
	}
	return false
}

// optional are members that come and go with the moment.
func optional(path string) bool {
	for _, p := range []string{
		".snapshot.updateSchedule", ".controlUiWidgetKinds", ".controlUiLinkReaders", ".eventLoop", ".auth.recoveryScope",
		".modelRuntime", ".install",
		".defaultAgentUtilityModel", ".backgroundTasks",
	} {
		if strings.HasSuffix(path, p) {
			return true
		}
	}
	return false
}

// shape is the types and key sets of a value: objects to their depth, arrays as such. Null fits anything.
func shape(v any, path string) string {
	switch v := v.(type) {
	case map[string]any:
		if loose(path) {
			return "object"
		}
		var b strings.Builder
		for _, k := range keys(v) {
			if at := path + "." + k; !optional(at) {
				fmt.Fprintf(&b, "%s:%s ", k, shape(v[k], at))
			}
		}
		return "{" + strings.TrimSpace(b.String()) + "}"
	case []any:
		if strings.HasSuffix(path, ".scopes") {
			return exact(v)
		}
		return "array"
	case string:
		switch path {
		case ".type", ".auth.role", ".auth.method", ".server.version", ".snapshot.authMode", ".snapshot.suspension.phase":
			return exact(v)
		}
		return "string"
	case float64:
		if path == ".protocol" || strings.HasPrefix(path, ".policy.max") || path == ".policy.tickIntervalMs" {
			return exact(v)
		}
		return "number"
	case bool:
		return "bool"
	default:
		return "null"
	}
}

// call is one RPC that both gateways are asked.
type call struct{ method, params string }

func calls() []call {
	return []call{
		{"health", "{}"},
		{"health", ""},
		{"health", `{"bogus":1}`},
		{"status", "{}"},
		{"system-presence", "{}"},
		{"system.info", "{}"},
		{"last-heartbeat", "{}"},
		{"gateway.identity.get", "{}"},
		{"gateway.restart.preflight", "{}"},
		{"channels.status", "{}"},
		{"node.list", "{}"},
		{"logs.tail", `{"limit":"x"}`},
		{"models.list", "{}"},
		{"config.get", "{}"},
		{"config.patch", "{}"},
		{"config.patch", `{"raw":"{nope"}`},
		{"config.patch", `{"raw":"{\"gateway\":{\"port\":\"x\"}}"}`},
		{"device.pair.list", "{}"},
		{"gateway.suspend.status", `{"suspensionId":"x"}`},
		{"gateway.suspend.prepare", "{}"},
		{"shutdown", "{}"},
		{"no.such.method", "{}"},
		{"system.shutdown", "{}"},
	}
}

func (c call) String() string { return c.method + " " + c.params }

// ask makes all calls on one session with those scopes.
func ask(t *testing.T, url, token string, scopes []string) map[string]string {
	t.Helper()
	conn := open(t, url)
	defer func() { _ = conn.NetConn().Close() }()
	connect(t, conn, token, scopes)
	out := map[string]string{}
	for i, c := range calls() {
		request := map[string]any{"type": "req", "id": fmt.Sprint("c", i), "method": c.method}
		if c.params != "" {
			request["params"] = json.RawMessage(c.params)
		}
		if err := conn.WriteJSON(request); err != nil {
			t.Fatal(err)
		}
		text, _ := receive(conn)
		_, after, _ := strings.Cut(text, " ")
		_, out[c.String()], _ = strings.Cut(after, " ")
	}
	return out
}

// connect opens a session and returns its hello.
func connect(t *testing.T, conn *websocket.Conn, token string, scopes []string) map[string]any {
	t.Helper()
	hello, err := greet(conn, token, scopes)
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// greet does the handshake as the product does: with a device, without which releases before 2026.5 grant no scopes.
func greet(conn *websocket.Conn, token string, scopes []string) (map[string]any, error) {
	if scopes == nil {
		scopes = []string{}
	}
	var challenge struct {
		Event   string
		Payload struct{ Nonce string }
	}
	if err := conn.ReadJSON(&challenge); err != nil || challenge.Event != "connect.challenge" {
		return nil, fmt.Errorf("first came %+v, %w", challenge, err)
	}
	connect := deviceFrame("connect", token, challenge.Payload.Nonce, scopes)
	if err := conn.WriteMessage(websocket.TextMessage, connect); err != nil {
		return nil, err
	}
	for {
		var f map[string]any
		if err := conn.ReadJSON(&f); err != nil {
			return nil, err
		}
		if f["type"] == "res" {
			payload, _ := f["payload"].(map[string]any)
			if f["ok"] != true {
				return nil, fmt.Errorf("connect: %v", f)
			}
			return payload, nil
		}
	}
}

// connectFrame asks for a session without a device.
func connectFrame(id, token string, scopes []string) []byte {
	return deviceFrame(id, token, "", scopes)
}

// deviceFrame proves the device to a challenge's nonce; without one it brings no device.
func deviceFrame(id, token, nonce string, scopes []string) []byte {
	params := map[string]any{
		"minProtocol": 3, "maxProtocol": 4, "role": "operator", "scopes": scopes, "caps": []string{},
		"auth":   map[string]any{"token": token},
		"client": map[string]any{"id": "gateway-client", "version": "0.0.1", "platform": "linux", "mode": "backend"},
	}
	if nonce != "" {
		public, key, _ := ed25519.GenerateKey(nil) // a new one each time: writes are limited for each device
		proof := frame.DeviceAuth{
			DeviceID: fmt.Sprintf("%x", sha256.Sum256(public)), ClientID: "gateway-client", ClientMode: "backend",
			Role: "operator", Scopes: scopes, SignedAtMs: time.Now().UnixMilli(), Token: token, Nonce: nonce, Platform: "linux",
		}
		params["device"] = map[string]any{
			"id": proof.DeviceID, "publicKey": base64.RawURLEncoding.EncodeToString(public), "signedAt": proof.SignedAtMs,
			"nonce":     nonce,
			"signature": base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(proof.V3()))),
		}
	}
	// it is made of texts
	data, _ := json.Marshal(map[string]any{"type": "req", "id": id, "method": "connect", "params": params})
	return data
}

// difference says where two lists of descriptions differ.
func difference(got, want []string) string {
	var b strings.Builder
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w && !same(g, w) {
			fmt.Fprintf(&b, "emulator: %s\n    real: %s\n", g, w)
		}
	}
	return b.String()
}

// same forgives null against something at the same place.
func same(g, w string) bool {
	inner := func(r rune) bool { return strings.ContainsRune(" {}", r) }
	x, y := strings.FieldsFunc(g, inner), strings.FieldsFunc(w, inner)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		kx, vx, _ := strings.Cut(x[i], ":")
		ky, vy, _ := strings.Cut(y[i], ":")
		if x[i] != y[i] && (kx != ky || vx != "null" && vy != "null") {
			return false
		}
	}
	return true
}
