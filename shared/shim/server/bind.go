//go:build unix

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// bind makes the socket, and its directory when that was removed. It replaces what is at the path: we hold the lock of
// the launch, so it is of a shim that died, or ours.
func bind(path string) (*net.UnixListener, os.FileInfo, error) {
	fail := func(err error) (*net.UnixListener, os.FileInfo, error) {
		return nil, nil, fmt.Errorf("cannot bind socket: %w", err)
	}
	if err := ownDirectory(filepath.Dir(path)); err != nil {
		return fail(err)
	}
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	info, err := os.Lstat(path)
	if err = errors.Join(err, os.Chmod(path, 0o600)); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	return l, info, nil
}

// ownDirectory makes a directory for us alone, and the one that it is in. It refuses those of other users: after a
// cleaning of /tmp anyone can make one of the name.
func ownDirectory(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil // the host, or an earlier launch, has made and judged it
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		info, err := os.Lstat(d)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() && st.Uid != 0 {
			return fmt.Errorf("%s is not a directory of ours", d)
		}
	}
	return nil
}

// bindAgain makes the socket anew when it is no longer at its path: a cleaner of temporary files, or the end of a
// login, removed it, and no new client would find us. It is called from the goroutine of serve, and reports whether
// there is a new listener.
func (s *supervisor) bindAgain() bool {
	now, err := os.Lstat(s.spec.Socket)
	if err == nil && os.SameFile(now, s.bound) {
		return false
	}
	l, bound, err := bind(s.spec.Socket)
	if err != nil {
		s.log.printf("the socket was removed and cannot be made again: %v", err)
		return false
	}
	s.log.printf("the socket was removed and is made again")
	s.listener.SetUnlinkOnClose(false) // it would remove the new one
	s.listener.Close()
	s.listener, s.bound = l, bound
	return true
}
