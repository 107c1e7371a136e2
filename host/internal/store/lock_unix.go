//go:build unix

package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes an advisory lock that ends with the process that holds it. The file itself stays: removing it
// would let two hosts lock two different files of one name. A file that was removed or replaced meanwhile is not
// the lock.
func lockFile(path string) (*os.File, error) {
	for range 10 {
		// Not blocking: opening a FIFO would hang.
		//nolint:gosec // our own state directory
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		open, err := f.Stat()
		if err == nil && !open.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file; remove it", path)
		}
		if err == nil {
			err = flock(f)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if named, err := os.Lstat(path); err == nil && os.SameFile(open, named) {
			_ = f.Truncate(0)
			_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // for people; the kernel's lock decides
			return f, nil
		}
		_ = f.Close()
	}
	return nil, fmt.Errorf("%s is replaced again and again by another program", path)
}

func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // descriptors are small
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	pid := make([]byte, 20)
	n, _ := f.ReadAt(pid, 0)
	return fmt.Errorf("%w (pid %s)", ErrLocked, trim(pid[:n]))
}

func trim(b []byte) string {
	for i, c := range b {
		if c < '0' || c > '9' {
			return string(b[:i])
		}
	}
	return string(b)
}
