//go:build unix

package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

var bin string // the built binaries; set once by TestMain

func TestMain(m *testing.M) {
	testhost.Main(m, &bin, "gatehost", "gatehost-shim", "plugins/launcher-utility", "plugins/launcher-launchd",
		"plugins/doctor", "plugins/doctor-environment", "doctor-minimal", "verify-plugin")
}

// report is what `gatehost plugin verify --json` prints: the words that it promises to keep.
type report struct {
	Path     string   `json:"path"`
	Plugin   string   `json:"plugin"`
	Version  string   `json:"version"`
	Services []string `json:"services"`
	OK       bool     `json:"ok"`
	TookMs   int64    `json:"tookMs"`
	Sandbox  struct {
		State string `json:"state"`
	} `json:"sandbox"`
	Checks []struct {
		ID     string `json:"id"`
		Kind   string `json:"kind"`
		Title  string `json:"title"`
		Row    string `json:"row"`
		Result string `json:"result"`
		TookMs int64  `json:"tookMs"`
		Why    string `json:"why"`
		Hint   string `json:"hint"`
	} `json:"checks"`
}

func (r report) with(result string) []string {
	var out []string
	for _, c := range r.Checks {
		if c.Result == result {
			out = append(out, c.ID)
		}
	}
	return out
}

func (r report) text() string {
	var out strings.Builder
	for _, c := range r.Checks {
		fmt.Fprintf(&out, "%s %s %d ms: %s (%s)\n", c.ID, c.Result, c.TookMs, c.Why, c.Hint)
	}
	return out.String()
}

// verify runs the verb; it leaves nothing in its TMPDIR.
func verify(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	tmp, err := os.MkdirTemp("", "gv") // short: sockets live under it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command(filepath.Join(bin, "gatehost"), append([]string{"plugin", "verify"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err = cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("it leaves %v", left)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

func verified(t *testing.T, args ...string) (report, int) {
	t.Helper()
	out, talk, code := verify(t, append(args, "--json")...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %v\n%s\n%s", args, err, out, talk)
	}
	return r, code
}

func TestOurPluginsKeepTheContract(t *testing.T) {
	for path, services := range map[string]string{
		"plugins/doctor": "doctor classifier", "plugins/doctor-environment": "doctor", "doctor-minimal": "doctor",
		"plugins/launcher-utility": "launcher", "plugins/launcher-launchd": "unloader",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r, code := verified(t, filepath.Join(bin, path))
			if code != 0 || !r.OK || len(r.with("fails")) > 0 {
				t.Errorf("exit code %d\n%s", code, r.text())
			}
			if got := strings.Join(r.Services, " "); got != services || r.Version == "" || r.Path == "" ||
				r.Sandbox.State == "" {
				t.Errorf("report = %+v", r)
			}
			if doctor := strings.HasPrefix(services, "doctor"); runtime.GOOS == "linux" &&
				doctor != (r.Sandbox.State == "on") {
				t.Errorf("the sandbox is %s", r.Sandbox.State)
			}
		})
	}
}

func TestWhatDoesNotStartIsNamed(t *testing.T) {
	dir := t.TempDir()
	for name, row := range map[string]struct{ text, want, hint string }{
		"silent":  {"#!/bin/sh\nexec sleep 600\n", "it said nothing for start_timeout (2s)", "start_timeout"},
		"babbles": {"#!/bin/sh\necho hello\n", "it did not begin with a handshake", "name a plugin"},
		"alien":   {"\x7fELF rubbish", "not a program of this platform", "install the build"},
	} {
		path := filepath.Join(dir, name) // written before anything is started, which might inherit the descriptor
		if err := os.WriteFile(path, []byte(row.text), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, code := verified(t, path, "--start-timeout", "2s")
			if got := r.with("fails"); !slices.Equal(got, []string{"base/start"}) || code != 1 || r.OK {
				t.Fatalf("fails = %v, exit code %d\n%s", got, code, r.text())
			}
			if c := r.Checks[0]; !strings.Contains(c.Why, row.want) || !strings.Contains(c.Hint, row.hint) {
				t.Errorf("check = %+v, want %q and the hint %q", c, row.want, row.hint)
			}
		})
	}
}

func TestLauncherWithoutMutualTLSFailsItsStart(t *testing.T) {
	for kind, path := range map[string]string{"launcher": "launcher-utility", "unloader": "launcher-launchd"} {
		r, code := verified(t, filepath.Join(bin, "plugins", path), "--transport", "socket", "--only", "base/start")
		c := r.Checks[0]
		if code != 1 || r.OK || !strings.Contains(c.Why, `serves as `+kind+` by transport = "socket"`) ||
			!strings.Contains(c.Hint, "plugin.toml") {
			t.Errorf("%s: exit code %d\n%s", path, code, r.text())
		}
	}
}

