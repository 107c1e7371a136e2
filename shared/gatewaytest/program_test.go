//go:build unix

package gatewaytest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/gatehost/gatehost/internal/testhost"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

// TestMain lets the test binary be the emulator.
func TestMain(m *testing.M) {
	if os.Getenv("GATEWAYTEST_MAIN") == "1" {
		os.Exit(gatewaytest.RunMain(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// buffer is written by a process while a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// program is a running emulator.
type program struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, errOut *buffer
	port        int
	state       string
	done        chan struct{}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append([]string{
		"GATEWAYTEST_MAIN=1", "HOME=" + dir, "OPENCLAW_STATE_DIR=" + filepath.Join(dir, "state"),
		"OPENCLAW_GATEWAY_TOKEN=tok", "EMULATOR_TIME_SCALE=0.01",
		"OPENCLAW_NO_RESPAWN=1",
	}, env...)
	return cmd
}

func launch(t *testing.T, dir string, env ...string) *program {
	t.Helper()
	p := &program{
		t: t, port: freePort(t), state: filepath.Join(dir, "state"), out: &buffer{}, errOut: &buffer{},
		done: make(chan struct{}),
	}
	p.cmd = command(t, dir, env, "gateway", "--port", strconv.Itoa(p.port), "--bind", "loopback",
		"--allow-unconfigured")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.errOut
	p.cmd.WaitDelay = 100 * time.Millisecond // for those that leave a grandchild with the pipe
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", p.out, p.errOut)
		}
	})
	return p
}

func (p *program) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("it did not exit")
		return 0
	}
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !check() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // a poll
	}
}

func (p *program) ready() *program {
	p.t.Helper()
	eventually(p.t, "ready", func() bool { return p.probe() == http.StatusOK })
	return p
}

