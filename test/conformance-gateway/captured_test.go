package conformance_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func emulated(t *testing.T) *gatewaytest.Server {
	t.Helper()
	s := &gatewaytest.Server{Token: testToken, Scale: -1}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	<-s.Ready()
	return s
}

func TestEmulatorAnswersAsCaptured(t *testing.T) {
	s := emulated(t)
	for _, name := range exchanges() {
		t.Run(name, func(t *testing.T) {
			if d := difference(play(t, s.URL(), testToken, name, 4), recorded(t, name)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEmulatorAnswersCallsAsCaptured(t *testing.T) {
	s := emulated(t)
	conn := open(t, s.URL())
	defer func() { _ = conn.NetConn().Close() }()
	connect(t, conn, testToken, []string{"operator.read", "operator.write", "operator.admin"})
	list := loadExchange(t, "rpc-samples-admin")
	for i, c := range list {
		if c.Dir != "out" {
			continue
		}
		var request struct {
			ID     string          `json:"id"`
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
		}
		if err := json.Unmarshal(c.Frame, &request); err != nil {
			t.Fatal(err)
		}
		if err := conn.WriteJSON(c.Frame); err != nil {
			t.Fatal(err)
		}
		got, _ := receive(conn)
		want, _ := describe(list[i+1].Frame)
		if d := difference([]string{got}, []string{want}); d != "" {
			t.Errorf("%s %s\n%s", request.Method, request.Params, d)
		}
	}
}

func TestEmulatorForbidsAsCaptured(t *testing.T) {
	s := emulated(t)
	list := loadExchange(t, "rpc-missing-scope")
	for i, c := range list {
		var note struct{ Note, Method string }
		if c.Dir != "out" || json.Unmarshal(c.Frame, &note) != nil || note.Method == "" {
			continue
		}
		var scopes []string
		if err := json.Unmarshal([]byte(strings.TrimPrefix(note.Note, "connected with scopes ")), &scopes); err != nil {
			t.Fatal(err)
		}
		conn := open(t, s.URL())
		connect(t, conn, testToken, scopes)
		if err := conn.WriteJSON(map[string]any{
			"type": "req", "id": "r", "method": note.Method, "params": map[string]any{},
		}); err != nil {
			t.Fatal(err)
		}
		got, _ := receive(conn)
		want, _ := describe(list[i+1].Frame)
		_ = conn.NetConn().Close()
		_, got, _ = strings.Cut(strings.TrimPrefix(got, "res "), " ")
		_, want, _ = strings.Cut(strings.TrimPrefix(want, "res "), " ")
		if got != want {
			t.Errorf("%s with %v:\nemulator: %s\n    real: %s", note.Method, scopes, got, want)
		}
	}
}
