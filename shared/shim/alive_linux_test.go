package shim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/shared/shim"
)

// aliveLocked reports whether a process holds the lock that says that something of the launch lives.
func aliveLocked(t *testing.T, dir string) bool {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "alive"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}

// TestGatewayHoldsALockThatOutlivesItsShim: a host in another pid namespace sees no process, but it sees the lock.
func TestGatewayHoldsALockThatOutlivesItsShim(t *testing.T) {
	p := newPlace(t)
	o := p.options("locked", sh("echo up; exec sleep 1000")...)
	s := start(t, o)
	printed(t, s.Client, "up")
	if !aliveLocked(t, o.BundleDir) {
		t.Error("no lock while both live")
	}
	if _, err := os.Stat(filepath.Join(o.BundleDir, "heartbeat")); err != nil {
		t.Error(err)
	}
	if s.State.Namespace == "" || s.State.Host == "" {
		t.Errorf("place of the launch: %+v", s.State)
	}
	if err := s.State.Shim.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitGone(t, s.State.Shim)
	if !aliveLocked(t, o.BundleDir) {
		t.Error("no lock while the gateway lives")
	}
	b, err := shim.OpenBundle(o.BundleDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.StopUnwatched(deadline(t), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lock is free", func() bool { return !aliveLocked(t, o.BundleDir) })
}

// TestLockOfAGatewayIsInNoOnesWay: its descriptor is above those that shells use for redirections.
func TestLockOfAGatewayIsInNoOnesWay(t *testing.T) {
	p := newPlace(t)
	s := start(t, p.options("fds", sh("echo up; exec sleep 1000")...))
	printed(t, s.Client, "up")
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.State.Gateway.PID))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "0 1 12 2" {
		t.Errorf("the gateway has the descriptors %s", got)
	}
}
