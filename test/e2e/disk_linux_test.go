package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFullDiskStopsNoGateway(t *testing.T) {
	for _, left := range []int{0, 8 << 10, 48 << 10} {
		fullDiskStopsNothing(t, left, "mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "none")
	}
}

func TestFullExt4StopsNoGateway(t *testing.T) {
	for _, left := range []int{0, 8 << 10, 48 << 10} {
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
			t.Skipf("cannot mount a small disk here: mkfs.ext4: %v %s", err, out)
		}
		fullDiskStopsNothing(t, left, "mount", "-o", "loop", image)
	}
}

// fullDiskStopsNothing: a gateway is restarted, adopted by another host, stopped and started on a state directory whose
// disk has so many bytes left. The log of the output alone wants more than the disk has.
func fullDiskStopsNothing(t *testing.T, left int, mount ...string) {
	t.Helper()
	s := newSite(t, emulator(""))
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mount[0], append(mount[1:], state)...).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk here: %v %s", err, out)
	}
	t.Cleanup(func() {
		s.killHost()
		_ = unix.Unmount(state, unix.MNT_DETACH)
	})
	s.run()
	first := s.awaitState("running")
	fillDisk(t, state, left)

	s.must("restart", "main", "--timeout", "60s")
	second := s.awaitState("running")
	if second.PID == first.PID {
		t.Errorf("with %d bytes left: the restart left the same process", left)
	}
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	s.run()
	if adopted := s.awaitState("running"); adopted.PID != second.PID {
		t.Errorf("with %d bytes left: pid %d was not adopted but replaced by %d", left, second.PID, adopted.PID)
	}
	s.must("stop", "main", "--timeout", "60s")
	s.awaitState("stopped")
	s.must("start", "main", "--timeout", "60s")
	s.awaitState("running")
	s.shutdown()
}

// fillDisk takes all the room of a file system but so many bytes.
func fillDisk(t *testing.T, dir string, left int) {
	t.Helper()
	spare := filepath.Join(dir, "spare")
	if err := os.WriteFile(spare, make([]byte, left), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("filler-%d", size)))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(spare); err != nil {
		t.Fatal(err)
	}
}
