package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/internal/testhost"
)

// TestEveryConditionOfTheStatusIsAnEvent: a program that follows the events knows what status shows. One host, four
// conditions: a plugin that is missing, a client with another token, and a gateway that is stopped and goes on.
func TestEveryConditionOfTheStatusIsAnEvent(t *testing.T) {
	s := newSite(t, emulator(""))
	s.extra = strings.NewReplacer(`silence = "6s"`, `silence = "10s"`, `verify_timeout = "2s"`, `verify_timeout = "60s"`).
		Replace(quickSilence)
	s.writeConfig(strings.NewReplacer(`doctors = ["doctor"]`, `doctors = ["doctor", "ghost"]`,
		"[gateways.main]\n", "[plugins.ghost]\npath = \"no-such-doctor\"\n[gateways.main]\n").Replace(s.config()))
	s.startHost()
	running := s.awaitState("running")
	shows := func(code string) func(gatewayStatus) bool {
		return func(g gatewayStatus) bool {
			return slices.ContainsFunc(g.Conditions, func(c condition) bool { return c.Code == code })
		}
	}
	s.await("plugin-down", shows("plugin-down"))
	s.connectWithAnotherToken()
	s.await("token-mismatch", shows("token-mismatch"))
	if err := testhost.Signal(running.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.await("unresponsive", shows("unresponsive"))
	s.await("silent", shows("silent"))
	if err := testhost.Signal(running.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.await("it answers again", func(g gatewayStatus) bool {
		return g.Phase == "running" && !shows("silent")(g) && !shows("unresponsive")(g)
	})
	s.must("stop", "main")

	var told []string // "code came", "code went", in order, each once in a row
	for line := range strings.Lines(s.must("events", "main", "--since", "1h", "--json")) {
		var e struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Type != "gateway.condition" {
			continue
		}
		var c struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Active  bool   `json:"active"`
		}
		if err := json.Unmarshal(e.Data, &c); err != nil || c.Message == "" {
			t.Errorf("a condition without a message: %s, %v", line, err)
		}
		word := " went"
		if c.Active {
			word = " came"
		}
		told = append(told, c.Code+word)
	}
	for _, want := range [][]string{
		{"plugin-down came"},
		{"token-mismatch came", "token-mismatch went"}, // with the launch that it is about
		{"unresponsive came", "unresponsive went"},
		{"silent came", "silent went"},
	} {
		code, _, _ := strings.Cut(want[0], " ")
		got := slices.DeleteFunc(slices.Clone(told), func(w string) bool { return !strings.HasPrefix(w, code+" ") })
		if !slices.Equal(got, want) {
			t.Errorf("events about %s: %q, want %q; all: %q", code, got, want, told)
		}
	}
	s.shutdown()
}

// connectWithAnotherToken is a client that the gateway refuses for its token.
func (s *site) connectWithAnotherToken() {
	s.t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	conn, res, err := dialer.DialContext(s.t.Context(), "ws://127.0.0.1:"+itoa(s.port)+"/ws", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); err != nil { // the challenge
		s.t.Fatal(err)
	}
	connect := `{"type":"req","id":"1","method":"connect","params":{"minProtocol":3,"maxProtocol":4,` +
		`"client":{"id":"gateway-client","version":"1","platform":"linux","mode":"backend"},"role":"operator",` +
		`"scopes":["operator.read"],"caps":[],"auth":{"token":"an-outdated-token"}}}`
	if err := conn.WriteMessage(websocket.TextMessage, []byte(connect)); err != nil {
		s.t.Fatal(err)
	}
}