func (p *program) probe() int {
	resp, err := http.Get("http://127.0.0.1:" + strconv.Itoa(p.port) + "/readyz")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (p *program) session() *client {
	p.t.Helper()
	ws, resp, err := websocket.DefaultDialer.DialContext(p.t.Context(), "ws://127.0.0.1:"+strconv.Itoa(p.port), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	p.t.Cleanup(func() { _ = ws.NetConn().Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	c := &client{p.t, ws}
	c.challenge()
	if m := c.call("connect", params("tok")); m["ok"] != true {
		p.t.Fatalf("connect = %v", m)
	}
	return c
}

// ended reads a session to its end: the last shutdown event's payload and the close code, 0 for none.
func (c *client) ended() (shutdown any, code int) {
	for {
		m, err := c.next()
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			return shutdown, closed.Code
		}
		if err != nil {
			return shutdown, 0
		}
		if m["event"] == "shutdown" {
			shutdown = m["payload"]
		}
	}
}

func TestSignalsStopRestartAndKill(t *testing.T) {
	t.Run("SIGTERM stops", func(t *testing.T) {
		p := launch(t, t.TempDir()).ready()
		c := p.session()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		shutdown, code := c.ended()
		if m, _ := shutdown.(map[string]any); len(m) != 1 || m["reason"] != "gateway stopping" || code != 1012 {
			t.Errorf("shutdown %v, close %d", shutdown, code)
		}
		if code := p.exit(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("SIGUSR2 restarts in process", func(t *testing.T) {
		p := launch(t, t.TempDir()).ready()
		c := p.session()
		_ = p.cmd.Process.Signal(syscall.SIGUSR2)
		shutdown, code := c.ended()
		if m, _ := shutdown.(map[string]any); m["restartExpectedMs"] != 1500.0 || code != 1012 {
			t.Errorf("shutdown %v, close %d", shutdown, code)
		}
		p.ready().session()
	})
	t.Run("SIGUSR2 under an external supervisor exits", func(t *testing.T) {
		p := launch(t, t.TempDir(), "OPENCLAW_NO_RESPAWN=", "OPENCLAW_SUPERVISOR_MODE=external").ready()
		_ = p.cmd.Process.Signal(syscall.SIGUSR2)
		if code := p.exit(); code != 0 ||
			!strings.Contains(p.out.String(), "full process restart (supervisor restart)") {
			t.Errorf("exit %d\n%s", code, p.out)
		}
	})
	t.Run("SIGUSR1 opens an inspector and does not restart", func(t *testing.T) {
		p := launch(t, t.TempDir()).ready()
		_ = p.cmd.Process.Signal(syscall.SIGUSR1)
		eventually(t, "the inspector", func() bool { return strings.Contains(p.errOut.String(), "Debugger listening") })
		p.session()
	})
	t.Run("SIGHUP kills", func(t *testing.T) {
		// Under nohup these tests begin with SIGHUP ignored, and their children would, too; what is caught here is as
		// usual in a child.
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, syscall.SIGHUP)
		defer signal.Stop(caught)
		p := launch(t, t.TempDir()).ready()
		c := p.session()
		_ = p.cmd.Process.Signal(syscall.SIGHUP)
		if shutdown, code := c.ended(); shutdown != nil || code != 1006 && code != 0 {
			t.Errorf("shutdown %v, close %d", shutdown, code)
		}
		p.exit()
		if sig := p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); sig != syscall.SIGHUP {
			t.Errorf("signal %v", sig)
		}
	})
}

func TestRestartIntoAnInvalidConfigStaysAliveWithItsPortClosed(t *testing.T) { // the zombie of docs/openclaw.md §4
	dir := t.TempDir()
	p := launch(t, dir).ready()
	config := filepath.Join(dir, "state", "openclaw.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"gateway":{"port":"x"}}`)
	eventually(t, "the edit is refused",
		func() bool { return strings.Contains(p.errOut.String(), "config reload skipped (invalid config)") })
	p.session() // it goes on with the last good one
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	eventually(t, "it stays alive",
		func() bool { return strings.Contains(p.errOut.String(), "Process will stay alive") })
	if p.probe() != 0 {
		t.Error("the port is open")
	}
	write(`{"gateway":{"mode":"local"}}`)
	_ = p.cmd.Process.Signal(syscall.SIGUSR2)
	p.ready().session()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestLostPipeEndsItWithZero(t *testing.T) { // docs/openclaw.md §4
	cmd := command(t, t.TempDir(), []string{"EMULATOR_LOG_CONNECTIONS=1"}, "gateway", "--port",
		strconv.Itoa(freePort(t)), "--allow-unconfigured")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	_ = w.Close()
	buf := make([]byte, 256)
	if _, err := r.Read(buf); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v, want 0", err)
	}
}

func TestThreeKillsTripTheCrashLoopBreaker(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		p := launch(t, dir).ready()
		_ = p.cmd.Process.Kill()
		p.exit()
	}
	p := launch(t, dir).ready()
	if !strings.Contains(p.errOut.String(), "restart-loop breaker tripped: 3 unclean boot(s)") {
		t.Error(p.errOut)
	}
}

func TestSpawnBrokerHasASessionOfItsOwnAndDiesWithTheGateway(t *testing.T) {
	p := launch(t, t.TempDir(), "EMULATOR_CHILDREN=1").ready()
	_, text, _ := strings.Cut(p.out.String(), "spawn broker ready pid=")
	text, _, _ = strings.Cut(text, "\n")
	broker, err := strconv.Atoi(text)
	if err != nil || broker == p.cmd.Process.Pid {
		t.Fatalf("broker %q, %v", text, err)
	}
	if pgid, err := syscall.Getpgid(broker); err != nil || pgid != broker {
		t.Errorf("group %d, %v", pgid, err)
	}
	_ = p.cmd.Process.Kill()
	p.exit()
	eventually(t, "the broker ends", func() bool {
		return errors.Is(testhost.Signal(broker, 0), syscall.ESRCH) ||
			zombie(broker)
	})
}

func zombie(pid int) bool {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return strings.Contains(string(data), ") Z ")
}

func TestMisbehavioursOfTheProcess(t *testing.T) {
	for _, row := range []struct {
		script string
		check  func(t *testing.T, p *program)
	}{
		{"exit-at-once=3", func(t *testing.T, p *program) {
			if code := p.exit(); code != 3 || p.out.String()+p.errOut.String() != "" {
				t.Errorf("exit %d", code)
			}
		}},
		{"crash-loop", func(t *testing.T, p *program) {
			if code := p.exit(); code != 1 {
				t.Errorf("exit %d", code)
			}
		}},
		{"other-owner", func(t *testing.T, p *program) {
			if code := p.exit(); code != 78 || !strings.Contains(p.errOut.String(), "gateway-lifecycle") {
				t.Errorf("exit %d", code)
			}
		}},
		{"old-node", func(t *testing.T, p *program) {
			if code := p.exit(); code != 1 || p.out.String() != "" ||
				!strings.HasPrefix(p.errOut.String(), "openclaw: Node 20.20.2: node:sqlite is unavailable; ") {
				t.Errorf("exit %d", code)
			}
		}},
		{"full-disk", func(t *testing.T, p *program) {
			if code := p.exit(); code != 1 || !strings.Contains(p.out.String(), "starting...") ||
				!strings.Contains(p.errOut.String(),
					"[gateway] failed to write stability bundle: Error: ENOSPC: no space left on device, write\n") {
				t.Errorf("exit %d", code)
			}
		}},
		{"exit-after=10:7", func(t *testing.T, p *program) {
			if code := p.exit(); code != 7 {
				t.Errorf("exit %d", code)
			}
		}},
		{"out-of-heap-after=10", func(t *testing.T, p *program) {
			if code := p.exit(); code != 134 || !strings.Contains(p.errOut.String(), "JavaScript heap out of memory\n") {
				t.Errorf("exit %d", code)
			}
		}},
		{"die-after=10", func(t *testing.T, p *program) {
			p.exit()
			if sig := p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); sig != syscall.SIGKILL {
				t.Errorf("signal %v", sig)
			}
		}},
		{"never-listen", func(t *testing.T, p *program) {
			t.Helper()
			eventually(t, "the last line", func() bool { return strings.Contains(p.out.String(), "health-monitor") })
			if p.probe() != 0 {
				t.Error("it listens")
			}
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if code := p.exit(); code != 0 {
				t.Errorf("exit %d", code)
			}
		}},
		{"ignore-sigterm", func(t *testing.T, p *program) {
			t.Helper()
			p.ready()
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			eventually(t, "it takes the signal",
				func() bool { return strings.Contains(p.errOut.String(), "SIGTERM ignored") })
			p.session()
		}},
		{"hang-stop", func(t *testing.T, p *program) {
			t.Helper()
			c := p.ready().session()
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if _, code := c.ended(); code != 1012 {
				t.Errorf("close %d", code)
			}
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-p.done:
				t.Error("it exited")
			case <-time.After(300 * time.Millisecond): // nothing must happen
			}
		}},
		{"zombie-restart", func(t *testing.T, p *program) {
			p.ready()
			_ = p.cmd.Process.Signal(syscall.SIGUSR2)
			eventually(t, "the port is closed", func() bool { return p.probe() == 0 })
		}},
		{"flood-stderr=2000", func(t *testing.T, p *program) {
			eventually(t, "the flood",
				func() bool { return strings.Contains(p.errOut.String(), "flood: ended after 2000 lines") })
			n := 0
			for line := range strings.Lines(p.errOut.String()) {
				if strings.HasPrefix(line, "flood: line ") {
					n++
					if want := "flood: line " + strconv.Itoa(n) + " of 2000 "; len(line) != gatewaytest.FloodLine ||
						!strings.HasPrefix(line, want) {
						t.Fatalf("line of %d bytes: %q, want %q", len(line), line, want)
					}
				}
			}
			if n != 2000 {
				t.Errorf("lines = %d", n)
			}
			var kept string
			eventually(t, "the count of all lines", func() bool {
				data, _ := os.ReadFile(gatewaytest.CountFile(p.state, ""))
				kept = string(data)
				return kept == strconv.Itoa(strings.Count(p.out.String()+p.errOut.String(), "\n"))
			})
		}},
		{"print-token", func(t *testing.T, p *program) {
			eventually(t, "the token", func() bool { return strings.Contains(p.errOut.String(), "auth token is tok") })
		}},
		{"spawn-grandchild-holding-pipe=1", func(t *testing.T, p *program) {
			p.ready()
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			if code := p.exit(); code != 0 && code != -1 {
				t.Errorf("exit %d", code)
			}
		}},
		{"restart-after=20", func(t *testing.T, p *program) {
			eventually(t, "it is ready again",
				func() bool { return strings.Count(p.out.String(), "[gateway] ready") == 2 })
			p.session()
		}},
	} {
		t.Run(row.script, func(t *testing.T) {
			t.Parallel()
			row.check(t, launch(t, t.TempDir(), "EMULATOR_MISBEHAVE="+row.script))
		})
	}
}

func TestFirstLaunchesCrashAndThenOneSucceeds(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if code := launch(t, dir, "EMULATOR_MISBEHAVE=crash-first=2").exit(); code != 1 {
			t.Errorf("exit %d", code)
		}
	}
	launch(t, dir, "EMULATOR_MISBEHAVE=crash-first=2").ready()
}

// TestCountedLinesAreContiguousToTheEnd: each number once, on stdout and stderr by turns, and the file knows the last
// one.
func TestCountedLinesAreContiguousToTheEnd(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, "EMULATOR_MISBEHAVE=count-lines=2,slow-stop=50", "GATEHOST_LAUNCH_ID=L1").ready()
	eventually(t, "some lines", func() bool { return strings.Contains(p.out.String(), "count 20 of L1") })
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Fatalf("exit %d", code)
	}
	kept, err := os.ReadFile(gatewaytest.CountFile(filepath.Join(dir, "state"), "L1"))
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(string(kept))
	if err != nil || last < 20 {
		t.Fatalf("kept %q: %v", kept, err)
	}
	for n := 1; n <= last+1; n++ {
		odd, even := strings.Count(p.errOut.String(), "count "+strconv.Itoa(n)+" of L1\n"),
			strings.Count(p.out.String(), "count "+strconv.Itoa(n)+" of L1\n")
		want := [2]int{(n + 1) % 2, n % 2}
		if n > last {
			want = [2]int{}
		}
		if got := [2]int{even, odd}; got != want {
			t.Errorf("line %d of %d is %v times on stdout and stderr, want %v", n, last, got, want)
		}
	}
}

func TestSlowDoctorTakesItsTime(t *testing.T) {
	began := time.Now()
	out, err := command(t, t.TempDir(), []string{"EMULATOR_MISBEHAVE=slow-doctor=300"}, "doctor", "--fix", "--yes",
		"--non-interactive").CombinedOutput()
	if took := time.Since(began); err != nil || took < 300*time.Millisecond ||
		!strings.Contains(string(out), "Doctor complete") {
		t.Errorf("%v after %v\n%s", err, took, out)
	}
}

func TestUsage(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--version"}, 0, "OpenClaw 2026.9.6"},
		{[]string{"--help"}, 0, "silent-after=MS"},
		{[]string{"gateway", "--bogus"}, 1, "unknown option '--bogus'"},
		{[]string{"gateway", "--port"}, 1, "argument missing"},
		{[]string{"gateway", "--port", "x"}, 1, "Invalid port"},
		{[]string{"nonsense"}, 1, "unknown command"},
	} {
		out, err := command(t, t.TempDir(), nil, row.args...).CombinedOutput()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		if code != row.code || !strings.Contains(string(out), row.want) {
			t.Errorf("%v: exit %d\n%s", row.args, code, out)
		}
	}
}
