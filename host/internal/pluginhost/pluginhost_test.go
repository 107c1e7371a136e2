//go:build unix

package pluginhost_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

const patience = 60 * time.Second

var pluginDir string // holds the built test plugin; set once by TestMain

// noSeccomp is a variable of a plugin that is to be started where no process may make seccomp filters: "all" of them,
// or those with a "listener".
const noSeccomp = "PLUGINHOST_TEST_NO_SECCOMP"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sandbox.Verb { // this process is the wrapper of a sandboxed plugin
		if what := os.Getenv(noSeccomp); what != "" {
			forbidSeccomp(what == "all")
		}
		fmt.Fprintln(os.Stderr, sandbox.Exec(os.Args[2:]))
		os.Exit(1)
	}
	if dir := os.Getenv("PLUGINHOST_TEST_HOST"); dir != "" {
		hostUntilKilled(dir) // this process is the host of TestPluginsEndWithAKilledHost
	}
	dir, err := os.MkdirTemp("", "ghp")
	if err != nil {
		panic(err)
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "test-plugin"), "./testdata/plugin")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the test plugin: %v\n%s", err, out)
		os.Exit(1)
	}
	pluginDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// quick makes all waits brief; deadlines for what should not happen stay long.
func quick() pluginhost.Timing {
	return pluginhost.Timing{
		HealthEvery: 200 * time.Millisecond, HealthTimeout: 2 * time.Second, BackoffBase: 20 * time.Millisecond,
		BackoffMax: 100 * time.Millisecond, CloseGrace: 5 * time.Second, CircuitRetry: time.Hour, CallWait: patience,
	}
}

func newHost(t *testing.T, timing pluginhost.Timing, specs ...pluginhost.Spec) (*pluginhost.Host, string) {
	t.Helper()
	return newHostThatSpeaks(t, nil, timing, specs...)
}

func newHostThatSpeaks(
	t *testing.T, speaks map[plugin.Kind]pluginhost.Versions, timing pluginhost.Timing, specs ...pluginhost.Spec,
) (*pluginhost.Host, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.New(&hclog.LoggerOptions{Output: testWriter{t}, Level: hclog.Warn}), Version: "test",
		PluginDir: pluginDir,
		DataDir:   filepath.Join(dir, "data"), RunDir: filepath.Join(dir, "run"), RuntimeDir: filepath.Join(dir, "rt"),
		Timing: timing, Speaks: speaks,
	})
	for _, s := range specs {
		if err := h.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	h.Start(t.Context())
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			h.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(patience):
			t.Error("Close hangs")
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "rt", "*", "*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		_ = os.RemoveAll(dir)
	})
	return h, dir
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { return len(p), nil }

func testPlugin(args ...string) pluginhost.Spec {
	return pluginhost.Spec{Name: "p", Path: "test-plugin", Args: args}
}

func ask(t *testing.T, h *pluginhost.Host, what string) (doctor.Diagnosis, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return h.Doctor("p").Diagnose(ctx, doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: what}})
}

