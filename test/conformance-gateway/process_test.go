//go:build unix

package conformance_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// target is a program that is a gateway.
type target struct {
	name    string
	command []string
	path    []string // directories in front of PATH
	env     []string
	release string
}

// protocol is what the release speaks.
func (tg target) protocol() int {
	if tg.release == "2026.3.13" {
		return 3
	}
	return 4
}

// theEmulator is built once per run of the tests.
var theEmulator = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // the binary under test
	dir, err := os.MkdirTemp("", "ghemu")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "gateway-emulator")
	build := exec.Command("go", "build", "-o", bin, "../../cmd/gateway-emulator") // bounded by the test's own limit
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build gateway-emulator: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := theEmulator(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

func emulatorTarget(t *testing.T, scale string) target {
	t.Helper()
	return emulatorAs(t, scale, gatewaytest.Version)
}

func emulatorAs(t *testing.T, scale, release string) target {
	t.Helper()
	bin, err := theEmulator()
	if err != nil {
		t.Fatal(err)
	}
	return target{
		name: "emulator", command: []string{bin},
		env: []string{"EMULATOR_TIME_SCALE=" + scale, "EMULATOR_RELEASE=" + release}, release: release,
	}
}

// home is a place of its own for one gateway.
type home struct {
	dir  string
	port int
}

func newHome(t *testing.T) home {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghcf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, ".openclaw"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return home{dir, l.Addr().(*net.TCPAddr).Port} //nolint:forcetypeassert // a TCP listener's
}

func (h home) config() string { return filepath.Join(h.dir, ".openclaw", "openclaw.json") }

func (h home) url() string { return "ws://127.0.0.1:" + strconv.Itoa(h.port) + "/ws" }

// process is a running gateway.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex // guards lines
	lines []string   // "stdout ..." and "stderr ..."
}

func (tg target) start(t *testing.T, h home, args ...string) *process {
	t.Helper()
	argv := append(slices.Clone(tg.command), args...)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // ended by its own signals
	cmd.Dir = h.dir
	cmd.Env = append([]string{
		"HOME=" + h.dir, "PATH=" + strings.Join(append(slices.Clone(tg.path), os.Getenv("PATH")), ":"),
		"OPENCLAW_GATEWAY_TOKEN=" + testToken, "OPENCLAW_NO_RESPAWN=1", "OPENCLAW_DISABLE_BONJOUR=1",
		"OPENCLAW_EXEC_SHELL_SNAPSHOT=0", "OPENCLAW_NO_AUTO_UPDATE=1", "NO_COLOR=1",
	}, tg.env...)
	p := &process{t: t, cmd: cmd, done: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read("stdout", stdout) })
	readers.Go(func() { p.read("stderr", stderr) })
	go func() {
		readers.Wait()
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("%s %v:\n%s", tg.name, args, strings.Join(p.output(), "\n"))
		}
	})
	return p
}

func (p *process) read(stream string, r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, stream+" "+lines.Text())
		p.mu.Unlock()
	}
}

func (p *process) output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// exit waits for the end and returns the code; -1 for a signal.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process did not end")
		return 0
	}
}

var noise = []struct{ find, put string }{ //nolint:gochecknoglobals // a table
	{`^\d{4}-\d\d-\d\dT[0-9:.]+\+00:00`, "TIME"},
	{`/\S*/\.openclaw/`, "STATE/"},
	{`~/\.openclaw/`, "STATE/"},
	{`pid=\d+`, "pid=N"},
	{`pid \d+ \S+: .*`, "pid N"},
	{`; \d+\.\ds\)`, "; Ns)"},
	{`in \d+ms`, "in Nms"},
	{`127\.0\.0\.1:\d+`, "127.0.0.1:P"},
	{`\[::1\]:\d+`, "[::1]:P"},
	{`\(PID \d+\)`, "(PID N)"},
	{`Port \d+`, "Port P"},
}

// clean is a line without what differs from run to run.
func clean(line string) string {
	stream, text, _ := strings.Cut(line, " ")
	text = strings.ReplaceAll(text, "$HOME", "/home")
	for _, n := range noise {
		text = regexp.MustCompile(n.find).ReplaceAllString(text, n.put)
	}
	return stream + " " + strings.TrimRight(text, " ")
}

func cleaned(lines []string) []string {
	out := []string{}
	for _, l := range lines {
		out = append(out, clean(l))
	}
	return out
}

