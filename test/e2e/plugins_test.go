package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// withBad gives the gateway a plugin that misbehaves, as its classifier or its doctor.
func withBad(s *site, how string, as ...string) string {
	text := s.config()
	for _, kind := range as {
		text = strings.Replace(text, kind+` = ["doctor"]`, kind+` = ["bad"]`, 1)
	}
	return text + fmt.Sprintf("[plugins.bad]\npath = %q\nargs = [%q]\n", filepath.Join(bin, "bad-plugin"), how)
}

type pluginStatus struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
}

type logLine struct {
	Level  string `json:"level"`
	Text   string `json:"text"`
	RuleID string `json:"ruleId"`
}

func pluginOf(t *testing.T, s *site, name string) pluginStatus {
	t.Helper()
	out, _, code := s.cli("status", "--json")
	var st struct {
		Plugins []pluginStatus `json:"plugins"`
	}
	if code != 0 {
		return pluginStatus{}
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatalf("status --json: %v\n%s", err, out)
	}
	for _, p := range st.Plugins {
		if p.Name == name {
			return p
		}
	}
	return pluginStatus{}
}

// TestLinesPassAsWarnWithoutAWorkingClassifier: the gateway starts, its lines are shown, and the other plugins notice
// nothing.
func TestLinesPassAsWarnWithoutAWorkingClassifier(t *testing.T) {
	for _, how := range []string{"crash-at-start", "crash", "hang", "stop", "nonsense"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t, emulator("flood-stderr=20"))
			s.writeConfig(withBad(s, how, "classifiers"))
			s.run()
			s.awaitState("running")
			var lines []logLine
			s.eventually("the lines of the gateway", func() (bool, string) {
				out := s.must("logs", "main", "--json", "-n", "0")
				lines = nil
				for text := range strings.Lines(out) {
					var l logLine
					if err := json.Unmarshal([]byte(text), &l); err != nil {
						t.Fatal(err)
					}
					lines = append(lines, l)
				}
				return strings.Count(out, "flood: line ") == 20, out
			})
			for _, l := range lines {
				if l.Level != "warn" || l.RuleID != "" || strings.Contains(l.Text, "planted") {
					t.Errorf("line = %+v, want it as it is, at warn", l)
				}
			}
			for _, name := range []string{"utility", "doctor"} {
				if p := pluginOf(t, s, name); p.State != "running" || p.Restarts != 0 {
					t.Errorf("plugin %s = %+v", name, p)
				}
			}
			s.shutdown()
		})
	}
}

// TestFailedStartKeepsItsCauseWithoutAWorkingDoctor: what a doctor cannot say must not hide what is known.
func TestFailedStartKeepsItsCauseWithoutAWorkingDoctor(t *testing.T) {
	for _, how := range []string{"crash-at-start", "crash", "nonsense"} {
		t.Run(how, func(t *testing.T) {
			s := newSite(t, emulator("exit-at-once=3"))
			s.writeConfig(withBad(s, how, "doctors"))
			s.run()
			got := s.awaitState("error")
			if got.Error == nil || !strings.Contains(got.Error.Message, "code=3") || got.Error.Hint == "" ||
				strings.Contains(got.Error.Message, "planted") {
				t.Errorf("error = %+v, want the exit code and a hint", got.Error)
			}
			s.shutdown()
		})
	}
}

// TestGatewaysDoNotNoticeThatPluginsDie: one gateway has a plugin that crashes and floods; the launcher of both is
// killed twice.
func TestGatewaysDoNotNoticeThatPluginsDie(t *testing.T) {
	s := newSite(t, emulator("flood-stderr=20"))
	port := testhost.FreePort(t)
	command, _ := json.Marshal(s.gw.command)
	s.writeConfig(withBad(s, "crash", "classifiers") + fmt.Sprintf(`[plugins.loud]
path = %q
args = ["flood"]
[gateways.second]
port = %d
launcher = "utility"
doctors = ["loud"]
classifiers = ["doctor"]
token = {env = "GH_TEST_TOKEN"}
[gateways.second.launch]
command = %s
state_dir = %q
env = {EMULATOR_TIME_SCALE = "0.05"}
`, filepath.Join(bin, "bad-plugin"), port, command, filepath.Join(s.dir, "oc2")))
	s.run()
	both := func() (out map[string]gatewayStatus) {
		text, _, _ := s.cli("status", "--json")
		var st status
		_ = json.Unmarshal([]byte(text), &st)
		out = map[string]gatewayStatus{}
		for _, g := range st.Gateways {
			out[g.Name] = g
		}
		return out
	}
	var before map[string]gatewayStatus
	s.eventually("both run", func() (bool, string) {
		before = both()
		return before["main"].State == "running" && before["second"].State == "running", fmt.Sprint(before)
	})
	for range 2 {
		was := killPlugin(t, s, "utility")
		s.eventually("another process of the launcher", func() (bool, string) {
			now := pluginOf(t, s, "utility")
			return now.State == "running" && now.PID != was, fmt.Sprint(now)
		})
	}
	for name, g := range both() {
		if was := before[name]; g.State != "running" || g.PID != was.PID || g.LaunchID != was.LaunchID || g.Restarts != 0 {
			t.Errorf("before: %+v\nafter:  %+v", was, g)
		}
		s.must("rpc", name, "health")
	}
	s.must("restart", "main") // by the new process
	s.eventually("the flood is cut and counted", func() (bool, string) {
		return strings.Contains(s.stderr.String(), "lines were dropped"), ""
	})
	s.must("stop", "main")
	s.must("stop", "second")
	s.shutdown()
}

