package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// serviceManager is the socket of a service manager, and what it was told.
type serviceManager struct {
	mu   sync.Mutex
	told []string
}

func (m *serviceManager) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

func (m *serviceManager) has(state string) bool {
	return slices.ContainsFunc(m.all(), func(s string) bool { return strings.HasPrefix(s, state) })
}

func (s *site) serviceManager() *serviceManager {
	s.t.Helper()
	path := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	m := &serviceManager{}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	s.environment = append(s.environment, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=2000000")
	return m
}

// TestServiceManagerIsToldHowTheHostIs: that it is ready, what it does, that it works, and that it ends; and nothing of
// the service manager reaches a gateway or a plugin.
func TestServiceManagerIsToldHowTheHostIs(t *testing.T) {
	s := newSite(t, emulator(""))
	m := s.serviceManager()
	s.run()
	told := func(state string) {
		t.Helper()
		s.eventually("it is told "+state, func() (bool, string) { return m.has(state), fmt.Sprint(m.all()) })
	}
	told("READY=1")
	if _, ok := s.status(); !ok {
		t.Error("it said that it is ready, and does not answer")
	}
	s.awaitState("running")
	told("STATUS=main running")
	told("WATCHDOG=1")
	for role, pids := range s.roles() {
		if role == "host" {
			continue
		}
		for _, pid := range pids {
			env, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
			if strings.Contains(string(env), "NOTIFY_SOCKET") || strings.Contains(string(env), "WATCHDOG_USEC") {
				t.Errorf("%s has the service manager's variables", role)
			}
		}
	}
	s.must("config", "reload")
	told("RELOADING=1\nMONOTONIC_USEC=")
	if i := slices.IndexFunc(m.all(), func(s string) bool { return strings.HasPrefix(s, "RELOADING") }); !slices.Contains(
		m.all()[i:], "READY=1") {
		t.Errorf("the reload has no end: %q", m.all())
	}
	s.must("stop", "main")
	told("STATUS=main stopped")
	s.killHost()
	told("STOPPING=1")
	told("EXTEND_TIMEOUT_USEC=")
	s.nothingLeft()
}

// TestHungHostIsNotCalledAlive: a host that is stopped tells nothing, so that the service manager restarts it.
func TestHungHostIsNotCalledAlive(t *testing.T) {
	s := newSite(t, emulator(""))
	m := s.serviceManager()
	s.run()
	s.eventually("it is told WATCHDOG", func() (bool, string) { return m.has("WATCHDOG=1"), fmt.Sprint(m.all()) })
	if err := testhost.Signal(s.host.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.eventually("it is stopped", func() (bool, string) {
		stat, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.host.Process.Pid), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "T"), rest
	})
	before := len(m.all())
	if err := testhost.Signal(s.host.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.eventually("it goes on", func() (bool, string) { return len(m.all()) > before, fmt.Sprint(m.all()) })
	s.must("stop", "main")
	s.shutdown()
}

// TestHostAsProcessOneReapsAndComesBack: in a container without an init the host's own program is process 1. A host
// that is killed comes back and adopts; no zombie stays, also not of shims whose launcher died.
func TestHostAsProcessOneReapsAndComesBack(t *testing.T) {
	if out, err := exec.Command("unshare", "--pid", "--mount-proc", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("cannot make a pid namespace here: %v %s", err, out)
	}
	s := newSite(t, emulator(""))
	s.writeConfig(s.config())
	first := s.namespace(`exec "$0" run --config "$1"`)
	gone := make(chan struct{})
	go func() {
		_ = first.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = first.Process.Kill()
		<-gone
	})
	before := s.awaitState("running")
	gateway := s.roles()["gateway"]
	hosts := s.hostsOf(first)
	if len(hosts) != 2 {
		t.Fatalf("process 1 and the host: %v", hosts)
	}
	one := min(hosts[0], hosts[1])
	if err := testhost.Signal(max(hosts[0], hosts[1]), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := s.await("the next host has adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if now := s.roles()["gateway"]; after.LaunchID != before.LaunchID || fmt.Sprint(now) != fmt.Sprint(gateway) {
		t.Errorf("gateway %v, before %v; launch %s, before %s", now, gateway, after.LaunchID, before.LaunchID)
	}
	s.kill(syscall.SIGKILL, "utility")
	s.eventually("a restart by the next launcher", func() (bool, string) {
		out, errOut, code := s.cli("restart", "main")
		return code == 0, out + errOut
	})
	s.kill(syscall.SIGKILL, "shim")
	s.await("another process", func(g gatewayStatus) bool { return g.State == "running" && g.LaunchID != after.LaunchID })
	s.eventually("no zombie below process 1", func() (bool, string) {
		zombies := zombiesOf(one)
		return len(zombies) == 0, fmt.Sprint(zombies)
	})
	if err := testhost.Signal(one, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-t.Context().Done():
	}
	if code := first.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
}

// zombiesOf is the dead children of a process that it has not reaped.
func zombiesOf(parent int) []string {
	var out []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, fmt.Sprintf("Z %d ", parent)) {
			out = append(out, string(stat))
		}
	}
	return out
}
