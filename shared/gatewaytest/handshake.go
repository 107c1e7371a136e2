package gatewaytest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// connectRequest is what a client asks for with connect.
type connectRequest struct {
	MinProtocol, MaxProtocol int
	Client                   struct {
		ID, Version, Platform, DeviceFamily, Mode string
	}
	Role   string
	Scopes []string
	Device *deviceProof
	Auth   struct {
		Token, Password, DeviceToken, BootstrapToken string
	}
}

// handshake takes the first request; true when the session is open. The order of the checks is the gateway's own:
// frame, params, startup, protocol, role, origin, device required, device proof, token, pairing.
func (c *conn) handshake() bool {
	_, data, err := c.ws.ReadMessage()
	if err != nil {
		if isTimeout(err) {
			c.farewell(websocket.CloseNormalClosure, "")
		}
		return false
	}
	_ = c.ws.SetReadDeadline(time.Time{}) // it is served now
	var f struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if !json.Valid(data) {
		c.notJSON(data)
		c.farewell(websocket.CloseNormalClosure, "")
		return false
	}
	_ = json.Unmarshal(data, &f) // the schema says what is wrong
	c.s.count(f.Method)
	if requestFrame().judge(data, "", c.s.release) != "" || f.Method != "connect" {
		if f.ID == nil {
			c.farewell(websocket.ClosePolicyViolation, "invalid request frame")
			return false
		}
		c.refuse(f.ID, invalid("invalid handshake: first request must be connect"), websocket.ClosePolicyViolation)
		return false
	}
	if d, ok := c.s.script.after("slow-connect"); ok && !c.s.sleep(c.s.life, nil, d) {
		return false
	}
	if c.s.script.has("never-answer-connect") {
		c.linger()
		return false
	}
	if f.Params == nil {
		f.Params = json.RawMessage("{}")
	}
	if refusal, code := c.admit(f.Params); refusal != nil {
		c.s.warn("ws",
			fmt.Sprintf(
				"closed before connect conn=%s remote=127.0.0.1 code=%d reason=%s durationMs=%d handshake=failed "+
					"lastFrameType=req lastFrameMethod=connect",
				c.id, code, refusal.Message, time.Since(c.opened).Milliseconds()))
		c.refuseAs(f.ID, refusal, code)
		return false
	}
	c.welcome(f.ID, f.Params)
	return true
}

// notJSON logs as the gateway does.
func (c *conn) notJSON(data []byte) {
	text := strings.ToValidUTF8(string(data[:min(len(data), 64)]), "\uFFFD")
	rest := text
	// the token that surprises is the first that belongs to no word
	for _, word := range []string{"null", "true", "false"} {
		for n := len(word) - 1; n > 0 && rest == text; n-- {
			rest = strings.TrimPrefix(text, word[:n])
		}
	}
	first, _ := utf8.DecodeRuneInString(rest)
	c.s.warn("gateway", fmt.Sprintf("parse/handle error: SyntaxError: Unexpected token '%c', %q is not valid JSON",
		first, text))
}

// refuseAs closes with the text of the refusal, as the gateway does, but for the two that it words differently.
func (c *conn) refuseAs(id json.RawMessage, refusal *Error, code int) {
	c.answer(id, nil, refusal)
	reason := refusal.Message
	switch {
	case code == websocket.CloseTryAgainLater:
		reason = "gateway starting"
	case refusal.Details["requestId"] != nil:
		reason = fmt.Sprintf("%s (requestId: %v)", reason, refusal.Details["requestId"])
	}
	c.farewell(code, reason)
}

