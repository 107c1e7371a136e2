package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/release"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// patience is how long a test waits for something that should happen: only a hang needs it.
const patience = 90 * time.Second

// canary is the token of every gateway in these tests. It must be found nowhere but in the gateway's own environment.
const canary = "canary-0f8e4c1d9b7a6532-token"

var bin string // the built binaries; set once by TestMain

func TestMain(m *testing.M) {
	playStranger()
	testhost.Main(m, &bin, "gatehost", "gatehost-shim", "gateway-emulator", "plugins/launcher-utility",
		"plugins/launcher-launchd", "plugins/doctor",
		"plugins/doctor-environment", "protocol-only", "bad-plugin", "doctor-versions", "rules-plugin")
}

// gateway is what a scenario supervises.
type gateway struct {
	command []string
	env     map[string]string // of the gateway, in config.toml
	path    string            // put in front of PATH
	release string            // of OpenClaw that it is, or plays
}

// quirks is what its release does its own way.
func (gw gateway) quirks() release.Quirks { return release.Of(gw.release, nil) }

// startLine is what it prints once per start.
func (gw gateway) startLine() string {
	if gw.quirks().QuietStart {
		return "[gateway] agent model"
	}
	return "loading configuration"
}

func emulator(misbehave string) gateway {
	env := map[string]string{"EMULATOR_TIME_SCALE": "0.05"}
	if misbehave != "" {
		env["EMULATOR_MISBEHAVE"] = misbehave
	}
	return gateway{command: []string{filepath.Join(bin, "gateway-emulator")}, env: env, release: gatewaytest.Version}
}

// emulated is the emulator that plays a release.
func emulated(version string) gateway {
	gw := emulator("")
	gw.release, gw.env["EMULATOR_RELEASE"] = version, version
	return gw
}

// parallel are the tests that run beside others: most of them wait most of the time.
var parallel sync.Map

// atOnce lets a test run beside others, whose sites have nothing in common with its own. A test may have several sites.
func atOnce(t *testing.T) {
	t.Helper()
	if _, already := parallel.LoadOrStore(t, true); !already {
		t.Parallel()
	}
}

// site is one host with its own home, port and state, in a directory that names all of its processes.
type site struct {
	t     *testing.T
	dir   string
	port  int
	gw    gateway
	extra string // more of config.toml
	// runtimeDir is XDG_RUNTIME_DIR of verbs and hosts; "": run in dir
	runtimeDir string
	temp       string // for temporary files; "": the machine's
	// more of the environment of the host and of its verbs
	environment []string
	host        *exec.Cmd
	exited      chan struct{}
	code        int // of the host, once it has exited
	stderr      *safeBuffer
	// terminal is what the host writes to instead of stderr; nil: stderr
	terminal *os.File
}

func newSite(t *testing.T, gw gateway) *site {
	t.Helper()
	atOnce(t)
	dir, err := os.MkdirTemp("", "ghe2e") // short: sockets live under it
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, port: testhost.FreePort(t), gw: gw, stderr: &safeBuffer{}}
	t.Cleanup(func() {
		s.killHost()
		for _, p := range s.processes() { // whatever a failed test left
			t.Errorf("left behind: %s", p)
			_ = testhost.Signal(p.pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("host's terminal:\n%s", s.stderr)
		}
		_ = os.RemoveAll(dir)
	})
	for _, sub := range []string{"home", "run", "oc"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) config() string {
	env := ""
	for k, v := range s.gw.env {
		env += fmt.Sprintf("%s = %q\n", k, v)
	}
	command, _ := json.Marshal(s.gw.command)
	prepend := "[]"
	if s.gw.path != "" {
		prepend = fmt.Sprintf("[%q]", s.gw.path)
	}
	return fmt.Sprintf(`version = 1
state_dir = %q
plugin_dir = %q
[plugins.utility]
path = "launcher-utility"
[plugins.doctor]
path = "doctor"
[gateways.main]
port = %d
launcher = "utility"
doctors = ["doctor"]
classifiers = ["doctor"]
token = {env = "GH_TEST_TOKEN"}
[gateways.main.launch]
command = %s
state_dir = %q
path_prepend = %s
grace = "20s"
[gateways.main.launch.env]
%s
[gateways.main.reconnect]
base = "200ms"
%s`, filepath.Join(s.dir, "state"), filepath.Join(bin, "plugins"), s.port, command, filepath.Join(s.dir, "oc"), prepend,
		env, s.extra)
}

func (s *site) configPath() string { return filepath.Join(s.dir, "config.toml") }

func (s *site) writeConfig(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.configPath(), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) writeFile(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) environ() []string {
	return append([]string{
		"HOME=" + filepath.Join(s.dir, "home"), "XDG_RUNTIME_DIR=" + cmp.Or(s.runtimeDir, filepath.Join(s.dir, "run")),
		"PATH=" + os.Getenv("PATH"), "GH_TEST_TOKEN=" + canary, "NO_COLOR=1", "TMPDIR=" + cmp.Or(s.temp, os.TempDir()),
	}, s.environment...)
}

// run starts the host in the foreground of its own process group.
func (s *site) run() {
	s.t.Helper()
	if _, err := os.Stat(s.configPath()); err != nil {
		s.writeConfig(s.config())
	}
	s.startHost()
}

func (s *site) startHost() {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "gatehost"), "run", "--config", s.configPath())
	cmd.Env, cmd.Dir = s.environ(), s.dir
	cmd.Stdout, cmd.Stderr = s.stderr, s.stderr
	if s.terminal != nil {
		cmd.Stdout, cmd.Stderr = s.terminal, s.terminal
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.follow(cmd)
}

