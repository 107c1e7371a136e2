package probe_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/host/internal/probe"
)

func portOf(t *testing.T, raw string) int {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func serve(t *testing.T, h http.HandlerFunc) int {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return portOf(t, s.URL)
}

func answer(kind, body string, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

func TestReadinessIsReadNotGuessed(t *testing.T) {
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		want    probe.Readiness
	}{
		{"ready", answer("application/json", `{"ready":true,"failing":[]}`, 200), probe.Ready},
		{
			"not ready",
			answer("application/json; charset=utf-8", `{"ready":false,"failing":["startup-sidecars"]}`, 503),
			probe.Starting,
		},
		{"a user interface for every path", answer("text/html", `<html>`, 200), probe.Open},
		{"no such path", answer("text/plain", `404`, 404), probe.Open},
		{"json about something else", answer("application/json", `{"ok":true}`, 200), probe.Open},
		{"broken json", answer("application/json", `{"ready":`, 200), probe.Open},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := probe.ReadyNow(t.Context(), serve(t, row.handler), believe, nil); got != row.want {
				t.Errorf("readiness = %d, want %d", got, row.want)
			}
		})
	}
}

func TestClosedPortIsClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	if got := probe.ReadyNow(t.Context(), port, believe, nil); got != probe.Closed {
		t.Errorf("readiness = %d, want closed", got)
	}
	if holders, err := probe.Holders(t.Context(), port); err != nil || len(holders) != 0 {
		t.Errorf("holders = %v, %v, want none", holders, err)
	}
}

func TestOnlyAChallengeMakesAGateway(t *testing.T) { // T060 to T067
	speak := func(lines ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			for _, l := range lines {
				_ = c.WriteMessage(websocket.TextMessage, []byte(l))
			}
			if len(lines) > 0 {
				_, _, _ = c.ReadMessage()
			}
		}
	}
	challenge := `{"type":"event","event":"connect.challenge","payload":{"nonce":"n"}}`
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc
		want    bool
	}{
		{"a challenge", speak(challenge), true},
		{"noise, then a challenge", speak("garbage", `{"type":"event","event":"tick"}`, challenge), true},
		{"a socket that opens and closes", speak(), false},
		{"no websocket", answer("text/html", "", 200), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := isGateway(t, serve(t, row.handler)); got != row.want {
				t.Errorf("gateway = %v, want %v", got, row.want)
			}
		})
	}
}

func TestHolderIsNamedByPidAndCommandWithoutItsSecrets(t *testing.T) {
	if os.Getenv("PROBE_TEST_LISTEN") != "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			os.Exit(1)
		}
		_, _ = os.Stdout.WriteString(strconv.Itoa(l.Addr().(*net.TCPAddr).Port) + "\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run=TestHolderIsNamed", "--", "--token", "canary-1",
		"--password=canary-2")
	cmd.Env = append(os.Environ(), "PROBE_TEST_LISTEN=1")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	buf := make([]byte, 16)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	holders, err := probe.Holders(t.Context(), port)
	if err != nil || len(holders) != 1 {
		t.Fatalf("holders = %v, %v", holders, err)
	}
	text := holders[0].String()
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text, " of user "+who.Username) || !strings.Contains(holders[0].End(port), "kill "+
		strconv.Itoa(cmd.Process.Pid)) {
		t.Errorf("holder = %s, %s; want user and pid", text, holders[0].End(port))
	}
	if hidden := (probe.Holder{}).End(port); !strings.Contains(hidden, strconv.Itoa(port)) {
		t.Errorf("a holder that can't be seen: %s", hidden)
	}
	if holders[0].PID != cmd.Process.Pid || !strings.Contains(text, "--token [redacted]") ||
		strings.Contains(text, "canary") {
		t.Errorf("holder = %s, want pid %d and no secret", text, cmd.Process.Pid)
	}
}