// admit checks a connect; nil admits it.
func (c *conn) admit(params json.RawMessage) (refusal *Error, closeCode int) {
	if wrong := connectParams().judge(params, "", c.s.release); wrong != "" {
		return invalid("invalid connect params: " + wrong), websocket.ClosePolicyViolation
	}
	var p connectRequest
	if err := json.Unmarshal(params, &p); err != nil {
		return invalid("invalid connect params: " + err.Error()), websocket.ClosePolicyViolation
	}
	if !isClosed(c.g.ready) {
		return &Error{
			Code: "UNAVAILABLE", Message: "gateway starting; retry shortly", Retryable: true, RetryAfterMs: 500,
			Details: map[string]any{"reason": "startup-sidecars"},
		}, websocket.CloseTryAgainLater
	}
	if refusal := c.protocolRefusal(p); refusal != nil {
		return refusal, websocket.CloseProtocolError
	}
	if p.Role != "" && p.Role != "operator" && p.Role != "node" {
		return invalid("invalid role"), websocket.ClosePolicyViolation
	}
	if origin := c.request.Header.Get("Origin"); origin != "" || isBrowser(p) {
		refusal := invalid(
			"origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)")
		refusal.Details = map[string]any{"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED", "reason": "origin missing or invalid"}
		return refusal, websocket.ClosePolicyViolation
	}
	if refusal := c.credentials(p); refusal != nil {
		return refusal, websocket.ClosePolicyViolation
	}
	return nil, 0
}

func isBrowser(p connectRequest) bool {
	return p.Client.ID == "webchat-ui" || p.Client.ID == "openclaw-control-ui" || p.Client.ID == "webchat"
}

func (c *conn) protocolRefusal(p connectRequest) *Error {
	speaks := c.s.protocol()
	switch {
	case p.MinProtocol <= speaks && p.MaxProtocol >= speaks:
		return nil
	case !c.s.release.strictProtocol && p.MaxProtocol >= speaks-1 && p.MinProtocol <= speaks &&
		(p.Client.Mode == "probe" || p.Role == "node" && p.Client.Mode == "node"):
		return nil
	}
	c.s.warn("ws",
		fmt.Sprintf("protocol mismatch conn=%s remote=127.0.0.1 client=%s %s v%s min=%d max=%d expected=%d probeMin=%d",
			c.id, p.Client.ID, p.Client.Mode, p.Client.Version, p.MinProtocol, p.MaxProtocol, speaks, speaks-1))
	refusal := invalid("protocol mismatch")
	if c.s.release.bareMismatch {
		refusal.Details = map[string]any{"expectedProtocol": speaks}
		return refusal
	}
	probe := speaks - 1
	if c.s.release.strictProtocol {
		probe = speaks
	}
	refusal.Details = map[string]any{
		"code": "PROTOCOL_MISMATCH", "clientMinProtocol": p.MinProtocol, "clientMaxProtocol": p.MaxProtocol,
		"expectedProtocol": speaks, "minimumProbeProtocol": probe,
	}
	return refusal
}

// credentials checks who asks.
func (c *conn) credentials(p connectRequest) *Error {
	ok, secret := c.s.known(p)
	switch {
	case p.Device == nil && (!ok && p.Auth.Token == "" && p.Auth.Password == "" || p.Role == "node"):
		return &Error{
			Code: "NOT_PAIRED", Message: "device identity required",
			Details: map[string]any{"code": "DEVICE_IDENTITY_REQUIRED"},
		}
	case p.Device != nil:
		if reason, message := p.Device.verify(p, c.nonce, time.Now()); reason != "" {
			refusal := invalid(message)
			refusal.Details = map[string]any{"code": deviceCodes()[reason], "reason": reason}
			return refusal
		}
	}
	if !ok {
		return c.unauthorized(p, secret)
	}
	if c.s.script.has("pairing-required") {
		return c.pairing(p)
	}
	return nil
}

// unauthorized is slowed down: 0.26, 0.5, 1, 2, 4, then 5 s each (docs/openclaw.md §6).
func (c *conn) unauthorized(p connectRequest, secret string) *Error {
	message, details := c.s.refusedAs(p, secret)
	if secret != "" {
		c.s.mu.Lock()
		n := c.s.refused
		c.s.refused++
		c.s.mu.Unlock()
		c.s.wait(c.s.life, nil, min(250*time.Millisecond<<min(n, 5), 5*time.Second))
	}
	c.s.warn("ws",
		fmt.Sprintf(
			"unauthorized conn=%s remote=127.0.0.1 client=%s %s v%s role=%s scopes=%d device=%s reason=%v guidance=%s",
			c.id, p.Client.ID, p.Client.Mode, p.Client.Version, orDefault(p.Role, "operator"), len(p.Scopes),
			yesNo(p.Device != nil), details["authReason"], message))
	refusal := invalid(message)
	refusal.Details = details
	return refusal
}