// follow starts a host.
func (s *site) follow(cmd *exec.Cmd) {
	s.t.Helper()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.host, s.exited = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		s.code = cmd.ProcessState.ExitCode()
		close(s.exited)
	}()
}

func (s *site) killHost() {
	if s.host == nil {
		return
	}
	_ = s.host.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Error("the host did not end on SIGTERM")
		_ = s.host.Process.Kill()
		<-s.exited
	}
	s.host = nil
}

// shutdown ends the host in order and checks that nothing is left.
func (s *site) shutdown() {
	s.t.Helper()
	s.killHost()
	s.nothingLeft()
}

func (s *site) nothingLeft() {
	s.t.Helper()
	s.eventually("no process is left", func() (bool, string) {
		left := s.processes()
		return len(left) == 0, fmt.Sprint(left)
	})
}

// cli runs a verb and returns its answer, its talk and its exit code.
func (s *site) cli(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "gatehost"), args...)
	cmd.Env, cmd.Dir = append(s.environ(), "GATEHOST_CONFIG="+s.configPath()), s.dir
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errOut.String(), exit.ExitCode()
	}
	if err != nil {
		s.t.Fatalf("gatehost %v: %v", args, err)
	}
	return out.String(), errOut.String(), 0
}

func (s *site) must(args ...string) string {
	s.t.Helper()
	out, errOut, code := s.cli(args...)
	if code != 0 {
		s.t.Fatalf("gatehost %v: exit %d\n%s%s", args, code, out, errOut)
	}
	return out
}

type status struct {
	Host struct {
		PID int `json:"pid"`
	} `json:"host"`
	Gateways []gatewayStatus `json:"gateways"`
	Plugins  []struct {
		Name     string `json:"name"`
		State    string `json:"state"`
		PID      int    `json:"pid"`
		Restarts int    `json:"restarts"`
	} `json:"plugins"`
}

type condition struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

type gatewayStatus struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`
	Phase    string   `json:"phase"`
	Owner    string   `json:"owner"`
	PID      int      `json:"pid"`
	Version  string   `json:"version"`
	Adopted  bool     `json:"adopted"`
	Restarts int      `json:"restarts"`
	LaunchID string   `json:"launchId"`
	Port     int      `json:"port"`
	BootID   string   `json:"bootId"`
	Drift    []string `json:"drift"`
	UptimeMs *int64   `json:"uptimeMs"`
	Error    *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint"`
	} `json:"error"`
	Conditions []condition `json:"conditions"`
	LastExit   *struct {
		Code   *int   `json:"code"`
		Signal string `json:"signal"`
	} `json:"lastExit"`
	LastStart struct {
		Outcome string `json:"outcome"`
		Stages  []struct {
			Name string `json:"name"`
			Ms   int    `json:"ms"`
		} `json:"stages"`
	} `json:"lastStart"`
}

// status asks the host; ok is false while none answers.
func (s *site) status() (st status, ok bool) {
	s.t.Helper()
	out, _, code := s.cli("status", "--json")
	if code != 0 {
		return st, false
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatalf("status --json: %v\n%s", err, out)
	}
	return st, len(st.Gateways) == 1
}

// await waits until the gateway is as wanted and returns its status.
func (s *site) await(what string, want func(gatewayStatus) bool) gatewayStatus {
	s.t.Helper()
	var got gatewayStatus
	s.eventually(what, func() (bool, string) {
		st, ok := s.status()
		if !ok {
			return false, "no host answers"
		}
		got = st.Gateways[0]
		text, _ := json.Marshal(got)
		return want(got), string(text)
	})
	return got
}

func (s *site) awaitState(state string) gatewayStatus {
	s.t.Helper()
	return s.await("state "+state, func(g gatewayStatus) bool { return g.State == state })
}

func (s *site) eventually(what string, check func() (bool, string)) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, last := check()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %v in vain for: %s\nlast: %s\nhost's terminal:\n%s", patience, what, last, s.stderr)
		}
		time.Sleep(150 * time.Millisecond) // a poll of something outside this process
	}
}

type process struct {
	pid  int
	args string
}

func (p process) String() string { return fmt.Sprintf("pid %d: %s", p.pid, p.args) }

// processes is every live process that carries the site's directory in its environment or arguments, but not this test.
func (s *site) processes() []process {
	entries, _ := os.ReadDir("/proc")
	var out []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if len(args) > 0 && (bytes.Contains(env, []byte(s.dir)) || bytes.Contains(args, []byte(s.dir))) {
			out = append(out, process{pid, strings.ReplaceAll(string(args), "\x00", " ")})
		}
	}
	return out
}

// safeBuffer is a buffer that a process writes while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
