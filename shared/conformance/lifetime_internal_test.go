package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWhatLiesBesideASocketIsThePluginsOwn: the host's link to the program is not held against the plugin.
func TestWhatLiesBesideASocketIsThePluginsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"doctor": programLink, "other": "/etc/passwd"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := beside(dir); !slices.Equal(got, []string{"file", "other"}) {
		t.Errorf("beside the socket: %q", got)
	}
}
