package initprocess

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/internal/testhost"
)

// role is the first argument of the process that plays process 1 of a container: the kernel gives it the orphans below.
const role = "-play-init"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == role {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		os.Exit(Run(os.Args[2:], os.Stderr))
	}
	os.Exit(m.Run())
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// play runs a script under an init.
func play(t *testing.T, script string) (*exec.Cmd, *output) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.Command(self, role, "/bin/sh", "-c", script), &output{}
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = testhost.Signal(-cmd.Process.Pid, syscall.SIGKILL) })
	return cmd, out
}

// code waits for the end and returns the exit code.
func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

func await(t *testing.T, out *output, word string) {
	t.Helper()
	eventually(t, func() bool { return strings.Contains(out.String(), word) }, func() string {
		return fmt.Sprintf("%q was not printed: %s", word, out)
	})
}

// eventually waits for what must happen; only a fault needs the time.
func eventually(t *testing.T, cond func() bool, otherwise func() string) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal(otherwise())
		}
	}
}

// TestOrphansAreReaped: a process whose parent is gone leaves no zombie.
func TestOrphansAreReaped(t *testing.T) {
	cmd, out := play(t, `for i in 1 2 3; do (sh -c 'echo orphan $$' & ); done; echo all; trap 'exit 0' TERM
		while :; do sleep 0.01; done`)
	await(t, out, "all")
	var pids []string
	eventually(t, func() bool {
		pids = nil
		for line := range strings.Lines(out.String()) {
			if pid, ok := strings.CutPrefix(strings.TrimSpace(line), "orphan "); ok {
				pids = append(pids, pid)
			}
		}
		return len(pids) == 3
	}, out.String)
	for _, pid := range pids {
		eventually(t, func() bool { _, err := os.Stat("/proc/" + pid); return err != nil }, func() string {
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			return "it is still there: " + string(stat)
		})
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd); got != 0 {
		t.Errorf("exit code %d: %s", got, out)
	}
}

func TestSignalsAndExitCodesArePassedOn(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		cmd, out := play(t, `trap 'exit 7' TERM INT HUP USR1; echo up; while :; do sleep 0.01; done`)
		await(t, out, "up")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := code(t, cmd); got != 7 {
			t.Errorf("%v: exit code %d: %s", sig, got, out)
		}
	}
}

// TestKilledProgramIsStartedAgain: what it left can be taken up by the next one.
func TestKilledProgramIsStartedAgain(t *testing.T) {
	cmd, out := play(t, `echo begin; n=$(ls | wc -l); touch f$n; [ $n = 2 ] || kill -9 $$; exit 5`)
	if got := code(t, cmd); got != 5 || strings.Count(out.String(), "begin\n") != 3 {
		t.Errorf("exit code %d: %s", got, out)
	}
	if !strings.Contains(out.String(), "killed by killed") || !strings.Contains(out.String(), "200ms") {
		t.Errorf("it does not say why and when: %s", out)
	}
}

// TestProgramThatIsKilledDuringAStopIsNotStartedAgain: the request was to end.
func TestProgramThatIsKilledDuringAStopIsNotStartedAgain(t *testing.T) {
	cmd, out := play(t, `trap 'echo asked; kill -9 $$' TERM; echo up; while :; do sleep 0.01; done`)
	await(t, out, "up")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := code(t, cmd); got != 128+9 || strings.Count(out.String(), "up\n") != 1 {
		t.Errorf("exit code %d: %s", got, out)
	}
}

// TestStopWhileTheProgramIsDown ends the container.
func TestStopWhileTheProgramIsDown(t *testing.T) {
	c := container{say: &output{}}
	for s, over := range map[os.Signal]bool{
		syscall.SIGTERM: true, syscall.SIGINT: true, syscall.SIGHUP: false, syscall.SIGURG: false,
	} {
		if got := c.pass(s); got != over {
			t.Errorf("%v ends the container: %v", s, got)
		}
	}
}

// TestWhatFollowsAnEnd is the table of ends: the low byte of a status is the signal, the next one the exit code.
func TestWhatFollowsAnEnd(t *testing.T) {
	const killed, exit0, exit2, exit78 = 9, 0, 2 << 8, 78 << 8
	for name, row := range map[string]struct {
		status syscall.WaitStatus
		ran    time.Duration
		stop   os.Signal
		code   int
		over   bool
	}{
		"in order":               {exit0, time.Hour, nil, 0, true},
		"configuration":          {exit78, time.Second, nil, 78, true},
		"usage":                  {exit2, time.Second, nil, 2, true},
		"panic":                  {exit2, time.Hour, nil, 0, false},
		"panic during a stop":    {exit2, time.Hour, syscall.SIGTERM, 2, true},
		"killed":                 {killed, time.Hour, nil, 0, false},
		"killed during the stop": {killed, time.Hour, syscall.SIGTERM, 137, true},
	} {
		c := container{say: &output{}, began: time.Now().Add(-row.ran), stop: row.stop, delay: restartFirst, pid: 5}
		code, over := c.ended(row.status)
		if code != row.code || over != row.over || over == (c.again != nil) || c.pid != 0 {
			t.Errorf("%s: code %d, over %v", name, code, over)
		}
	}
	c := container{say: &output{}, began: time.Now(), delay: restartFirst}
	for range 20 {
		c.ended(killed)
	}
	if c.delay != restartMost {
		t.Errorf("delay %v after 20 ends in a row", c.delay)
	}
	c.began = time.Now().Add(-lasted)
	if c.ended(killed); c.delay != 2*restartFirst {
		t.Errorf("delay %v after a long life", c.delay)
	}
}

func TestProgramThatIsNotThereIsSaid(t *testing.T) {
	var out output
	if got := Run([]string{filepath.Join(t.TempDir(), "none")}, &out); got != 127 ||
		!strings.Contains(out.String(), "cannot run") {
		t.Errorf("exit code %d: %s", got, &out)
	}
}
