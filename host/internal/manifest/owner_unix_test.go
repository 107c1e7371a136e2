//go:build unix

package manifest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/host/internal/manifest"
)

// of is a file that belongs to a user.
type of struct {
	fs.FileInfo

	uid uint32
}

func (o of) Sys() any { return &syscall.Stat_t{Uid: o.uid} }

func TestWhoCanChangeAFileIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	put(t, path, "x")
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]string{
		0: "", uint32(os.Geteuid()): "", 4711: "it belongs to user 4711, who can change it", //nolint:gosec // a user
	} {
		if why, hint := manifest.Changeable(path, of{info, uid}); why != want || (hint == "") != (want == "") {
			t.Errorf("user %d: %q (%q), want %q", uid, why, hint, want)
		}
	}
	if err := os.Chmod(path, 0o646); err != nil {
		t.Fatal(err)
	}
	if info, err = os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	if why, hint := manifest.Changeable(path, info); why != "every user may write to it" ||
		!strings.Contains(hint, "chmod o-w "+path) {
		t.Errorf("%q (%q)", why, hint)
	}
}
