package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
)

// maxSocketPath is the number of bytes that a socket's address may have on every system.
const maxSocketPath = 103

// Listen creates the control socket, 0600, in a directory that only its owner can change; it creates the directory
// with 0700. It replaces a socket on which no host answers. Errors: fault.Conflict when another host answers.
func Listen(path string) (net.Listener, error) {
	if !peersAreKnown {
		return nil, fault.New(fault.Unsupported, "cannot listen on the control socket: not supported on "+runtime.GOOS)
	}
	dir := filepath.Dir(path)
	if len(path) > maxSocketPath {
		return nil, fault.New(fault.InvalidArgument, fmt.Sprintf(
			"cannot listen on %s: the path has %d bytes; a socket's path may have %d", path, len(path), maxSocketPath,
		)).
			WithHint("set control.socket to a shorter path")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the control socket's directory: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("cannot check the control socket's directory: %w", err)
	} else if info.Mode().Perm()&0o022 != 0 {
		return nil, fault.New(fault.PermissionDenied, "cannot listen on "+path+": others can write to "+dir).
			WithHint("run `chmod 700 " + dir + "` or set control.socket to a place of your own")
	}
	if err := mayReplace(path); err != nil {
		return nil, err
	}
	return bind(path, dir)
}

// mayReplace checks what is at path.
func mayReplace(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot look at %s: %w", path, err)
	case info.Mode().Type() != os.ModeSocket:
		return fault.New(fault.FailedPrecondition, "cannot listen on "+path+": it exists and is not a socket").
			WithHint("move it away or set control.socket to another path")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() { // it listens and is busy
			err = nil
		}
	} else {
		_ = conn.Close()
	}
	if err == nil {
		return fault.New(fault.Conflict, "another host answers on "+path).
			WithHint("use that host, or stop it first, or give this one its own state_dir")
	}
	return nil
}

// bind creates the socket where no other user can connect, closes it to others, and then renames it into place: at
// no moment is it open to others, and at no moment is it missing.
func bind(path, dir string) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) { return nil, fmt.Errorf("cannot listen on %s: %w", path, err) }
	tmp, err := os.MkdirTemp(dir, ".s") // 0700
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(tmp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(tmp, "s"), Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false) // it would remove the first name
	if err := os.Chmod(filepath.Join(tmp, "s"), 0o600); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	if err := os.Rename(filepath.Join(tmp, "s"), path); err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fail(errors.Join(err, l.Close()))
	}
	return &listener{UnixListener: l, path: path, info: info}, nil
}

// listener removes its socket when it is closed, unless it was replaced meanwhile.
type listener struct {
	*net.UnixListener
	path string
	info os.FileInfo
}

// Close stops listening.
func (l *listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
		_ = os.Remove(l.path)
	}
	return l.UnixListener.Close()
}