// pid asks the plugin for its pid.
func pid(t *testing.T, h *pluginhost.Host) int {
	t.Helper()
	d, err := ask(t, h, "")
	if err != nil || len(d.Findings) != 1 {
		t.Fatalf("diagnosis = %+v, %v", d, err)
	}
	n, err := strconv.Atoi(d.Findings[0].Text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func awaitState(t *testing.T, h *pluginhost.Host, want string) pluginhost.State {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if s := h.Plugins()[0]; s.State == want {
			return s
		}
		time.Sleep(10 * time.Millisecond) // a poll
	}
	t.Fatalf("state = %+v, want %s", h.Plugins()[0], want)
	return pluginhost.State{}
}

func TestPluginIsStartedCalledAndClosed(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	p := pid(t, h)
	s := awaitState(t, h, pluginhost.Running)
	if s.PID != p || s.Version != "1.2.3" || len(s.Services) != 1 || s.Services[0].Kind != plugin.KindDoctor {
		t.Errorf("state = %+v, pid = %d", s, p)
	}
	h.Close()
	if err := testhost.Signal(p, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the plugin lives after Close: %v", err)
	}
	if _, err := ask(t, h, ""); !errors.Is(err, fault.ErrPluginDown) {
		t.Errorf("call after Close = %v, want plugin_down", err)
	}
}

func TestErrorsKeepTheirMeaningAndPanicsBecomeErrors(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	if _, err := ask(t, h, "fault"); !errors.Is(err, fault.ErrConflict) || fault.HintOf(err) != "wait" {
		t.Errorf("error = %v, hint = %q", err, fault.HintOf(err))
	}
	if _, err := ask(t, h, "panic"); !errors.Is(err, fault.ErrInternal) || !strings.Contains(err.Error(), "planted") {
		t.Errorf("error = %v, want the panic", err)
	}
	if _, err := ask(t, h, "huge"); err == nil {
		t.Error("an answer of 20 MiB was taken")
	}
	before := h.Plugins()[0].Restarts
	if pid(t, h); h.Plugins()[0].Restarts != before {
		t.Error("the plugin was restarted for an error")
	}
}

func TestKilledPluginIsReplacedAndIdempotentCallsGoOn(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	first := pid(t, h)
	if err := testhost.Signal(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if second := pid(t, h); second == first {
		t.Error("the same process answers")
	}
	if s := awaitState(t, h, pluginhost.Running); s.Restarts != 1 {
		t.Errorf("restarts = %d", s.Restarts)
	}
}

func TestPluginThatDiesInACallEndsTheCall(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	pid(t, h)
	// twice: Diagnose is idempotent and is repeated
	if _, err := ask(t, h, "die"); !errors.Is(err, fault.ErrPluginGone) {
		t.Errorf("error = %v, want plugin_gone", err)
	}
	pid(t, h)
}

// TestStoppedPluginIsFoundAndReplaced: SIGSTOP leaves the process alive and its sockets open (R4).
func TestStoppedPluginIsFoundAndReplaced(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	first := pid(t, h)
	stopProcess(t, first)
	began := time.Now()
	if second := pid(t, h); second == first {
		t.Error("the stopped process answers")
	}
	t.Logf("replaced after %v", time.Since(began))
	if err := testhost.Signal(first, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the stopped plugin still exists: %v", err)
	}
}

// stopProcess stops a process and waits until all of its threads stand still, which takes a moment.
func stopProcess(t *testing.T, pid int) {
	t.Helper()
	if err := testhost.Signal(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	poll(t, "the process to stand still", func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, path := range threads {
			if stat, _ := os.ReadFile(path); !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return len(threads) > 0
	})
}

func TestStoppedPluginDoesNotHoldUpClose(t *testing.T) {
	timing := quick()
	timing.HealthEvery = time.Hour // no health check finds it before Close
	timing.CloseGrace = 200 * time.Millisecond
	h, _ := newHost(t, timing, testPlugin())
	stopped := pid(t, h)
	stopProcess(t, stopped)
	h.Close()
	if err := testhost.Signal(stopped, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the stopped plugin lives after Close: %v", err)
	}
}

// TestGrandchildThatHoldsStderrDoesNotHideADeath: go-plugin would wait for the end of the pipes (R5).
func TestGrandchildThatHoldsStderrDoesNotHideADeath(t *testing.T) {
	h, dir := newHost(t, quick(), testPlugin())
	first := pid(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(dir, "data", "p", "grandchild")); err == nil {
			if n, err := strconv.Atoi(string(text)); err == nil {
				_ = testhost.Signal(n, syscall.SIGKILL)
			}
		}
	})
	_, _ = h.Doctor("p").Diagnose(ctx,
		doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "die-with-grandchild"}})
	if second := pid(t, h); second == first {
		t.Error("the same process answers")
	}
}

func TestFloodOfLogsDoesNotBlockCalls(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin("floods"))
	for range 5 {
		pid(t, h)
	}
}

