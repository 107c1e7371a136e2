package tutorial_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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

var bin string // the built binaries; set once by TestMain

func TestMain(m *testing.M) {
	testhost.Main(m, &bin, "gatehost", "gatehost-shim", "gateway-emulator", "plugins/launcher-utility", "plugins/doctor")
}

// printedPort is the port that the page prints; a free one takes its place.
const printedPort = "18971"

// healer is the plugin of the page.
const healer = "bind-doctor"

// TestTutorialLeadsToADoctorThatHeals follows the page in each language and ends with a gateway that runs since that
// doctor healed it.
func TestTutorialLeadsToADoctorThatHeals(t *testing.T) {
	for _, lang := range langs {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			follow(t, lang)
		})
	}
}

func follow(t *testing.T, lang string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ghtut") // short: sockets live under it
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	start := filepath.Join(dir, "empty")
	run := filepath.Join(dir, "run")
	for _, d := range []string{home, start, run} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		nothingLeft(t, dir)
		_ = exec.Command("chmod", "-R", "u+w", dir).Run()
		_ = os.RemoveAll(dir)
	})
	env, port := environ(t, home, run), strconv.Itoa(testhost.FreePort(t))
	typing := openTerminal(t, start, env)
	var host *terminal
	t.Cleanup(func() {
		if t.Failed() && host != nil {
			t.Logf("the host's terminal:\n%s", host.out.String())
		}
	})
	shown := ""
	for _, b := range steps(t, lang) {
		switch {
		case b.file != "":
			write(t, filepath.Join(start, b.file), strings.ReplaceAll(b.text, printedPort, port))
		case b.shows:
			if line := missing(b.text, shown); line != "" {
				t.Errorf("docs/plugin-authors.md, line %d: the step before does not show %q:\n%s", b.line, line, shown)
			}
		case b.terminal:
			host = openTerminal(t, start, env)
			host.begin(b.text)
		default:
			shown = typing.do(b)
		}
	}
	if host == nil {
		t.Fatal("the page starts no host")
	}
	healed(t, bin, start, env)
	host.interrupt()
}

// healed asks the host what it saw.
func healed(t *testing.T, bin, dir string, env []string) {
	t.Helper()
	ask := func(args ...string) []byte {
		cmd := exec.Command(filepath.Join(bin, "gatehost"), args...)
		cmd.Dir, cmd.Env = dir, append(env, "GATEHOST_CONFIG="+filepath.Join(dir, "config.toml"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("gatehost %v: %v\n%s", args, err, out)
		}
		return out
	}
	var st struct {
		Gateways []struct{ Name, State string }
	}
	if err := json.Unmarshal(ask("status", "--json"), &st); err != nil || len(st.Gateways) != 1 ||
		st.Gateways[0].State != "running" {
		t.Errorf("status = %+v, %v, want one gateway that runs", st, err)
	}
	found, repaired := false, false
	for line := range bytes.Lines(ask("events", "--since", "1h", "--json")) {
		var e struct {
			Type string
			Data struct{ Plugin, Code, Doctor, Outcome string }
		}
		if err := json.Unmarshal(line, &e); err != nil {
			continue // the data of other events have other shapes
		}
		switch e.Type {
		case "gateway.doctor.finding":
			found = found || e.Data.Plugin == healer && e.Data.Code == "config-invalid"
		case "gateway.doctor.finished":
			repaired = repaired || e.Data.Doctor == healer && e.Data.Outcome == "repaired"
		}
	}
	if !found || !repaired {
		t.Errorf("%s found = %v, repaired = %v; events:\n%s", healer, found, repaired,
			ask("events", "--since", "1h", "--json"))
	}
	if got, err := os.ReadFile(filepath.Join(dir, "openclaw", "openclaw.json")); err != nil ||
		!bytes.Contains(got, []byte(`"loopback"`)) || bytes.Contains(got, []byte("everywhere")) {
		t.Errorf("the gateway's configuration is %s, %v", got, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm() // as an editor does
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// environ is a shell's environment with the binaries on PATH. Caches of compilers and package managers are the
// developer's own, for speed.
func environ(t *testing.T, home, run string) []string {
	t.Helper()
	env := []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + run,
		"LANG=C.UTF-8", "NO_COLOR=1", "TMPDIR=" + os.TempDir(),
	}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOTOOLCHAIN", "GOSUMDB", "GONOSUMDB", "GOFLAGS"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if v := strings.TrimSpace(string(out)); v != "" {
			env = append(env, name+"="+v)
		}
	}
	if cache, err := exec.Command("npm", "config", "get", "cache").Output(); err == nil {
		env = append(env, "npm_config_cache="+strings.TrimSpace(string(cache)), "npm_config_prefer_offline=true",
			"npm_config_update_notifier=false")
	}
	for _, name := range []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE",
		"NODE_EXTRA_CA_CERTS",
	} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// nothingLeft waits until no process carries dir in its environment or arguments, and ends those that do.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := processes(dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for pid, args := range left {
				t.Errorf("left behind: pid %d: %s", pid, args)
				_ = testhost.Signal(pid, syscall.SIGKILL)
			}
			return
		}
		time.Sleep(100 * time.Millisecond) // a poll of something outside this process
	}
}

func processes(dir string) map[int]string {
	out := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if len(args) > 0 && (bytes.Contains(env, []byte(dir)) || bytes.Contains(args, []byte(dir))) {
			out[pid] = fmt.Sprint(strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return out
}
