package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// cleanRun removes what a cleaner of temporary files, or the end of a login, removes: all sockets of the host.
func (s *site) cleanRun() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "run", "gatehost")); err != nil {
		s.t.Fatal(err)
	}
}

// TestRunDirectoryThatIsCleanedAwayIsMadeAgain: clients find the host, it restarts its gateway, and ends with it.
func TestRunDirectoryThatIsCleanedAwayIsMadeAgain(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	first := s.awaitState("running")
	s.cleanRun()
	s.awaitState("running")
	s.must("restart", "main")
	s.await("another process", func(g gatewayStatus) bool { return g.State == "running" && g.PID != first.PID })
	s.cleanRun() // and its end does not wait for a socket
	s.shutdown()
	if s.code != 0 {
		t.Errorf("the host ended with %d, want 0", s.code)
	}
}

// TestHostIsFoundFromAnotherRuntimeDirectory: cron, sudo and a shell without a login have another XDG_RUNTIME_DIR, or
// none.
func TestHostIsFoundFromAnotherRuntimeDirectory(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	s.runtimeDir = filepath.Join(s.dir, "elsewhere")
	out := s.must("status", "main")
	if !strings.Contains(out, "running") {
		t.Errorf("status from another runtime directory:\n%s", out)
	}
	s.shutdown()
	if _, errOut, code := s.cli("status"); code != 3 {
		t.Errorf("exit %d after the end of the host, want 3\n%s", code, errOut)
	}
}

// TestNextHostStopsAGatewayWhoseShimDoesNotAnswer: by its pid, its start time and the boot.
func TestNextHostStopsAGatewayWhoseShimDoesNotAnswer(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	shims := s.roles()["shim"]
	if len(shims) != 1 {
		t.Fatalf("shims: %v, want one", shims)
	}
	if err := testhost.Signal(shims[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.startHost()
	s.awaitState("running")
	s.must("stop", "main")
	s.shutdown()
	if left := s.roles()["shim"]; len(left) > 0 {
		t.Errorf("left: shims %v", left)
	}
}

// TestHostThatWasStoppedIsNamedAndItsJournalRead: by its pid, within seconds.
func TestHostThatWasStoppedIsNamedAndItsJournalRead(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	pid := s.host.Process.Pid
	if err := testhost.Signal(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, errOut, code := s.cli("status")
	if code != 5 || !strings.Contains(errOut, "does not answer") {
		t.Errorf("status: exit %d\n%s", code, errOut)
	}
	out, errOut, code := s.cli("explain", "main")
	if code != 0 || !strings.Contains(out, "main was last seen running") {
		t.Errorf("explain: exit %d\n%s%s", code, out, errOut)
	}
	if err := testhost.Signal(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.shutdown()
}
