package e2e_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestWholeStoryOnTheEmulator(t *testing.T) { theWholeStory(t, emulator("")) }

func TestNewHostAdoptsTheEmulator(t *testing.T) { aNewHostAdopts(t, emulator("")) }

// TestForeignProgramThatSpeaksTheProtocolIsSupervised launches a program that is neither OpenClaw nor the emulator.
func TestForeignProgramThatSpeaksTheProtocolIsSupervised(t *testing.T) {
	s := newSite(t, gateway{command: []string{filepath.Join(bin, "protocol-only")}})
	s.run()
	s.awaitState("running")
	if out := s.must("rpc", "main", "echo", `{"x":1}`); !strings.Contains(out, `"x"`) {
		t.Errorf("echo = %s", out)
	}
	checkNoToken(t, s)
	s.must("stop", "main")
	for _, p := range s.processes() {
		if strings.Contains(p.args, "protocol-only") {
			t.Errorf("after stop: %s", p)
		}
	}
	s.shutdown()
}

// TestGatewayThatMisbehavesEndsInOneClearError: each misbehaviour gives one error with a hint, no hang, no loop, no
// orphan.
func TestGatewayThatMisbehavesEndsInOneClearError(t *testing.T) {
	quick := "[gateways.main.ready]\nno_progress = \"4s\"\ntimeout = \"40s\"\n"
	for _, row := range []struct{ name, misbehave, want string }{
		{"exits at once", "exit-at-once=3", "code=3"},
		{"never opens its port", "never-listen", "progress"},
		{"never sends its challenge", "never-challenge", "challenge"},
		{"sends garbage for a challenge", "garbage-challenge", ""},
		{"sends binary garbage", "binary-garbage", ""},
		{"sends an oversized frame", "oversized-challenge", ""},
		{"refuses the token", "refuse-token", "token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, emulator(row.misbehave))
			s.extra = quick
			s.run()
			got := s.awaitState("error")
			if got.Error == nil || got.Error.Message == "" || got.Error.Hint == "" ||
				!strings.Contains(strings.ToLower(got.Error.Message+got.Error.Hint), row.want) {
				t.Errorf("error = %+v, want a message with %q and a hint", got.Error, row.want)
			}
			s.eventually("the error is on the terminal", func() (bool, string) {
				return strings.Contains(s.stderr.String(), got.Error.Message), s.stderr.String()
			})
			for _, p := range s.processes() {
				if strings.Contains(p.args, "gateway-emulator") {
					t.Errorf("in error: %s", p)
				}
			}
			s.shutdown()
		})
	}
}

func TestProgramThatIsNotThereIsNamed(t *testing.T) {
	s := newSite(t, gateway{command: []string{"openclaw-that-is-not-installed"}})
	s.run()
	got := s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, "openclaw-that-is-not-installed") || got.Error.Hint == "" {
		t.Errorf("error = %+v", got.Error)
	}
	s.shutdown()
}

func TestStrangerOnThePortIsNamedAndNotTouched(t *testing.T) {
	s := newSite(t, emulator(""))
	l, err := net.Listen("tcp", "127.0.0.1:"+itoa(s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // a stranger that takes connections and says nothing
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	s.run()
	got := s.awaitState("error")
	if got.Error == nil || !strings.Contains(got.Error.Message, itoa(os.Getpid())) || got.Error.Hint == "" {
		t.Errorf("error = %+v, want our pid %d in it", got.Error, os.Getpid())
	}
	s.shutdown()
}

func TestFaultyConfigIsRefusedWithAllItsFaults(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"malformed", "version = ", "config.toml"},
		{"misspelt", "version = 1\n[gateways.main]\nprot = 1\n[gatways.x]\n", `did you mean "port"`},
		{"wrong type", "version = 1\n[gateways.main]\nport = \"x\"\n", "port"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, emulator(""))
			s.writeConfig(row.text)
			_, errOut, code := s.cli("run", "--config", s.configPath())
			if code != 78 || !strings.Contains(errOut, row.want) {
				t.Errorf("exit %d, want 78 and %q\n%s", code, row.want, errOut)
			}
			if row.name == "misspelt" && !strings.Contains(errOut, "gatways") {
				t.Errorf("only the first fault is reported:\n%s", errOut)
			}
		})
	}
	s := newSite(t, emulator(""))
	if _, errOut, code := s.cli("run", "--config", filepath.Join(s.dir, "missing.toml")); code != 78 ||
		!strings.Contains(errOut, "missing.toml") {
		t.Errorf("missing file: exit %d\n%s", code, errOut)
	}
}

