package pluginhost

import (
	"os"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// descriptors returns what this process has open, by number.
func descriptors(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{}
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = to
		}
	}
	return open
}

// opened returns which descriptors of these are new since before.
func opened(before, now map[string]string) []string {
	var out []string
	for n, to := range now {
		if before[n] != to && !strings.Contains(to, "anon_inode") {
			out = append(out, n+" -> "+to)
		}
	}
	return out
}

func TestSandboxThatCannotBeMadeLeavesNoDescriptor(t *testing.T) {
	before := descriptors(t)
	shut := Spec{Sandbox: &sandbox.Spec{Read: []string{"relative"}}}
	_, watch, _, err := command(shut, &executable{argv: []string{"/bin/true"}}, t.TempDir(), "", Options{})
	if err == nil || watch != nil || !strings.Contains(err.Error(), "is not an absolute path") {
		t.Fatalf("watch %v, error %v", watch, err)
	}
	if left := opened(before, descriptors(t)); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
}

