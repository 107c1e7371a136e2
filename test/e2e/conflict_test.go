package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// TestStrangerOnAnyAddressIsNamedAndNotTouched: the gateway listens on both loopbacks, so a stranger on either is in
// its way.
func TestStrangerOnAnyAddressIsNamedAndNotTouched(t *testing.T) {
	for _, where := range [][2]string{{"tcp4", "127.0.0.1"}, {"tcp6", "::1"}, {"tcp4", "0.0.0.0"}, {"tcp6", "::"}} {
		t.Run(where[1], func(t *testing.T) {
			s := newSite(t, emulator(""))
			// a listener that says nothing, for a moment
			l, err := net.Listen(where[0], net.JoinHostPort(where[1], strconv.Itoa(s.port)))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			s.run()
			got := s.awaitState("error")
			if got.Error == nil || !strings.Contains(got.Error.Message, strconv.Itoa(os.Getpid())) || got.Error.Hint == "" {
				t.Errorf("error = %+v, want our pid %d in it", got.Error, os.Getpid())
			}
			if err := l.Close(); err != nil { // the stranger leaves
				t.Fatal(err)
			}
			s.must("start", "main")
			s.awaitState("running")
			s.must("stop", "main")
			s.shutdown()
		})
	}
}

// lone starts a gateway that no host owns.
func lone(t *testing.T, s *site) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "gateway-emulator"), "gateway", "--port", strconv.Itoa(s.port), "--bind",
		"loopback", "--allow-unconfigured")
	cmd.Env = append(os.Environ(), "OPENCLAW_GATEWAY_TOKEN="+canary, "OPENCLAW_STATE_DIR="+t.TempDir(),
		"EMULATOR_TIME_SCALE=0.05")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.eventually("the lone gateway listens", func() (bool, string) {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	return cmd
}

// TestGatewayThatIsNotOursIsAttachedAndNeverSignalled: its session is ours, its process is not.
func TestGatewayThatIsNotOursIsAttachedAndNeverSignalled(t *testing.T) {
	s := newSite(t, emulator(""))
	gw := lone(t, s)
	s.run()
	if got := s.awaitState("running"); got.Owner != "attached" || got.PID != 0 {
		t.Errorf("status = %+v", got)
	}
	s.must("rpc", "main", "health")
	if _, errOut, code := s.cli("restart", "main"); code != 1 || !strings.Contains(errOut, "gatehost did not start it") {
		t.Errorf("restart: exit %d\n%s", code, errOut)
	}
	if _, errOut, code := s.cli("stop", "main", "--external"); code != 1 ||
		!strings.Contains(errOut, "knows no call to shut down") {
		t.Errorf("stop --external of a release without that call: exit %d\n%s", code, errOut)
	}
	if got := s.awaitState("running"); got.Owner != "attached" {
		t.Errorf("after the refusal: %+v", got)
	}
	s.must("stop", "main")
	s.shutdown()
	if err := testhost.Signal(gw.Process.Pid, 0); err != nil {
		t.Errorf("the gateway was ended: %v", err)
	}
}

func TestGatewayThatIsNotOursIsAnErrorWhereConfiguredSo(t *testing.T) {
	s := newSite(t, emulator(""))
	gw := lone(t, s)
	s.writeConfig(strings.Replace(s.config(), "[gateways.main]\n", "[gateways.main]\non_conflict = \"fail\"\n", 1))
	s.run()
	got := s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, strconv.Itoa(gw.Process.Pid)) ||
		!strings.Contains(got.Error.Message, "gateway-emulator") {
		t.Errorf("error = %+v, want pid %d and its command", got.Error, gw.Process.Pid)
	}
	s.shutdown()
	if err := testhost.Signal(gw.Process.Pid, 0); err != nil {
		t.Errorf("the gateway was ended: %v", err)
	}
}

// TestPidThatNowIsAStrangersIsNeverTouched: the numbers in what a dead host left may be those of another process by
// now.
func TestPidThatNowIsAStrangersIsNeverTouched(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	if n := s.kill(syscall.SIGKILL, "everything"); n == 0 {
		t.Fatal("nothing was killed")
	}
	<-s.exited
	s.nothingLeft()
	stranger := exec.Command("sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	path := filepath.Join(s.dir, "state", "run", before.LaunchID, "state.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"shim", "gateway"} { // its pid, and the start time of the one that is dead
		state[who].(map[string]any)["pid"] = stranger.Process.Pid
	}
	if data, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.startHost()
	after := s.await("another process",
		func(g gatewayStatus) bool { return g.State == "running" && g.LaunchID != before.LaunchID })
	if after.Adopted || after.PID == stranger.Process.Pid {
		t.Errorf("after: %+v", after)
	}
	s.must("stop", "main")
	s.shutdown()
	if err := testhost.Signal(stranger.Process.Pid, 0); err != nil {
		t.Errorf("the stranger was ended: %v", err)
	}
}

// TestGatewaysThatWouldFightAreRefused: one port, or one state directory under any name, is for one gateway.
func TestGatewaysThatWouldFightAreRefused(t *testing.T) {
	s := newSite(t, emulator(""))
	if err := os.Symlink(filepath.Join(s.dir, "oc"), filepath.Join(s.dir, "link")); err != nil {
		t.Fatal(err)
	}
	other := func(port int, dir string) string {
		return fmt.Sprintf("[gateways.other]\nport = %d\nlauncher = \"utility\"\n[gateways.other.launch]\n"+
			"command = [\"x\"]\nstate_dir = %q\n", port, dir)
	}
	for name, row := range map[string][2]string{
		"one port":       {other(s.port, filepath.Join(s.dir, "elsewhere")), "is also the port of gateway"},
		"same directory": {other(1, filepath.Join(s.dir, "oc")), "is also the state directory of gateway"},
		"by a slash":     {other(1, filepath.Join(s.dir, "oc")+"/"), "is also the state directory of gateway"},
		"by a detour":    {other(1, s.dir+"/home/../oc"), "is also the state directory of gateway"},
		"by a link":      {other(1, filepath.Join(s.dir, "link")), "is also the state directory of gateway"},
		"relative":       {other(1, "oc"), "is also the state directory of gateway"},
	} {
		s.extra = row[0]
		s.writeConfig(s.config())
		for _, args := range [][]string{{"config", "check", s.configPath()}, {"run", "--config", s.configPath()}} {
			if _, errOut, code := s.cli(args...); code != 78 || !strings.Contains(errOut, row[1]) ||
				!strings.Contains(errOut, `"main"`) {
				t.Errorf("%s: %v: exit %d\n%s", name, args, code, errOut)
			}
		}
	}
}