func (c *conn) pairing(p connectRequest) *Error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.pairing == "" {
		c.s.pairing = newID()
	}
	device := ""
	if p.Device != nil {
		device = p.Device.ID
	}
	return &Error{Code: "NOT_PAIRED", Message: "pairing required: device is not approved yet", Details: map[string]any{
		"code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": c.s.pairing,
		"remediationHint": "Approve this device from the pending pairing requests.", "deviceId": device,
		"requestedRole": orDefault(p.Role, "operator"), "requestedScopes": p.Scopes,
	}}
}

// welcome answers with hello-ok.
func (c *conn) welcome(id, params json.RawMessage) {
	c.garbageBefore()
	var p connectRequest
	_ = json.Unmarshal(params, &p) // admit has read it
	scopes := p.Scopes
	if scopes == nil || p.Client.Mode == "probe" && p.MaxProtocol < c.s.protocol() || p.Device == nil &&
		(c.s.release.deviceForAll || c.s.release.deviceForCLI && p.Client.Mode == "cli") {
		scopes = []string{} // docs/openclaw.md §11, §12
	}
	payload := c.s.hello(c, p, scopes)
	if n := c.s.script.number("huge-hello"); n > 0 {
		payload["pad"] = strings.Repeat("x", n)
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return // it is made of what JSON knows
	}
	data, _ := json.Marshal(wireAnswer{Type: "res", ID: id, OK: true, Payload: raw})
	c.mu.Lock()
	c.scopes, c.in, c.who = scopes, true, c.id
	if p.Device != nil {
		c.who = p.Device.ID
	}
	c.writeLocked(websocket.TextMessage, data) // under one lock: no event comes before it, none after it is missed
	c.mu.Unlock()
	c.s.say("ws", "⇄ res ✓ connect conn="+c.id)
}

// hello is the captured answer with this gateway's own facts in it.
func (s *Server) hello(c *conn, p connectRequest, scopes []string) map[string]any {
	h := s.fill(s.release.document("hello"))
	h["protocol"] = s.protocol()
	features := asObject(h["features"])
	if list, ok := features["methods"].([]any); ok {
		features["methods"] = slices.DeleteFunc(list, func(m any) bool { name, _ := m.(string); return s.lacks(name) })
	}
	server := asObject(h["server"])
	server["version"], server["connId"] = s.Version, c.id
	if server["bootId"] != nil {
		server["bootId"] = c.g.bootID
	}
	snapshot := asObject(h["snapshot"])
	snapshot["uptimeMs"] = time.Since(c.g.began).Milliseconds()
	s.mu.Lock()
	suspended := c.g.suspended != ""
	s.mu.Unlock()
	if suspended {
		snapshot["suspension"] = map[string]any{"phase": "prepared"}
	}
	auth := asObject(h["auth"])
	auth["role"], auth["scopes"] = orDefault(p.Role, "operator"), scopes
	if mode := s.mode(); mode != modeToken {
		snapshot["authMode"] = mode
		if auth["method"] != nil {
			auth["method"] = mode
			if mode == modeTrustedProxy {
				auth["method"] = modePassword
			}
		}
	}
	if !s.release.openSnapshot && !allowed(scopes, scopeAdmin) {
		for _, place := range []string{"authMode", "configPath", "stateDir"} {
			delete(snapshot, place)
		}
	}
	policy := asObject(h["policy"])
	policy["tickIntervalMs"] = s.Tick.Milliseconds()
	home := "http://127.0.0.1:" + strconv.Itoa(s.PortNumber())
	if h["canvasHostUrl"] != nil {
		h["canvasHostUrl"] = home
	} else {
		h["pluginSurfaceUrls"] = map[string]any{"canvas": home + "/__openclaw__/cap/emulated"}
	}
	return h
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
