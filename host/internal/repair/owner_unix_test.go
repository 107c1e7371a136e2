//go:build unix

package repair_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/host/internal/repair"
)

// TestUndoLeavesFilesToTheirUsers: the host may run as root and the gateway as another user. A file that is there keeps
// its owner, and one that is made anew gets that of its directory. Without root all have one owner.
func TestUndoLeavesFilesToTheirUsers(t *testing.T) {
	w := newWorld(t)
	gateway, directory := os.Geteuid(), os.Geteuid()
	if gateway == 0 {
		gateway, directory = 12345, 23456
	}
	own := func(path string, uid int) {
		t.Helper()
		if err := os.Chown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	isOf := func(uid int) {
		t.Helper()
		info, err := os.Stat(w.config)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != uid {
			t.Errorf("the file belongs to %d, want %d", got, uid)
		}
	}
	own(w.facts.StateDir, directory)
	own(w.config, gateway)
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, "{}", sum(broken))})
	if err != nil {
		t.Fatal(err)
	}
	isOf(gateway)
	if _, err := w.e.Undo(t.Context(), res.ID, false); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
	isOf(gateway)
	if err := os.Remove(w.config); err != nil {
		t.Fatal(err)
	}
	if _, err := w.e.Undo(t.Context(), res.ID, true); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
	isOf(directory)
}
