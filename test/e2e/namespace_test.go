package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// namespace runs a shell's script in a pid namespace of its own, as process 1. Its $0 is the program of the host, $1
// its configuration. When the command is killed, the kernel ends all that is in the namespace.
func (s *site) namespace(script string) *exec.Cmd {
	s.t.Helper()
	args := []string{"--pid", "--mount-proc", "--fork", "--kill-child"}
	if os.Geteuid() != 0 { // root needs no user namespace
		args = append(args, "--map-root-user")
	}
	cmd := exec.Command("unshare", append(args, "sh", "-c", script, filepath.Join(bin, "gatehost"), s.configPath())...)
	cmd.Env, cmd.Dir = s.environ(), s.dir
	cmd.Stdout, cmd.Stderr = s.stderr, s.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// TestGatewayOfAnotherContainerIsLeftAlone: two containers share a state directory. The host of the first is killed,
// its gateway lives on; the host of the second sees none of its processes, and must start no gateway beside it.
func TestGatewayOfAnotherContainerIsLeftAlone(t *testing.T) {
	if out, err := exec.Command("unshare", "--pid", "--mount-proc", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("cannot make a pid namespace here: %v %s", err, out)
	}
	s := newSite(t, emulator(""))
	s.writeConfig(s.config())
	first := s.namespace(`"$0" run --config "$1" & echo; while :; do sleep 1000 & wait $!; done`) // an init outlives it
	gone := make(chan struct{})
	go func() {
		_ = first.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = first.Process.Kill()
		<-gone
	})
	s.awaitState("running")
	before := s.roles()
	if len(before["gateway"]) != 1 || len(before["shim"]) != 1 {
		t.Fatalf("processes: %v", before)
	}
	hosts := s.hostsOf(first)
	if len(hosts) != 1 {
		t.Fatalf("hosts: %v", hosts)
	}
	if err := testhost.Signal(hosts[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.eventually("the first host is gone", func() (bool, string) {
		st, ok := s.status()
		return !ok, fmt.Sprint(st)
	})

	s.startHost()
	elsewhere := func(g gatewayStatus) bool {
		return g.State == "error" && g.Error != nil && g.Error.Code == "elsewhere"
	}
	g := s.await("it is named", elsewhere)
	name, _ := os.Hostname()
	if !strings.Contains(g.Error.Message, name) || !strings.Contains(g.Error.Message, "since 20") {
		t.Errorf("error: %+v", g.Error)
	}
	same := func(when string) {
		t.Helper()
		if now := s.roles(); len(now["gateway"]) != 1 || now["gateway"][0] != before["gateway"][0] {
			t.Fatalf("%s: processes %v, at first %v", when, now, before)
		}
	}
	same("after the second host began")
	if out, errOut, code := s.cli("start", "main"); code == 0 {
		t.Errorf("start: exit %d\n%s%s", code, out, errOut)
	}
	if out, errOut, code := s.cli("stop", "main"); code == 0 || !strings.Contains(out+errOut, "cannot stop") {
		t.Errorf("stop: exit %d\n%s%s", code, out, errOut)
	}
	same("after start and stop")
	if out, errOut, code := s.cli("start", "main"); code == 0 { // it is wanted again
		t.Errorf("start: exit %d\n%s%s", code, out, errOut)
	}
	if err := testhost.Signal(before["shim"][0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, _, code := s.cli("restart", "main"); code == 0 {
		t.Error("restart: exit 0 while another container has the gateway")
	}
	same("after its shim was killed")
	s.killHost() // it leaves what is not its own
	if s.code != 0 {
		t.Errorf("the second host ended with %d\n%s", s.code, s.stderr)
	}
	same("after the second host ended")
	s.startHost()
	s.await("it is named again", elsewhere)

	if err := first.Process.Kill(); err != nil { // the first container ends
		t.Fatal(err)
	}
	<-gone
	g = s.awaitState("running") // by itself
	if now := s.roles()["gateway"]; len(now) != 1 || now[0] == before["gateway"][0] || g.Adopted {
		t.Errorf("gateways: %v, at first %v; %+v", now, before["gateway"], g)
	}
	s.must("stop", "main")
	s.shutdown()
}

// hostsOf is the pids, here, of the host in a container.
func (s *site) hostsOf(container *exec.Cmd) []int {
	var out []int
	for _, p := range s.processes() {
		if strings.HasPrefix(p.args, filepath.Join(bin, "gatehost")+" run ") && p.pid != container.Process.Pid {
			out = append(out, p.pid)
		}
	}
	return out
}
