package store_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/host/internal/store"
)

// smallDisk is a file system of so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("cannot mount a small disk here:", err)
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

// TestFullDiskStillTakesALaunch: the reserve is given up for it, and made again when there is room.
func TestFullDiskStillTakesALaunch(t *testing.T) {
	dir := smallDisk(t, "1m")
	s := open(t, filepath.Join(dir, "state"))
	if err := s.Reserve(); err != nil {
		t.Fatal(err)
	}
	fill(t, dir)
	id, err := s.PrepareLaunch("main")
	if err != nil {
		t.Fatalf("on a full disk: %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.RunDir(), id, "what the launcher writes"), make([]byte, 32<<10),
		0o600); err != nil {
		t.Errorf("no room for the launcher: %v", err)
	}
	fill(t, dir)
	if _, err := s.PrepareLaunch("main"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("without a reserve: %v", err)
	}
	if err := s.Reserve(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a reserve on a full disk: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(); err != nil {
		t.Errorf("with room again: %v", err)
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