func TestHangingCallIsEndedByItsCaller(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	p := pid(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := h.Doctor("p").Diagnose(ctx, doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "hang"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	if pid(t, h) != p {
		t.Error("a slow call cost the plugin its life")
	}
}

func TestFailedStartsNameThePluginThePathAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, row := range []struct {
		name  string
		spec  pluginhost.Spec
		want  string
		state string // after the first try: failed when another try would not help
	}{
		{"missing", pluginhost.Spec{Path: "no-such-plugin"}, "there is no such file", pluginhost.Failed},
		{"a directory", pluginhost.Spec{Path: dir}, "it is a directory", pluginhost.Failed},
		{
			"not executable",
			pluginhost.Spec{Path: write("plain", "text", 0o644)},
			"it is not executable",
			pluginhost.Failed,
		},
		{
			"writable by everybody",
			pluginhost.Spec{Path: write("open", "text", 0o777)},
			"every user may write",
			pluginhost.Failed,
		},
		{
			"not a program",
			pluginhost.Spec{Path: write("noprog", "\x7fELFnonsense", 0o755)},
			"not a program of this platform", pluginhost.Failed,
		},
		{
			"ends at once",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"exits"}},
			"I cannot go on",
			pluginhost.BackingOff,
		},
		{
			"not a plugin",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"garbage"}},
			"it is not a gatehost plugin",
			pluginhost.Failed,
		},
		{
			"a long line first",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"long-stdout"}},
			"it is not a gatehost plugin", pluginhost.Failed,
		},
		{
			"another protocol",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"old-protocol"}},
			"another version",
			pluginhost.Failed,
		},
		{
			"silent",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"silent"}, StartTimeout: time.Second},
			"it said nothing for start_timeout", pluginhost.BackingOff,
		},
		{
			"listening and deaf",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"deaf"}, StartTimeout: time.Second},
			"it said nothing for start_timeout", pluginhost.BackingOff,
		},
		{"stopped at its start", pluginhost.Spec{
			Path: "test-plugin", Args: []string{"stops"},
			StartTimeout: time.Second,
		}, "it said nothing for start_timeout", pluginhost.BackingOff},
		{
			"on another machine",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"elsewhere"}},
			"not on loopback",
			pluginhost.BackingOff,
		},
		{
			"of the future",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"future"}},
			"versioned 9.0.0 speaks the doctor service in versions 3 to 4, this host (gatehost test) speaks 1",
			pluginhost.Failed,
		},
		{"a named pipe", pluginhost.Spec{Path: fifo(t)}, "it is not a regular file", pluginhost.Failed},
		{
			"in an open directory",
			pluginhost.Spec{Path: inOpenDir(t)},
			": every user may write to it (mode 0777)",
			pluginhost.Failed,
		},
		{
			"wrong checksum",
			pluginhost.Spec{Path: "test-plugin", SHA256: strings.Repeat("0", 64)},
			"config.toml wants 0000", pluginhost.Failed,
		},
		{"a faulty table", pluginhost.Spec{
			Path: "test-plugin", Config: []byte(`{"levle": 1}`),
			Where: func(p string) string { return "config.toml:7" },
		}, `config.toml:7: plugins.p.config.levle: is not a key`, pluginhost.Failed},
		{
			"dead in Configure",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"dies-in-configure"}},
			"it ended (exit status 4); its last lines: no configuration for me why=none", pluginhost.BackingOff,
		},
		{
			"hung in Configure",
			pluginhost.Spec{
				Path: "test-plugin", Args: []string{"hangs-in-configure"},
				StartTimeout: time.Second,
			},
			"it cannot be configured: it did not answer within start_timeout",
			pluginhost.BackingOff,
		},
		{
			"without what it needs",
			pluginhost.Spec{Path: "test-plugin", Args: []string{"fails-in-configure"}},
			"the database is away", pluginhost.BackingOff,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.spec.Name = "p"
			timing := quick()
			timing.BackoffBase, timing.BackoffMax, timing.CloseGrace = time.Hour, time.Hour, 100*time.Millisecond
			timing.CallWait = 100 * time.Millisecond
			h, _ := newHost(t, timing, row.spec)
			s := awaitState(t, h, row.state)
			text := s.Err.Error()
			if !strings.Contains(text, row.want) || !strings.Contains(text, `plugin "p"`) || fault.HintOf(s.Err) == "" {
				t.Errorf("error = %s\nhint = %s\nwant %q, the name and a hint", text, fault.HintOf(s.Err), row.want)
			}
			if _, err := ask(t, h, ""); !errors.Is(err, fault.ErrPluginDown) ||
				!strings.Contains(err.Error(), row.want) {
				t.Errorf("a call says %v", err)
			}
		})
	}
}

