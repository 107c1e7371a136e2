package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/internal/testhost"
)

// goesOn checks that a host whose terminal takes nothing restarts its gateway, revives it, and ends in order.
func (s *site) goesOn() {
	s.t.Helper()
	first := s.awaitState("running")
	s.must("restart", "main")
	second := s.await("another process", func(g gatewayStatus) bool {
		return g.State == "running" && g.PID != first.PID
	})
	if err := testhost.Signal(second.PID, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.await("a third process", func(g gatewayStatus) bool { return g.State == "running" && g.PID != second.PID })
	s.shutdown()
	if code := s.code; code != 0 {
		s.t.Errorf("the host ended with %d, want 0", code)
	}
}

func TestPipeThatIsNotReadStopsNothing(t *testing.T) {
	s := newSite(t, emulator("flood-stderr=2000"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("full\n"), 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
	s.terminal = w
	s.run()
	s.goesOn()
}

func TestPipeWhoseReaderIsGoneStopsNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s.terminal = w
	s.run()
	s.awaitState("running")
	r.Close()
	s.goesOn()
}

// TestLinesThatCouldNotBeWrittenAreCounted: in the status while nothing reads, and in the log when it is read again.
func TestLinesThatCouldNotBeWrittenAreCounted(t *testing.T) {
	s := newSite(t, emulator(""))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.terminal = w
	s.run()
	s.awaitState("running")
	r.Close() // each line of the restart is refused
	s.must("restart", "main")
	s.eventually("the dropped lines are counted", func() (bool, string) {
		out := s.must("status")
		return strings.Contains(out, "lines were dropped"), out
	})
	w.Close()
	s.shutdown()
}

// pty opens a terminal: what a window has, and what a program in it gets.
func pty(t *testing.T) (window, terminal *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminal can be made here: ", err)
	}
	fd := int(window.Fd()) //nolint:gosec // descriptors are small
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return window, terminal
}

// inTerminal runs the host as the leader of a session in a terminal of its own.
func (s *site) inTerminal() (window *os.File) {
	s.t.Helper()
	s.writeConfig(s.config())
	window, terminal := pty(s.t)
	defer terminal.Close()
	cmd := exec.Command(filepath.Join(bin, "gatehost"), "run", "--config", s.configPath())
	cmd.Env, cmd.Dir = s.environ(), s.dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	// A test that runs under nohup ignores SIGHUP, and would hand that on; what is caught is not handed on.
	caught := make(chan os.Signal, 1) // never read
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	s.follow(cmd)
	return window
}

func TestHostWhoseTerminalIsClosedEndsInOrder(t *testing.T) {
	s := newSite(t, emulator(""))
	window := s.inTerminal()
	s.awaitState("running")
	if err := s.host.Process.Signal(syscall.SIGHUP); err != nil { // the terminal is there: it is a request to reload
		t.Fatal(err)
	}
	s.eventually("the configuration is read again", func() (bool, string) {
		out := s.must("events")
		return strings.Contains(out, "config.reloaded"), out
	})
	window.Close()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("the host lives on without its terminal")
	}
	s.nothingLeft()
	if s.code != 0 {
		t.Errorf("the host ended with %d, want 0", s.code)
	}
}

// TestTerminalThatIsStoppedStopsNothing: Ctrl-S.
func TestTerminalThatIsStoppedStopsNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	window := s.inTerminal()
	defer window.Close()
	s.awaitState("running")
	if _, err := window.Write([]byte{0x13}); err != nil {
		t.Fatal(err)
	}
	s.goesOn()
}