// log is a captured file of output: what was run, the lines, the exit code.
func capturedLog(t *testing.T, name string) (lines []string, code int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "stderr", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^\[ *\d+ms (stdout|stderr)\] (.*)$`)
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		if m := form.FindStringSubmatch(line); m != nil {
			lines = append(lines, clean(m[1]+" "+m[2]))
		}
		if rest, ok := strings.CutPrefix(line, "--- exit "); ok {
			var exit struct{ Code int }
			if err := json.Unmarshal([]byte(rest), &exit); err != nil {
				t.Fatal(err)
			}
			code = exit.Code
		}
	}
	return lines, code
}

// brokenConfigs are those whose start was captured.
func brokenConfigs() map[string]string {
	return map[string]string{
		"bad-config-bad-json":   `{ "gateway": { "mode": "local", `,
		"bad-config-empty-file": "",
		"bad-config-bad-type":   "{\n  \"gateway\": {\n    \"mode\": \"local\",\n    \"port\": \"not-a-number\"\n  }\n}",
		"bad-config-bad-enum":   "{\n  \"gateway\": {\n    \"mode\": \"local\",\n    \"bind\": \"everywhere\"\n  }\n}",
		"bad-config-unknown-key": "{\n  \"gateway\": {\n    \"mode\": \"local\",\n    \"bogusKey\": true\n  },\n" +
			"  \"nonsense\": {\n    \"a\": 1\n  }\n}",
	}
}

func (tg target) startWithConfig(t *testing.T, config string) (lines []string, code int) {
	t.Helper()
	h := newHome(t)
	if err := os.WriteFile(h.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
	code = p.exit()
	return cleaned(p.output()), code
}

// complaints are the lines that name what is wrong with a configuration.
func complaints(lines []string) []string {
	named := regexp.MustCompile(
		`(Invalid config at|(gateway|gateway\.\w+|<root>): (Invalid|Unrecognized|JSON5)|Config invalid)`,
	)
	var out []string
	for _, l := range lines {
		if named.MatchString(l) {
			out = append(out, l)
		}
	}
	return out
}

// streams splits lines by their stream: between the two there is no order.
func streams(lines []string) map[string]string {
	out := map[string]string{}
	for _, l := range lines {
		stream, _, _ := strings.Cut(l, " ")
		out[stream] += l + "\n"
	}
	return out
}

func compareStreams(t *testing.T, got, want []string) {
	t.Helper()
	g, w := streams(got), streams(want)
	for _, stream := range []string{"stdout", "stderr"} {
		if g[stream] != w[stream] {
			t.Errorf("%s\nemulator:\n%s\nreal:\n%s", stream, g[stream], w[stream])
		}
	}
}

func TestEmulatorRefusesBrokenConfigsAsCaptured(t *testing.T) {
	for name, config := range brokenConfigs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines, code := emulatorTarget(t, "0.01").startWithConfig(t, config)
			want, wantCode := capturedLog(t, name)
			if code != wantCode {
				t.Errorf("exit %d, want %d", code, wantCode)
			}
			compareStreams(t, lines, want)
		})
	}
	t.Run("bad-config-no-mode", func(t *testing.T) {
		h := newHome(t)
		p := emulatorTarget(t, "0.01").start(t, h, "gateway", "--port", strconv.Itoa(h.port))
		want, wantCode := capturedLog(t, "bad-config-no-mode")
		if code := p.exit(); code != wantCode {
			t.Errorf("exit %d, want %d", code, wantCode)
		}
		compareStreams(t, cleaned(p.output()), want)
	})
}

func TestEmulatorStartsAndStopsWithTheLinesCaptured(t *testing.T) {
	h := newHome(t)
	p := emulatorTarget(t, "0.01").start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback",
		"--allow-unconfigured")
	awaitReady(t, h)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
	want, _ := capturedLog(t, "normal-start-and-SIGTERM")
	compareStreams(t, essential(p.output()), essential(want))
}

// essential keeps the lines of the parts that the emulator plays, without those that depend on the moment.
func essential(lines []string) []string {
	played := regexp.MustCompile(
		`TIME (\[(gateway|gateway/channels|admission|shutdown|heartbeat|health-monitor|gmail-watcher|reload)\]|[^\[])`,
	)
	passing := regexp.MustCompile(`remote model catalog|log file:|GatewayDrainingError|draining for restart|` +
		`draining active work|active-work drain settled|stability bundle|update available|provider auth state|` +
		`shutdown timed out|restart requested`)
	var out []string
	for _, l := range lines {
		if l = clean(l); played.MatchString(l) && !passing.MatchString(l) {
			out = append(out, l)
		}
	}
	return out
}

func TestConflictsEndAsCaptured(t *testing.T) {
	h := newHome(t)
	tg := emulatorTarget(t, "0.01")
	first := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--allow-unconfigured")
	awaitReady(t, h)
	second := tg.start(t, home{h.dir, h.port + 1}, "gateway", "--port", strconv.Itoa(h.port+1), "--allow-unconfigured")
	want, wantCode := capturedLog(t, "lock-conflict")
	if code := second.exit(); code != wantCode {
		t.Errorf("second owner: exit %d, want %d", code, wantCode)
	}
	compareStreams(t, cleaned(second.output()), want)
	other := newHome(t)
	third := tg.start(t, other, "gateway", "--port", strconv.Itoa(h.port), "--allow-unconfigured")
	want, wantCode = capturedLog(t, "port-conflict-gateway")
	if code := third.exit(); code != wantCode {
		t.Errorf("port conflict: exit %d, want %d", code, wantCode)
	}
	compareStreams(t, cleaned(third.output()),
		slices.DeleteFunc(want, func(l string) bool { return strings.Contains(l, "- pid N") }))
	_ = first.cmd.Process.Signal(syscall.SIGINT)
	if code := first.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// doctored is a row of the table of docs/openclaw.md §5.
type doctored struct {
	name, config string
	code         int
	changed      bool
}

func doctorTable(release string) []doctored {
	table := []doctored{
		{"not parsable", "{ \"gateway\": ", 1, false},
		{"wrong type", `{"gateway":{"mode":"local","port":"x"}}`, 1, false},
		{"bad enum", `{"gateway":{"mode":"local","bind":"everywhere"}}`, 1, false},
		{"unknown keys beside a wrong type", `{"nonsense":1,"gateway":{"mode":"local","port":"x"}}`, 1, false},
		{"unknown keys", `{"gateway":{"mode":"local","bogus":true},"nonsense":{}}`, 0, true},
		{"valid", `{"gateway":{"mode":"local"}}`, 0, true},
		{"no file", "", 0, true},
		{"blank", "\n", 1, false},
	}
	switch release {
	case "2026.3.13": // it says that all is well, and leaves what it can't repair
		table[0].code, table[1].code, table[2].code = 0, 0, 0
		table[5].changed, table[6].changed = false, false
		table[7].code = 0
	case "2026.5.27": // it replaces what it can't parse
		table[0].code, table[0].changed = 0, true
		table[7].code, table[7].changed = 0, true
	}
	return table
}

func TestDoctorRepairsAsCaptured(t *testing.T) {
	for _, release := range gatewaytest.Releases() {
		tg := emulatorAs(t, "0", release)
		for _, row := range doctorTable(release) {
			t.Run(release+" "+row.name, func(t *testing.T) {
				t.Parallel()
				checkDoctor(t, tg, row)
			})
		}
	}
}

func checkDoctor(t *testing.T, tg target, row doctored) {
	t.Helper()
	h := newHome(t)
	if row.config != "" {
		if err := os.WriteFile(h.config(), []byte(row.config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := tg.start(t, h, "doctor", "--fix", "--yes", "--non-interactive")
	if code := p.exit(); code != row.code {
		t.Errorf("exit %d, want %d\n%s", code, row.code, strings.Join(p.output(), "\n"))
	}
	after, err := os.ReadFile(h.config())
	if changed := err == nil && string(after) != row.config; changed != row.changed {
		t.Errorf("changed = %v, want %v: %s", changed, row.changed, after)
	}
	if strings.Contains(string(after), "bogus") || row.changed && strings.Contains(string(after), "nonsense") {
		t.Errorf("left: %s", after)
	}
	want := 1
	if row.changed || strings.HasPrefix(row.name, "valid") {
		want = 0
	}
	if code := tg.start(t, h, "config", "validate", "--json").exit(); code != want {
		t.Errorf("validate afterwards: exit %d, want %d", code, want)
	}
}

// awaitReady polls the probes until the gateway takes connects and returns the shapes of all answers that it saw.
func awaitReady(t *testing.T, h home) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		done := true
		for _, path := range []string{"/healthz", "/readyz", "/startupz"} {
			status, body, _ := get(t, h, http.MethodGet, path)
			if status == 0 {
				done = false
				break
			}
			var v any
			_ = json.Unmarshal(body, &v) // what is no JSON has the shape null
			seen[fmt.Sprint(path, " ", status, " ", shape(v, ""))] = true
			done = done && status == http.StatusOK
		}
		if done {
			return seen
		}
		time.Sleep(20 * time.Millisecond) // a poll
	}
	t.Fatal("the gateway did not become ready")
	return nil
}

func get(t *testing.T, h home, method, path string) (status int, body []byte, kind string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+strconv.Itoa(h.port)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ = io.ReadAll(resp.Body)
	return resp.StatusCode, body, resp.Header.Get("Content-Type")
}

// untilClosed reads a session to its end and returns its shutdown event and its close.
func untilClosed(t *testing.T, conn *websocket.Conn) (shutdown, closed string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for {
		_, data, err := conn.ReadMessage()
		if c, ok := errors.AsType[*websocket.CloseError](err); ok {
			return shutdown, fmt.Sprintf("close %d %q", c.Code, c.Text)
		}
		if err != nil {
			return shutdown, err.Error()
		}
		var f struct {
			Event   string
			Seq     int
			Payload any
		}
		if json.Unmarshal(data, &f) == nil && f.Event == "shutdown" {
			shutdown = exact(f.Payload)
			if f.Seq == 0 {
				shutdown += " without seq"
			}
		}
	}
}
