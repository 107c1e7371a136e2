package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// kinds are those that an author can make, all of them in Go.
var kinds = []string{"doctor", "launcher", "unloader", "classifier"}

// unknownKey is a configuration that the emulator refuses as OpenClaw does, and that its doctor repairs.
const unknownKey = `{"gateway": {"mode": "local"}, "colour": "red"}`

// TestNewProjectsOfAllKindsBuildAndLookAfterAGateway makes a project of each kind outside of the repository, builds and
// tests it with what is in the module cache, and lets a host run a gateway by all four.
func TestNewProjectsOfAllKindsBuildAndLookAfterAGateway(t *testing.T) {
	s := newSite(t, emulator(""))
	projects := filepath.Join(s.dir, "projects")
	if err := os.Mkdir(projects, 0o755); err != nil {
		t.Fatal(err)
	}
	var building sync.WaitGroup
	for _, kind := range kinds {
		dir := filepath.Join(projects, "my-"+kind)
		next := "cd " + dir + "\n    make GATEHOST=" + filepath.Join(bin, "gatehost") + "\n"
		if out := s.must("plugin", "new", kind, dir); !strings.Contains(out, next) {
			t.Errorf("it says\n%s", out)
		}
		building.Go(func() { makeProject(t, dir) })
	}
	building.Wait()
	if t.Failed() {
		return
	}

	for _, kind := range kinds { // as generated, and without a table
		building.Go(func() { verified(t, s, filepath.Join(projects, "my-"+kind)) })
	}
	building.Wait()

	text := s.repairConfig("auto", "none")
	for _, r := range [][2]string{
		{`launcher = "utility"`, "launcher = \"my-launcher\"\nunload = [\"my-unloader\"]"},
		{`doctors = ["doctor"]`, `doctors = ["my-doctor"]`},
		{`classifiers = ["doctor"]`, `classifiers = ["my-classifier"]`},
	} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	for _, kind := range kinds {
		text += fmt.Sprintf("[plugins.my-%s]\npath = %q\n", kind, filepath.Join(projects, "my-"+kind))
	}
	text += "[plugins.my-launcher.config]\nheap_mb = 300\n" +
		"[plugins.my-classifier.config]\ndrop = [\"loading configuration\"]\n"
	s.writeConfig(text)
	s.breakConfig(unknownKey)
	s.run()
	before := s.awaitState("running")
	if healed, err := os.ReadFile(s.oc()); err != nil || bytes.Contains(healed, []byte("colour")) {
		t.Errorf("the configuration is %s, %v", healed, err)
	}
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", before.PID)); err != nil ||
		!bytes.Contains(env, []byte("--max-old-space-size=300")) {
		t.Errorf("the launcher has not bounded the heap: %v", err)
	}
	for _, want := range []string{
		"[INFO]", "my-doctor: the gateway does not know a key of its configuration", `gateway=main`,
	} {
		if !lineWith(s.stderr.String(), "does not know a key", want) {
			t.Errorf("the host's log does not show the doctor's line with %q", want)
		}
	}
	if out := s.must("logs", "main", "--json", "-n", "0"); !lineWith(out, "loading configuration", `"ruleId":"drop"`) ||
		!lineWith(out, "[gateway] ready", `"level":"info"`) {
		t.Errorf("the classifier had no say:\n%s", out)
	}

	// Killed, each comes back, and the gateway notices nothing.
	for _, kind := range kinds {
		killPlugin(t, s, "my-"+kind)
	}
	for _, kind := range kinds {
		s.eventually("my-"+kind+" is back", func() (bool, string) {
			p := pluginOf(t, s, "my-"+kind)
			return p.State == "running" && p.Restarts > 0, fmt.Sprintf("%+v", p)
		})
	}
	if after := s.awaitState("running"); after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter:  %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}

// makeProject does what a project's README says, but without a module proxy: what it needs is in the cache of the user
// who built the host.
func makeProject(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("make", "GATEHOST="+filepath.Join(bin, "gatehost"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off", "MAKEFLAGS=", "MAKELEVEL=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("make in %s: %v\n%s", dir, err, text)
	}
}

// killPlugin waits until a plugin runs, and kills it.
func killPlugin(t *testing.T, s *site, name string) (pid int) {
	t.Helper()
	s.eventually(name+" runs", func() (bool, string) {
		p := pluginOf(t, s, name)
		pid = p.PID
		return p.State == "running" && pid > 1, fmt.Sprintf("%+v", p)
	})
	if err := testhost.Signal(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return pid
}

// verified holds the contract against a plugin, in the sandbox if it is no launcher or unloader.
func verified(t *testing.T, s *site, dir string) {
	t.Helper()
	out, errOut, code := s.cli("plugin", "verify", dir, "--json")
	if code != 0 {
		t.Errorf("gatehost plugin verify %s: exit %d\n%s%s", dir, code, out, errOut)
	}
	var report struct {
		Services []string
		Sandbox  struct{ State string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	want := "on"
	if slices.Contains(report.Services, "launcher") || slices.Contains(report.Services, "unloader") {
		want = "off"
	}
	if runtime.GOOS == "linux" && report.Sandbox.State != want {
		t.Errorf("%s was verified with the sandbox %s, want %s", dir, report.Sandbox.State, want)
	}
}

// lineWith reports whether a line that has one text has the other, too.
func lineWith(text, one, other string) bool {
	for line := range strings.Lines(text) {
		if strings.Contains(line, one) && strings.Contains(line, other) {
			return true
		}
	}
	return false
}
