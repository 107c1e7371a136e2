//go:build unix

package foreignfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/foreignfile"
)

func TestOnlyRegularFilesOfBoundedSizeAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("fits"), []byte("12345678"), 0o600), os.WriteFile(at("large"), []byte("123456789"), 0o600),
		os.Symlink("fits", at("link")), os.Symlink("pipe", at("link to a pipe")), syscall.Mkfifo(at("pipe"), 0o600),
		os.WriteFile(at("sparse"), nil, 0o600), os.Truncate(at("sparse"), 3<<30),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{
		at("fits"): nil, at("link"): nil, at("large"): foreignfile.ErrTooLarge, at("sparse"): foreignfile.ErrTooLarge,
		at("pipe"): foreignfile.ErrNotRegular, at("link to a pipe"): foreignfile.ErrNotRegular,
		dir: foreignfile.ErrNotRegular, "/dev/zero": foreignfile.ErrNotRegular, at("absent"): fs.ErrNotExist,
	} {
		done := make(chan error, 1)
		go func() {
			data, err := foreignfile.Read(path, 8)
			if err == nil && string(data) != "12345678" {
				t.Errorf("%s: %q", path, data)
			}
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s is waited for", path)
		}
	}
}

// TestPathThatBecomesAPipeIsNotWaitedFor: it is exchanged while it is opened, again and again.
func TestPathThatBecomesAPipeIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	path, file, pipe := filepath.Join(dir, "path"), filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			next := filepath.Join(dir, "next")
			_ = os.Link([]string{file, pipe}[n%2], next)
			_ = os.Rename(next, path)
			_ = os.Remove(next) // a rename between two names of one file does nothing
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20000 {
			if f, _, err := foreignfile.Open(path); err == nil {
				_ = f.Close()
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("a pipe is waited for")
	}
	close(stop)
	<-stopped
}