func TestKindThatIsNotServedIsSaid(t *testing.T) {
	h, _ := newHost(t, quick(), testPlugin())
	pid(t, h)
	_, err := h.Launcher("p").List(t.Context(), "")
	if !errors.Is(err, fault.ErrUnsupported) || !strings.Contains(err.Error(), "does not serve as launcher") {
		t.Errorf("error = %v", err)
	}
	if _, err := h.Launcher("unknown").List(t.Context(), ""); !errors.Is(err, fault.ErrPluginDown) {
		t.Errorf("error = %v", err)
	}
}

func checksum(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestCheckedFileIsTheOneThatRuns(t *testing.T) {
	path := filepath.Join(pluginDir, "test-plugin")
	for name, uses := range map[string][]plugin.Kind{"a launcher": nil, "a doctor": {plugin.KindDoctor}} {
		t.Run(name, func(t *testing.T) {
			spec := testPlugin()
			spec.SHA256, spec.Uses = checksum(t, path), uses
			h, _ := newHost(t, quick(), spec)
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid(t, h))); err != nil || exe != path {
				t.Errorf("runs %s, %v, want %s", exe, err, path)
			}
			first := pid(t, h)
			_ = testhost.Signal(first, syscall.SIGKILL)
			if pid(t, h) == first { // a second start checks again (R31)
				t.Error("not replaced")
			}
		})
	}
}

func TestPluginSeesNoSecretOfTheHost(t *testing.T) {
	t.Setenv("OPENCLAW_GATEWAY_TOKEN", "canary-in-the-host")
	t.Setenv("PATH", "/somewhere/else:"+os.Getenv("PATH"))
	h, _ := newHost(t, quick(), testPlugin())
	d, err := ask(t, h, "environment")
	if err != nil {
		t.Fatal(err)
	}
	if env := string(d.Findings[0].Data); strings.Contains(env, "canary") || strings.Contains(env, "/somewhere/else") {
		t.Errorf("environment = %s", env)
	}
}

// TestPluginsEndWithAKilledHost re-executes this test as a host and kills it (R6).
func TestPluginsEndWithAKilledHost(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(exe)
	host.Env = append(os.Environ(), "PLUGINHOST_TEST_HOST="+dir, "PLUGINHOST_TEST_PLUGINS="+pluginDir)
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	var plugin int
	poll(t, "the plugin's pid", func() bool {
		text, _ := os.ReadFile(filepath.Join(dir, "pid"))
		plugin, _ = strconv.Atoi(string(text))
		return plugin != 0
	})
	_ = host.Process.Kill()
	_ = host.Wait()
	poll(t, "the end of the plugin", func() bool {
		return errors.Is(testhost.Signal(plugin, 0), syscall.ESRCH) ||
			zombie(plugin)
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "rt", "*", "*", "*")); len(left) != 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func inOpenDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "plugin")
	if err := os.WriteFile(path, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

func zombie(pid int) bool {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Contains(string(stat), ") Z ")
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func hostUntilKilled(dir string) {
	h := pluginhost.New(pluginhost.Options{
		Log: hclog.NewNullLogger(), PluginDir: os.Getenv("PLUGINHOST_TEST_PLUGINS"),
		DataDir: filepath.Join(dir, "data"),
		RunDir:  filepath.Join(dir, "run"), RuntimeDir: filepath.Join(dir, "rt"), Timing: quick(),
	})
	spec := testPlugin()
	if os.Getenv("PLUGINHOST_TEST_SANDBOX") != "" {
		spec.Sandbox = &sandbox.Spec{}
	}
	if err := h.Add(spec); err != nil {
		panic(err)
	}
	h.Start(context.Background())
	if os.Getenv("PLUGINHOST_TEST_SANDBOX") != "" {
		if _, err := h.Doctor("p").Diagnose(context.Background(),
			doctor.DiagnoseRequest{Incident: &doctor.Incident{ErrorCode: "try leave 1"}}); err != nil {
			panic(err)
		}
	}
	for {
		if s := h.Plugins()[0]; s.PID != 0 {
			tmp := filepath.Join(dir, "pid.tmp")
			_ = os.WriteFile(tmp, []byte(strconv.Itoa(s.PID)), 0o600)
			_ = os.Rename(tmp, filepath.Join(dir, "pid"))
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	select {} // until it is killed
}
