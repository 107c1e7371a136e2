//go:build linux || darwin

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestThisMachineIsLookedAt(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "not", "yet", "there")} {
		s := spaceAt(path)
		if !s.known || s.total == 0 || s.free > s.total || s.readOnly || s.at != dir {
			t.Errorf("space at %s = %+v", path, s)
		}
	}
	if got := ownerOf(dir); !strings.HasPrefix(got, "uid ") {
		t.Errorf("owner = %q", got)
	}
	if got := ownerOf(filepath.Join(dir, "nothing")); got != "" {
		t.Errorf("owner of nothing = %q", got)
	}
	if s := spaceAt("relative"); s.known {
		t.Errorf("space at a relative path = %+v", s)
	}
}
