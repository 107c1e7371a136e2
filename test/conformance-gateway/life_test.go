//go:build unix

package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// life is what one gateway showed from its start to its end.
type life struct {
	Probes    map[string]bool
	HTTP      map[string]string
	Exchanges map[string][]string
	Calls     map[string]map[string]string // by scopes
	Restart   []string
	Stop      []string
	Lines     []string
}

// live plays a whole life to a gateway.
func live(t *testing.T, tg target) life {
	t.Helper()
	l := life{HTTP: map[string]string{}, Exchanges: map[string][]string{}, Calls: map[string]map[string]string{}}
	h := newHome(t)
	tg.env = append(slices.Clone(tg.env), "OPENCLAW_SKIP_CHANNELS=1")
	p := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
	l.Probes = awaitReady(t, h)
	for _, path := range []string{
		"/healthz", "/health", "/readyz", "/ready", "/startupz", "/startup", "/", "/nowhere", "/healthz/x",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if method != http.MethodGet && path != "/healthz" && path != "/readyz" {
				continue
			}
			status, body, kind := get(t, h, method, path)
			text := fmt.Sprint(status, " ", kind)
			var v any
			if json.Unmarshal(body, &v) == nil {
				text += " " + shape(v, "")
			}
			l.HTTP[method+" "+path] = text
		}
	}
	for _, name := range exchanges() {
		l.Exchanges[name] = play(t, h.url(), testToken, name, tg.protocol())
	}
	for _, scopes := range [][]string{
		nil,
		{"operator.read"},
		{"operator.write"},
		{"operator.pairing"},
		{"operator.read", "operator.write", "operator.admin"},
	} {
		l.Calls[fmt.Sprint(scopes)] = ask(t, h.url(), testToken, scopes)
	}
	l.Restart = restart(t, h, p)
	l.Stop = stop(t, h, p)
	l.Lines = slices.DeleteFunc(slices.Sorted(maps.Keys(set(essential(p.output())))), func(line string) bool {
		// depends on who closes first
		return strings.Contains(line, "[shutdown] completed") || strings.Contains(line, "websocket server close exceeded")
	})
	return l
}

// restart asks for a restart in process, by RPC or where there is none by the signal of that release, and describes
// what happened.
func restart(t *testing.T, h home, p *process) []string {
	t.Helper()
	conn, hello := untilOpen(t, h)
	defer func() { _ = conn.NetConn().Close() }()
	features, _ := hello["features"].(map[string]any)
	methods, _ := features["methods"].([]any)
	answer := "by SIGUSR1"
	if slices.Contains(methods, any("gateway.restart.request")) {
		if err := conn.WriteJSON(map[string]any{
			"type": "req", "id": "r", "method": "gateway.restart.request", "params": map[string]any{"reason": "test"},
		}); err != nil {
			t.Fatal(err)
		}
		answer, _ = receive(conn)
	} else if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	shutdown, closed := untilClosed(t, conn)
	again, other := untilOpen(t, h)
	defer func() { _ = again.NetConn().Close() }()
	boot := func(hello map[string]any) any { return hello["server"].(map[string]any)["bootId"] }
	return []string{answer, shutdown, closed, "bootId changed " + strconv.FormatBool(boot(hello) != boot(other))}
}

// untilOpen dials until a session opens: a gateway that starts or restarts takes a while, and older releases have no
// probe that says so.
func untilOpen(t *testing.T, h home) (*websocket.Conn, map[string]any) {
	t.Helper()
	deadline := time.Now().Add(3 * patience)
	for {
		conn, hello, err := dial(t, h)
		if err == nil {
			return conn, hello
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // a poll
	}
}

func dial(t *testing.T, h home) (*websocket.Conn, map[string]any, error) {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.DialContext(t.Context(), h.url(), nil)
	if err != nil {
		return nil, nil, err
	}
	_ = resp.Body.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	hello, err := greet(conn, testToken, []string{"operator.read", "operator.write", "operator.admin", "operator.pairing"})
	if err != nil {
		_ = conn.NetConn().Close()
	}
	return conn, hello, err
}

func stop(t *testing.T, h home, p *process) []string {
	t.Helper()
	conn, _ := untilOpen(t, h)
	defer func() { _ = conn.NetConn().Close() }()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	shutdown, closed := untilClosed(t, conn)
	return []string{shutdown, closed, "exit " + strconv.Itoa(p.exit())}
}

func (l life) compare(t *testing.T, want life) {
	t.Helper()
	compareKeys(t, "probe", l.Probes, want.Probes)
	compareTexts(t, "http", l.HTTP, want.HTTP)
	for _, name := range exchanges() {
		if d := difference(l.Exchanges[name], want.Exchanges[name]); d != "" {
			t.Errorf("exchange %s\n%s", name, d)
		}
	}
	for scopes, answers := range want.Calls {
		compareTexts(t, "call with "+scopes, l.Calls[scopes], answers)
	}
	if d := difference(l.Restart, want.Restart); d != "" {
		t.Errorf("restart\n%s", d)
	}
	if d := difference(l.Stop, want.Stop); d != "" {
		t.Errorf("stop\n%s", d)
	}
	compareKeys(t, "line", set(l.Lines), set(want.Lines))
}

// TestEmulatorLivesAsEachReleaseDid compares with what TestEmulatorLivesAsOpenClaw wrote down of the real ones.
func TestEmulatorLivesAsEachReleaseDid(t *testing.T) {
	for _, release := range gatewaytest.Releases() {
		t.Run(release, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "lives", release+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var want life
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			live(t, emulatorAs(t, "0.3", release)).compare(t, want)
		})
	}
}

func set(lines []string) map[string]bool {
	out := map[string]bool{}
	for _, l := range lines {
		out[l] = true
	}
	return out
}

func compareKeys(t *testing.T, what string, got, want map[string]bool) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if !got[k] {
			t.Errorf("%s of the real one only: %s", what, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if !want[k] {
			t.Errorf("%s of the emulator only: %s", what, k)
		}
	}
}

func compareTexts(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] && !same(got[k], want[k]) {
			t.Errorf("%s %s\nemulator: %s\n    real: %s", what, k, got[k], want[k])
		}
	}
}
