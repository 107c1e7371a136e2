package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/host/internal/store"
)

// smallDisk is a file system of so many KiB: tmpfs, or ext4 in a file.
func smallDisk(t *testing.T, kind string, kib int) string {
	t.Helper()
	dir := t.TempDir()
	mount := []string{"mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dk", kib), "none", dir}
	if kind == "ext4" {
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, make([]byte, kib<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
			t.Skipf("cannot mount a small disk here: mkfs.ext4: %v %s", err, out)
		}
		mount = []string{"mount", "-o", "loop", image, dir}
	}
	if out, err := exec.Command(mount[0], mount[1:]...).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a small disk here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill takes all the room that is left.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		err = nil
	}
}

func TestFullDiskStillTakesALaunch(t *testing.T) {
	fullDiskTakesALaunch(t, smallDisk(t, "tmpfs", 1<<10))
}

func TestFullExt4StillTakesALaunch(t *testing.T) {
	fullDiskTakesALaunch(t, smallDisk(t, "ext4", 8<<10))
}

// fullDiskTakesALaunch: the reserve is given up for it, and made again when there is room and the launch had its time.
func fullDiskTakesALaunch(t *testing.T, dir string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, filepath.Join(dir, "state"))
		if err := s.Reserve(); err != nil {
			t.Fatal(err)
		}
		fill(t, dir)
		id, err := s.PrepareLaunch("main")
		if err != nil {
			t.Fatalf("on a full disk: %v", err)
		}
		if err := os.WriteFile(filepath.Join(s.RunDir(), id, "what the launcher writes"), make([]byte, 64<<10),
			0o600); err != nil {
			t.Errorf("no room for the launcher: %v", err)
		}
		fill(t, dir)
		if _, err := s.PrepareLaunch("main"); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("without a reserve: %v", err)
		}
		if err := s.Reserve(); !errors.Is(err, store.ErrReleased) {
			t.Errorf("a reserve while it is used: %v", err)
		}
		time.Sleep(time.Minute)
		if err := s.Reserve(); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a reserve on a full disk: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if info, err := os.Stat(filepath.Join(dir, "state", "reserve")); err != nil || info.Size() != 256<<10 {
			t.Errorf("the reserve was not made again by itself: %v", err)
		}
	})
}

// TestReserveIsUsedBeforeTheLauncherFails: the host's own record fits, and what the launcher writes next does not.
func TestReserveIsUsedBeforeTheLauncherFails(t *testing.T) {
	for _, left := range []int{8 << 10, 16 << 10, 40 << 10, 100 << 10} {
		dir := smallDisk(t, "tmpfs", 1<<10)
		s := open(t, filepath.Join(dir, "state"))
		if err := s.Reserve(); err != nil {
			t.Fatal(err)
		}
		spare := filepath.Join(dir, "spare")
		if err := os.WriteFile(spare, make([]byte, left), 0o600); err != nil {
			t.Fatal(err)
		}
		fill(t, dir)
		if err := os.Remove(spare); err != nil {
			t.Fatal(err)
		}
		id, err := s.PrepareLaunch("main")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.RunDir(), id, "what the launcher writes"), make([]byte, 120<<10),
			0o600); err != nil {
			t.Errorf("with %d bytes left there is no room for the launcher: %v", left, err)
		}
	}
}

func TestLaunchDirectoryThatVanishedIsMadeAgain(t *testing.T) {
	s := open(t, t.TempDir())
	if err := os.RemoveAll(s.RunDir()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PrepareLaunch("main"); err != nil {
		t.Error(err)
	}
}

// TestLockDiesWithItsHolder lets a real second process hold it.
func TestLockDiesWithItsHolder(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_HOLD"); dir != "" {
		if _, err := store.Open(dir); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("held\n")
		select {}
	}
	dir := t.TempDir()
	holder := exec.Command(os.Args[0], "-test.run=^TestLockDiesWithItsHolder$")
	holder.Env = append(os.Environ(), "STORE_TEST_HOLD="+dir)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if n, err := out.Read(buf); err != nil || !bytes.Contains(buf[:n], []byte("held")) {
		t.Fatalf("holder says %q, %v", buf[:n], err)
	}
	if _, err := store.Open(dir); !errors.Is(err, store.ErrLocked) ||
		!strings.Contains(err.Error(), "pid "+strconv.Itoa(holder.Process.Pid)) {
		t.Errorf("while it is held: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	open(t, dir)
}

// TestLockFileThatIsNoFileIsRefusedAtOnce: a FIFO would make the host wait for ever.
func TestLockFileThatIsNoFileIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "host.lock"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := store.Open(dir)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "host.lock") {
			t.Errorf("error = %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for the other end of a FIFO")
	}
}

// TestWhatCannotBeUsedIsSetAsideOrLeftAlone is the table of the package's documentation.
func TestWhatCannotBeUsedIsSetAsideOrLeftAlone(t *testing.T) {
	spoil := map[string]func(path string) error{
		"empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"truncated": func(p string) error { return os.WriteFile(p, []byte("a"), 0o600) },
		"binary":    func(p string) error { return os.WriteFile(p, []byte("\x00\xff\n\n"), 0o600) },
		"huge":      func(p string) error { return os.WriteFile(p, make([]byte, 1<<20), 0o600) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"fifo":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"symlink":   func(p string) error { return os.Symlink("/etc/hostname", p) },
	}
	for name, spoil := range spoil {
		dir := t.TempDir()
		s := open(t, dir)
		key := filepath.Join(dir, "fingerprint.key")
		if err := spoil(key); err != nil {
			t.Fatal(err)
		}
		got, remark, err := s.FingerprintKey()
		if err != nil || len(got) != 32 || remark == nil ||
			!strings.Contains(remark.Error(), "fingerprint.key.broken-") {
			t.Errorf("%s key: %d bytes, remark %v, error %v", name, len(got), remark, err)
		}
		if aside, _ := filepath.Glob(key + ".broken-*"); len(aside) != 1 {
			t.Errorf("%s key: set aside %v", name, aside)
		}
		if again, remark, err := s.FingerprintKey(); err != nil || remark != nil || !bytes.Equal(again, got) {
			t.Errorf("%s key: another one afterwards: %v, %v", name, remark, err)
		}
		if _, err := s.Token("main"); err != nil {
			t.Fatal(err)
		}
		token := filepath.Join(dir, "gateways", "main", "token")
		if err := os.Remove(token); err != nil {
			t.Fatal(err)
		}
		if err := spoil(token); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Token("main"); err == nil || got != "" || !strings.Contains(err.Error(), "token") {
			t.Errorf("%s token: %q, %v", name, got, err)
		}
		if _, err := os.Lstat(token); err != nil {
			t.Errorf("%s token was taken away: %v", name, err)
		}
	}
}
