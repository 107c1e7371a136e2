//go:build unix

package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes a bundle for this process's life; nil and no error when another process has it. The lock ends with the
// file, and the file with the process: children do not inherit it.
func Lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock bundle: %w", err)
	}
	return flock(f)
}

// lockFolder is the lock for recovering a bundle: it is on the folder itself, because the other lock is the shim's.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot lock bundle: %w", err)
	}
	return flock(f)
}

func flock(f *os.File) (*os.File, error) {
	for {
		var err error
		switch err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return f, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return nil, f.Close()
		default:
			f.Close()
			return nil, fmt.Errorf("cannot lock bundle: %w", err)
		}
	}
}

// private reports whether dir is a directory that only our user can enter.
func private(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("%s belongs to user %d, not to %d: remove it or choose another run directory", dir, st.Uid,
			uid)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// HoldAlive takes the lock that says that something of the launch lives. It is the shim's, and the gateway inherits it.
func HoldAlive(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, aliveFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock bundle: %w", err)
	}
	held, err := flock(f)
	if err == nil && held == nil {
		err = fmt.Errorf("cannot lock bundle: %w: a process of an earlier shim holds %s", ErrRunning, f.Name())
	}
	return held, err
}

// lockState is what is known of a lock of a bundle.
type lockState int

const (
	lockFree lockState = iota
	lockHeld
	lockUnknown // this file system cannot lock
)

// lockOf asks whether a process, in whatever pid namespace, holds a lock of the bundle. A file that is not there is
// free.
func lockOf(dir, name string) lockState {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return lockFree
	}
	if err != nil {
		return lockUnknown
	}
	free, err := flock(f)
	switch {
	case err != nil:
		return lockUnknown
	case free == nil:
		return lockHeld
	default:
		free.Close()
		return lockFree
	}
}
