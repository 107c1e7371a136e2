//go:build real && unix

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

	"github.com/gatehost/gatehost/internal/testreal"
)

func realTarget(t *testing.T) target {
	t.Helper()
	command, path := testreal.OpenClaw(t)
	return target{name: "openclaw", command: command, path: path}
}

// life is what one gateway showed from its start to its end.
type life struct {
	probes    map[string]bool
	http      map[string]string
	exchanges map[string][]string
	calls     map[string]map[string]string // by scopes
	restart   []string
	stop      []string
	lines     []string
}

// live plays a whole life to a gateway.
func live(t *testing.T, tg target) life {
	t.Helper()
	l := life{http: map[string]string{}, exchanges: map[string][]string{}, calls: map[string]map[string]string{}}
	h := newHome(t)
	tg.env = append(slices.Clone(tg.env), "OPENCLAW_SKIP_CHANNELS=1")
	p := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
	l.probes = awaitReady(t, h)
	for _, path := range []string{"/healthz", "/health", "/readyz", "/ready", "/startupz", "/startup", "/", "/nowhere", "/healthz/x"} {
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
			l.http[method+" "+path] = text
		}
	}
	for _, name := range exchanges() {
		l.exchanges[name] = play(t, h.url(), testToken, name)
	}
	for _, scopes := range [][]string{nil, {"operator.read"}, {"operator.write"}, {"operator.pairing"}, {"operator.read", "operator.write", "operator.admin"}} {
		l.calls[fmt.Sprint(scopes)] = ask(t, h.url(), testToken, scopes)
	}
	l.restart = restart(t, h)
	l.stop = stop(t, h, p)
	l.lines = p.output()
	return l
}

// restart asks for a restart and describes what happened; the gateway is ready again afterwards.
func restart(t *testing.T, h home) []string {
	t.Helper()
	conn := open(t, h.url())
	defer func() { _ = conn.NetConn().Close() }()
	boot := fmt.Sprint(connect(t, conn, testToken, []string{"operator.admin"})["server"].(map[string]any)["bootId"]) //nolint:forcetypeassert // a hello
	if err := conn.WriteJSON(map[string]any{"type": "req", "id": "r", "method": "gateway.restart.request", "params": map[string]any{"reason": "test"}}); err != nil {
		t.Fatal(err)
	}
	answer, _ := receive(conn)
	shutdown, closed := untilClosed(t, conn)
	awaitReady(t, h)
	again := open(t, h.url())
	defer func() { _ = again.NetConn().Close() }()
	other := fmt.Sprint(connect(t, again, testToken, nil)["server"].(map[string]any)["bootId"]) //nolint:forcetypeassert // a hello
	return []string{answer, shutdown, closed, "bootId changed " + strconv.FormatBool(boot != other)}
}

func stop(t *testing.T, h home, p *process) []string {
	t.Helper()
	conn := open(t, h.url())
	defer func() { _ = conn.NetConn().Close() }()
	connect(t, conn, testToken, nil)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	shutdown, closed := untilClosed(t, conn)
	return []string{shutdown, closed, "exit " + strconv.Itoa(p.exit())}
}

// TestEmulatorLivesAsOpenClaw starts each once, one after the other.
func TestEmulatorLivesAsOpenClaw(t *testing.T) {
	want := live(t, realTarget(t))
	nothingLeft(t)
	got := live(t, emulatorTarget(t, "0.3"))
	compareKeys(t, "probe", got.probes, want.probes)
	compareTexts(t, "http", got.http, want.http)
	for _, name := range exchanges() {
		if d := difference(got.exchanges[name], want.exchanges[name]); d != "" {
			t.Errorf("exchange %s\n%s", name, d)
		}
	}
	for scopes, answers := range want.calls {
		compareTexts(t, "call with "+scopes, got.calls[scopes], answers)
	}
	if d := difference(got.restart, want.restart); d != "" {
		t.Errorf("restart\n%s", d)
	}
	if d := difference(got.stop, want.stop); d != "" {
		t.Errorf("stop\n%s", d)
	}
	compareKeys(t, "line", set(essential(got.lines)), set(essential(want.lines)))
}

func TestEmulatorRefusesBrokenConfigsAsOpenClaw(t *testing.T) {
	for name, config := range brokenConfigs() {
		t.Run(name, func(t *testing.T) {
			want, wantCode := realTarget(t).startWithConfig(t, config)
			got, code := emulatorTarget(t, "0.01").startWithConfig(t, config)
			if code != wantCode {
				t.Errorf("exit %d, want %d", code, wantCode)
			}
			compareStreams(t, got, want)
		})
	}
	nothingLeft(t)
}

// TestEmulatorValidatesConfigsAsOpenClaw compares `config validate --json`, which changes nothing.
func TestEmulatorValidatesConfigsAsOpenClaw(t *testing.T) {
	configs := brokenConfigs()
	configs["good"] = `{"gateway":{"mode":"local"}}`
	configs["missing"] = "-"
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			if config != "-" {
				if err := os.WriteFile(h.config(), []byte(config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			validate := func(tg target) []string {
				p := tg.start(t, h, "config", "validate", "--json")
				code := p.exit()
				var text strings.Builder
				for _, l := range p.output() {
					if rest, ok := strings.CutPrefix(l, "stdout "); ok {
						text.WriteString(rest)
					}
				}
				var v any
				_ = json.Unmarshal([]byte(text.String()), &v) // what is no JSON is null
				return []string{"exit " + strconv.Itoa(code), strings.ReplaceAll(exact(v), filepath.Dir(h.config()), "STATE")}
			}
			want := validate(realTarget(t))
			if d := difference(validate(emulatorTarget(t, "0")), want); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDoctorTableHoldsForOpenClaw keeps the table that the emulator plays honest.
func TestDoctorTableHoldsForOpenClaw(t *testing.T) {
	for _, row := range doctorTable() {
		t.Run(row.name, func(t *testing.T) { checkDoctor(t, realTarget(t), row) })
	}
	nothingLeft(t)
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

// nothingLeft waits until no process of a test's home is alive.
func nothingLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := ofOurs()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
		time.Sleep(100 * time.Millisecond) // a poll
	}
}

// ofOurs is every process with a home of these tests in its environment.
func ofOurs() []string {
	var out []string
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range entries {
		data, _ := os.ReadFile(e) //nolint:gosec // a process that is gone is not left
		if strings.Contains(string(data), "HOME="+filepath.Join(os.TempDir(), "ghcf")) {
			out = append(out, e)
		}
	}
	return out
}