func TestPluginThatIsMissingOrNoPluginIsNamed(t *testing.T) {
	for _, row := range []struct{ name, path, want string }{
		{"missing", "no-such-launcher", "no-such-launcher"},
		{"not a plugin", "crasher", "crasher"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newSite(t, emulator(""))
			if err := os.Mkdir(filepath.Join(s.dir, "plugins"), 0o700); err != nil {
				t.Fatal(err)
			}
			crasher := filepath.Join(s.dir, "plugins", "crasher")
			if err := os.WriteFile(crasher, []byte("#!/bin/sh\necho boom >&2\nexit 7\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.dir, "plugins", row.path)
			s.writeConfig(strings.Replace(s.config(), `path = "launcher-utility"`, "path = "+strconv.Quote(path), 1))
			s.run()
			got := s.awaitState("error")
			if got.Error == nil || !strings.Contains(got.Error.Message+got.Error.Hint, row.want) {
				t.Errorf("error = %+v", got.Error)
			}
			s.shutdown()
		})
	}
}

func TestInterruptStopsInOrderAndASecondAtOnce(t *testing.T) {
	s := newSite(t, emulator("ignore-sigterm"))
	s.run()
	s.awaitState("running")
	if err := s.host.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.eventually("the host says that it stops", func() (bool, string) {
		return strings.Contains(strings.ToLower(s.stderr.String()), "stopping"), ""
	})
	began := time.Now()
	again := time.NewTicker(200 * time.Millisecond) // those of the first second are the same request
	defer again.Stop()
	for ended := false; !ended; {
		select {
		case <-s.exited:
			ended = true
		case <-again.C:
			if err := s.host.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
	}
	if took := time.Since(began); took > 15*time.Second { // grace is 20 s
		t.Errorf("the second interrupt took %v", took)
	}
	s.nothingLeft()
}

func TestSecondHostOnOneStateDirectoryIsRefused(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	cmd := exec.Command(filepath.Join(bin, "gatehost"), "run", "--config", s.configPath())
	cmd.Env = s.environ()
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another host") {
		t.Errorf("second host: %v\n%s", err, out)
	}
	s.awaitState("running")
	s.shutdown()
}

func TestCleanStartOpensExactlyOneWebSocket(t *testing.T) {
	s := newSite(t, emulator("sidecars=800"))
	s.gw.env["EMULATOR_LOG_CONNECTIONS"] = "1"
	s.run()
	s.awaitState("running")
	out := s.must("logs", "main", "-n", "500", "--raw")
	if n := strings.Count(out, "emulator: websocket accepted"); n != 1 {
		t.Errorf("websockets = %d, want 1\n%s", n, out)
	}
	s.shutdown()
}

// TestDoctorVerbDiagnosesPlansRepairsAndUndoes walks an operator's way with repair.mode = "ask".
func TestDoctorVerbDiagnosesPlansRepairsAndUndoes(t *testing.T) {
	s := newSite(t, emulator(""))
	s.extra = "[gateways.main.repair]\nmode = \"ask\"\n"
	config := filepath.Join(s.dir, "oc", "openclaw.json")
	broken := `{"gateway": {"mode": "local"}, "thisKeyIsUnknown": true}`
	if err := os.WriteFile(config, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	s.run()
	got := s.awaitState("error")
	if got.Error == nil || got.Error.Code != "config-invalid" || !strings.Contains(got.Error.Hint, "gatehost doctor") {
		t.Errorf("error = %+v, want the finding and the command to type", got.Error)
	}
	if out, _, code := s.cli("doctor", "main"); code != 1 || !strings.Contains(out, "thisKeyIsUnknown") {
		t.Errorf("doctor = %s, exit %d", out, code)
	}
	s.must("doctor", "main", "--repair", "--dry-run")
	if now, _ := os.ReadFile(config); string(now) != broken {
		t.Errorf("a dry run changed the file: %s", now)
	}
	if out := s.must("doctor", "main", "--repair"); !strings.Contains(out, "thisKeyIsUnknown") {
		t.Errorf("the repair shows no difference: %s", out)
	}
	s.must("start", "main")
	s.awaitState("running")
	if _, errOut, code := s.cli("doctor", "main", "--undo"); code != 1 || !strings.Contains(errOut, "running") {
		t.Errorf("undo beside a running gateway: exit %d\n%s", code, errOut)
	}
	s.must("stop", "main")
	s.must("doctor", "main", "--undo")
	if now, _ := os.ReadFile(config); string(now) != broken {
		t.Errorf("after the undo: %s", now)
	}
	s.shutdown()
}

// TestKeptGatewayOutlivesAnOrderlyStop: on_host_exit = "keep" leaves the gateway to its shim, and the next host adopts
// it.
func TestKeptGatewayOutlivesAnOrderlyStop(t *testing.T) {
	s := newSite(t, emulator(""))
	text := strings.Replace(s.config(), "[gateways.main]\n", "[gateways.main]\non_host_exit = \"keep\"\n", 1)
	s.writeConfig(text)
	s.run()
	before := s.awaitState("running")
	s.killHost()
	if err := testhost.Signal(before.PID, 0); err != nil {
		t.Fatalf("the gateway ended with its host: %v", err)
	}
	s.startHost()
	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if after.PID != before.PID {
		t.Errorf("pid = %d, want %d", after.PID, before.PID)
	}
	s.must("stop", "main")
	s.shutdown()
}
