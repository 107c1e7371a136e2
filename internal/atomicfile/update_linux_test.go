package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/atomicfile"
)

// TestMountedFileIsWrittenInPlace uses a real bind mount of a single file, as containers have it.
func TestMountedFileIsWrittenInPlace(t *testing.T) {
	dir := t.TempDir()
	mine, path := filepath.Join(dir, "mine"), filepath.Join(dir, "mounted")
	for p, text := range map[string]string{mine: "the old one", path: ""} {
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil { //nolint:gosec // the mode is kept
			t.Fatal(err)
		}
	}
	skip, failed := error(nil), error(nil)
	done := make(chan struct{})
	go func() { // the thread is in another mount namespace and ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		if skip = syscall.Unshare(syscall.CLONE_NEWNS); skip != nil {
			return
		}
		if skip = syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); skip != nil {
			return
		}
		if skip = syscall.Mount(mine, path, "", syscall.MS_BIND, ""); skip != nil {
			return
		}
		if err := atomicfile.Replace(path, nil); !errors.Is(err, syscall.EBUSY) {
			failed = errors.Join(failed, err, errors.New("it could be replaced: the test shows nothing"))
		}
		failed = errors.Join(failed, atomicfile.Update(path, []byte("new")))
	}()
	<-done
	if skip != nil {
		t.Skipf("cannot mount: %v", skip)
	}
	got, err := os.ReadFile(mine)
	info, statErr := os.Stat(mine)
	if failed != nil || err != nil || statErr != nil || string(got) != "new" || info.Mode().Perm() != 0o644 {
		t.Errorf("%v; the mounted file holds %q (%v), mode %v", failed, got, err, info.Mode())
	}
}
