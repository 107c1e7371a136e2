package server

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// TestAbandonedLaunchHoldsNothingOpen: however far it came.
func TestAbandonedLaunchHoldsNothingOpen(t *testing.T) {
	(&supervisor{}).abandon()
	s := &supervisor{dir: t.TempDir(), log: &logger{}}
	var err error
	if s.out, err = outlog.Create(s.dir, outlog.MinSize); err != nil {
		t.Fatal(err)
	}
	if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(s.dir, "s"), Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	held := func() (files []string) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, s.dir) {
				files = append(files, to)
			}
		}
		return files
	}
	if len(held()) == 0 {
		t.Fatal("the output has no file open: this test says nothing")
	}
	s.abandon()
	if files := held(); len(files) > 0 {
		t.Errorf("held open: %q", files)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "s")); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