// planted are the plugins that break one promise, by the check that is for it.
var planted = map[string]map[string]string{
	"doctor": {
		"describes-itself-differently":     "base/describe",
		"announces-what-it-does-not-serve": "base/kinds-served",
		"takes-what-is-not-json":           "base/config-not-json",
		"takes-unknown-keys":               "base/config-unknown-key",
		"fails-on-a-wrong-type":            "base/config-wrong-type",
		"dies-of-a-large-table":            "base/config-large",
		"puts-a-refused-table-in-force":    "base/config-refused",
		"serves-anyone":                    "base/socket-secret",
		"prints":                           "base/stdout",
		"outlives-the-host":                "base/host-gone",
		"outlives-the-host-when-busy":      "base/host-gone-busy",
		"leaves-its-pipes-to-a-child":      "base/grandchild",
		"leaves-a-process":                 "base/leaks-processes",
		"leaves-a-file":                    "base/leaks-files",
		"hangs":                            "doctor/deadline",
		"wants-a-file-of-another-user":     "doctor/answers",
		"wants-a-command-of-its-own":       "doctor/answers",
		"writes-in-diagnose":               "doctor/changes-nothing",
		"is-moody":                         "doctor/repeat",
		"takes-one-gateway-at-a-time":      "doctor/concurrent",
		"ignores-cancellation":             "doctor/cancel",
		"dies-of-a-big-incident":           "doctor/big-incident",
		"plans-for-everybody":              "doctor/foreign-finding",
		"says-repairable-without-a-plan":   "doctor/plan-agrees",
		"plan-without-an-end":              "doctor/plan-bounded",
		"plan-with-hours":                  "doctor/plan-bounded",
		"plan-of-another-command":          "doctor/plan-scope",
		"plan-of-other-words":              "doctor/plan-scope",
		"plan-for-a-file-of-another-user":  "doctor/plan-scope",
		"plan-without-a-checksum":          "doctor/plan-scope",
		"verifies-blindly":                 "doctor/verify",
		"announces-verify-without-it":      "doctor/verify",
		"repair-in-a-dry-run":              "doctor/repair-dry-run",
		"repair-of-another-file":           "doctor/repair-scope",
		"repair-again-and-again":           "doctor/repair-again",
		"repair-that-goes-on":              "doctor/repair-cancelled",
		"repair-in-place":                  "doctor/repair-killed",
	},
	"classifier": {
		"judges-out-of-order": "classifier/order",
		"forgets-on-resend":   "classifier/resend",
		"mixes-streams-up":    "classifier/streams",
		"dies-of-a-long-line": "classifier/big-lines",
		"judges-slowly":       "classifier/throughput",
	},
	"launcher": {
		"launches-twice":                       "launcher/launch-again",
		"takes-another-spec":                   "launcher/launch-other-spec",
		"ends-before-the-last-line":            "launcher/end",
		"stops-without-asking":                 "launcher/stop",
		"loses-a-line-on-recover":              "launcher/recover-output",
		"adds-to-the-environment":              "launcher/launch",
		"does-not-say-what-is-missing":         "launcher/launch-refused",
		"sends-no-heartbeat":                   "launcher/heartbeat",
		"forgets-labels":                       "launcher/list",
		"signals-no-process":                   "launcher/unknown",
		"begins-anew-at-each-cursor":           "launcher/output",
		"sends-any-signal":                     "launcher/signal",
		"does-not-say-that-it-killed":          "launcher/stop-kills",
		"releases-what-runs":                   "launcher/release",
		"loses-the-exit-code":                  "launcher/exec",
		"does-not-say-that-it-timed-out":       "launcher/exec-timeout",
		"keeps-a-cancelled-command":            "launcher/exec-cancel",
		"recovers-another-process":             "launcher/recover",
		"forgets-exits":                        "launcher/recover-exit",
		"leaves-its-pipes-to-what-it-launches": "launcher/lets-go",
	},
	"unloader": {
		"finds-another-service-each-time": "unloader/inspect",
		"unloads-anything":                "unloader/unknown",
		"restores-anything":               "unloader/foreign-record",
	},
}

// plant returns the arguments by which a plugin with one fault, or "sound", is verified. Doctors and classifiers speak
// without mutual TLS, so that all checks apply.
func plant(mode, kind string) []string {
	args := []string{filepath.Join(bin, "verify-plugin"), "--arg", mode, "--arg", kind, "--deadline", "5s"}
	if kind == "doctor" || kind == "classifier" {
		args = append(args, "--transport", "socket")
	}
	return args
}

func TestPluginThatBreaksOnePromiseIsCaughtByItsCheckAlone(t *testing.T) {
	for kind, modes := range planted {
		for mode, want := range modes {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				args := plant(mode, kind)
				if kind == "launcher" {
					args = append(args, "--only", "launcher/") // these are many; that the rest of this plugin is sound is shown below
				}
				r, code := verified(t, args...)
				if got := r.with("fails"); !slices.Equal(got, []string{want}) || code != 1 || r.OK {
					t.Errorf("fails = %v, exit code %d, want %s alone and 1\n%s", got, code, want, r.text())
				}
				for _, c := range r.Checks {
					if c.Result == "fails" && (c.Why == "" || c.Hint == "") {
						t.Errorf("%+v lacks what was seen, or what to do", c)
					}
				}
			})
		}
	}
}

// TestEveryCheckHasAPlant: one that no plugin fails may be blind.
func TestEveryCheckHasAPlant(t *testing.T) {
	out, _, code := verify(t, "--list", "--json")
	var checks []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out), &checks); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	seen := map[string]bool{"base/start": true} // TestScripts of cmd/host starts what is none
	for _, modes := range planted {
		for _, id := range modes {
			seen[id] = true
		}
	}
	for _, c := range checks {
		if !seen[c.ID] {
			t.Errorf("no plugin breaks the promise of %s", c.ID)
		}
	}
}

// TestSamePluginWithoutAFaultPasses: what is caught is the fault and not the plugin.
func TestSamePluginWithoutAFaultPasses(t *testing.T) {
	for kind := range planted {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r, code := verified(t, plant("sound", kind)...)
			var idle []string // checks that do not apply
			if kind == "launcher" || kind == "unloader" {
				idle = []string{"base/socket-secret"} // these speak mutual TLS only
			}
			if code != 0 || !r.OK || !slices.Equal(r.with("not-applicable"), idle) {
				t.Errorf("exit code %d\n%s", code, r.text())
			}
		})
	}
}