var steady = regexp.MustCompile(`(?m)^steady (\d+)$`)

// TestPluginRestartLosesNoLineAndTouchesNoGateway replaces the launcher and the classifier while the gateway talks.
func TestPluginRestartLosesNoLineAndTouchesNoGateway(t *testing.T) {
	const lines = 2000
	gw := emulator("")
	gw.command = []string{"/bin/sh", "-c", fmt.Sprintf(
		`(i=0; while [ $i -lt %d ]; do echo "steady $i" >&2; i=$((i+1)); sleep 0.003; done) & exec %s "$@"`,
		lines, gw.command[0],
	), "sh"}
	s := newSite(t, gw)
	s.run()
	before := s.awaitState("running")
	during := 0
	said := func() int { return len(steady.FindAllString(s.must("logs", "main", "--raw", "-n", "0"), -1)) }
	for range 4 {
		for _, name := range []string{"utility", "doctor"} {
			was := pluginOf(t, s, name)
			if out := s.must("plugin", "restart", name); !strings.Contains(out, name+" running") {
				t.Errorf("plugin restart says %q", out)
			}
			if now := pluginOf(t, s, name); now.PID == was.PID || now.State != "running" || now.Restarts != was.Restarts+1 {
				t.Errorf("before: %+v\nafter:  %+v", was, now)
			}
		}
		if said() < lines {
			during++
		}
	}
	if during == 0 {
		t.Error("no restart fell into the output")
	}
	s.eventually("the last line", func() (bool, string) { n := said(); return n >= lines, itoa(n) })
	for i, m := range steady.FindAllStringSubmatch(s.must("logs", "main", "--raw", "-n", "0"), -1) {
		if m[1] != itoa(i) {
			t.Fatalf("line %d is %q", i, m[0])
		}
	}
	if after := s.awaitState("running"); after.PID != before.PID || after.Restarts != 0 ||
		after.LaunchID != before.LaunchID {
		t.Errorf("before: %+v\nafter:  %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestPluginRestartThatFailsIsToldAndChangesNothing: the operator learns why from the command itself.
func TestPluginRestartThatFailsIsToldAndChangesNothing(t *testing.T) {
	s := newSite(t, emulator(""))
	path := filepath.Join(s.dir, "launcher")
	link(t, filepath.Join(bin, "plugins", "launcher-utility"), path)
	text := strings.Replace(s.config(), `path = "launcher-utility"`,
		fmt.Sprintf("path = %q\nconfig = {shim = %q}", path, filepath.Join(bin, "gatehost-shim")), 1)
	s.writeConfig(text)
	s.run()
	before := s.awaitState("running")
	was := pluginOf(t, s, "utility")
	link(t, filepath.Join(bin, "bad-plugin"), path) // an upgrade that went wrong
	_, errOut, code := s.cli("plugin", "restart", "utility")
	if code == 0 ||
		!strings.Contains(errOut, "does not serve as launcher") && !strings.Contains(errOut, "refuses its configuration") ||
		!strings.Contains(errOut, fmt.Sprintf("its process %d goes on", was.PID)) {
		t.Errorf("exit %d\n%s", code, errOut)
	}
	if now := pluginOf(t, s, "utility"); now.PID != was.PID || now.State != "running" || now.Restarts != 0 {
		t.Errorf("before: %+v\nafter:  %+v", was, now)
	}
	link(t, filepath.Join(bin, "plugins", "launcher-utility"), path)
	s.must("plugin", "restart", "utility")
	if after := s.awaitState("running"); after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter:  %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}

// TestGatewayWithoutALauncher: a restart that no launcher can do is refused, and the gateway goes on. One that has
// ended by itself does not wait for the next slow attempt when the launcher is back.
func TestGatewayWithoutALauncher(t *testing.T) {
	s := newSite(t, emulator(""))
	path := filepath.Join(s.dir, "launcher")
	link(t, filepath.Join(bin, "plugins", "launcher-utility"), path)
	s.writeConfig(strings.Replace(s.config(), `path = "launcher-utility"`,
		fmt.Sprintf("path = %q\nconfig = {shim = %q}", path, filepath.Join(bin, "gatehost-shim")), 1))
	s.run()
	before := s.awaitState("running")
	if err := os.Remove(path); err != nil { // gatehost cannot start it any more
		t.Fatal(err)
	}
	killPlugin(t, s, "utility")
	if _, errOut, code := s.cli("restart", "main"); code == 0 ||
		!strings.Contains(errOut, "runs on") {
		t.Errorf("a restart without a launcher: exit %d, %s", code, errOut)
	}
	if kept := s.awaitState("running"); kept.PID != before.PID || kept.LaunchID != before.LaunchID || kept.Error != nil {
		t.Errorf("before: %+v\nafter:  %+v", before, kept)
	}
	s.must("rpc", "main", "health")

	if err := testhost.Signal(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if broken := s.awaitState("error"); broken.Error == nil || broken.Error.Code != "plugin_down" {
		t.Errorf("error %+v", broken.Error)
	}
	link(t, filepath.Join(bin, "plugins", "launcher-utility"), path)
	s.must("plugin", "restart", "utility")
	if after := s.awaitState("running"); after.PID == before.PID {
		t.Errorf("it runs in a process that was killed: %+v", after)
	}
	s.must("stop", "main")
	s.shutdown()
}

// link puts a program at a path, in the place of what is there.
func link(t *testing.T, from, to string) {
	t.Helper()
	_ = os.Remove(to)
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}
