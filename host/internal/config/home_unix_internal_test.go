//go:build unix

package config

import (
	"os"
	"strings"
	"testing"
)

// TestRootInAnotherUsersHomeIsTold: as after `sudo` that keeps HOME.
func TestRootInAnotherUsersHomeIsTold(t *testing.T) {
	home := t.TempDir()
	if os.Geteuid() == 0 {
		if err := os.Chown(home, 54321, 54321); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HOME", home)
		t.Setenv("XDG_CONFIG_HOME", home)
		c, err := Load("")
		if err != nil || !strings.Contains(c.Warnings().Error(), "gatehost runs as root with HOME="+home) ||
			!strings.Contains(c.Warnings().Error(), "uid 54321") {
			t.Errorf("%v, warnings %v", err, c.Warnings())
		}
	}
	if owner := homeOf(0, home); !strings.Contains(owner, "uid ") {
		t.Errorf("root in %s: %q", home, owner)
	}
	if owner := homeOf(1000, home) + homeOf(0, "/") + homeOf(0, "/does/not/exist"); owner != "" {
		t.Errorf("told without need: %q", owner)
	}
}
