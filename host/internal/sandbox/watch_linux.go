//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch sees which files a plugin opens, and which sockets it makes when it has no network. About files it decides
// nothing: the kernel does, by landlock, after the call continues. So nothing depends on what is read of the plugin's
// memory here, which the plugin can change meanwhile. Sockets it refuses by a number in the call itself, which no one
// can change.
type Watch struct {
	spec Spec
	// the places whose files it may open, computed once: each call of the plugin waits for the host
	read, write []string
	conn        *net.UnixConn
	child       *os.File
}

// NewWatch prepares to watch a plugin with these rights, which has the files own by descriptors. Give Child to its
// process as descriptor 4, close it then, and call Run.
func NewWatch(spec Spec, own ...string) (*Watch, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot watch a plugin: %w", err)
	}
	//nolint:gosec // descriptors
	ours, child := os.NewFile(uintptr(pair[0]), "watch"), os.NewFile(uintptr(pair[1]), "watched")
	defer func() { _ = ours.Close() }()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot watch a plugin: %w", err), child.Close())
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("cannot watch a plugin by a %T", conn), conn.Close(), child.Close())
	}
	read, write := System()
	write = append(write, spec.Write...)
	return &Watch{
		spec: spec, read: slices.Concat(read, spec.Read, own, write), write: write,
		conn: unixConn, child: child,
	}, nil
}

// Child returns the plugin's end.
func (w *Watch) Child() *os.File { return w.child }

// Close ends a Run that does not watch yet.
func (w *Watch) Close() {
	_ = w.child.Close()
	_ = w.conn.Close()
}

// Run calls tell for each file that was to be opened, and each socket, that is outside the sandbox, until the
// plugin and everything that it started have ended. A call of the plugin waits until tell returns. Run returns at
// once where the kernel does not support this.
func (w *Watch) Run(tell func(Access)) {
	listener, err := w.listener()
	if err != nil {
		return
	}
	f := os.NewFile(listener, "seccomp")
	defer func() { _ = f.Close() }()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for {
			ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // a descriptor fits
			switch _, err := unix.Poll(ready, 0); {
			case errors.Is(err, unix.EINTR):
			case err != nil:
				return true
			case ready[0].Revents&unix.POLLIN != 0:
				w.one(fd, tell)
			default: // wait for the next call, unless no process is left that could make one
				return ready[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
			}
		}
	})
}

// listener receives what the plugin's process sends before it begins.
func (w *Watch) listener() (uintptr, error) {
	defer func() { _ = w.conn.Close() }()
	control := make([]byte, unix.CmsgSpace(4))
	n, controlled, _, _, err := w.conn.ReadMsgUnix(make([]byte, 1), control)
	if err != nil || n == 0 {
		return 0, errors.Join(err, errors.New("the plugin is not watched"))
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlled])
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(err, errors.New("no descriptor came"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(err, errors.New("no descriptor came"))
	}
	unix.CloseOnExec(fds[0])
	return uintptr(fds[0]), unix.SetNonblock(fds[0], true) //nolint:gosec // a descriptor
}

// one takes one call, examines it, and lets it continue, unless it makes a socket that the plugin may not have.
func (w *Watch) one(fd uintptr, tell func(Access)) {
	var n notification
	if ioctl(fd, notifRecv, unsafe.Pointer(&n)) != nil { //nolint:gosec // so the call wants it
		return // the caller has been killed
	}
	r := response{id: n.id, flags: notifContinue}
	defer func() {
		_ = ioctl(fd, notifSend, unsafe.Pointer(&r)) //nolint:gosec // so the call wants it
	}()
	if n.nr == unix.SYS_SOCKET {
		if family := uint32(n.args[0]); family != unix.AF_UNIX { //nolint:gosec // the kernel takes it as an int, too
			r.errno, r.flags = -int32(unix.EACCES), 0
			tell(Access{Socket: socketWords(uint32(n.args[1]))}) //nolint:gosec // as above
		}
		return
	}
	path, write, err := openedBy(n)
	if err != nil || !valid(fd, n.id) {
		return
	}
	if path, out := w.outside(path, write, n.pid); out {
		tell(Access{Path: path, Write: write})
	}
}

// valid reports whether the caller still waits in its call: otherwise the memory that was read may belong to
// another process.
func valid(fd uintptr, id uint64) bool {
	return ioctl(fd, notifIDValid, unsafe.Pointer(&id)) == nil //nolint:gosec // so the call wants it
}

// socketWords names a socket by its type: the kernel is asked for it before an address is known.
func socketWords(kind uint32) string {
	switch kind & 0xf {
	case unix.SOCK_STREAM:
		return "TCP"
	case unix.SOCK_DGRAM:
		return "UDP"
	default:
		return "sockets"
	}
}

// openedBy returns the file that a call is about to open, by its absolute path.
func openedBy(n notification) (path string, write bool, err error) {
	at, flags := n.args[1], n.args[2]
	dir := "cwd"
	byPath, creates := opensByPath(n.nr)
	switch fd := int32(n.args[0]); { //nolint:gosec // the kernel takes it as an int, too
	case byPath:
		at, flags = n.args[0], n.args[1]
	case fd != unix.AT_FDCWD:
		dir = "fd/" + strconv.Itoa(int(fd))
	}
	if n.nr == unix.SYS_OPENAT2 { // the flags are the first field of the structure
		how, err := memory(n.pid, flags, 8)
		if err != nil {
			return "", false, err
		}
		flags = binary.NativeEndian.Uint64(how)
	}
	if flags&unix.O_PATH != 0 && !creates {
		return "", false, errors.New("it opens nothing")
	}
	if path, err = text(n.pid, at); err != nil {
		return "", false, err
	}
	if !filepath.IsAbs(path) {
		base, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", n.pid, dir))
		if err != nil {
			return "", false, err
		}
		path = filepath.Join(base, path)
	}
	return filepath.Clean(path), creates || flags&unix.O_ACCMODE != unix.O_RDONLY || flags&unix.O_TRUNC != 0, nil
}

// outside reports whether the kernel will deny a file, and returns its path with links followed. A file that does
// not exist is not denied but missing.
func (w *Watch) outside(path string, write bool, pid uint32) (string, bool) {
	switch process, below, _ := strings.Cut(strings.TrimPrefix(path, "/proc/"), "/"); {
	case !strings.HasPrefix(path, "/proc/"):
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		} else if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil && write {
			path = filepath.Join(dir, filepath.Base(path))
		} else {
			return "", false
		}
	case process == "self", process == "thread-self", exists(fmt.Sprintf("/proc/%s/task/%d", process, pid)):
		return "", false // its own; links there lead elsewhere for it than for the host
	case below == "" && process == "":
		return "", false
	}
	places := w.read
	if write {
		places = w.write
	}
	if Inside(path, places) {
		return "", false
	}
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		return path, !Inside(path, w.spec.List)
	case err != nil && !write:
		return "", false
	}
	return path, true
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

const pageSize = 4096 // of the smallest pages: reads that end at one never begin an unmapped one

// text reads a string in a process' memory.
func text(pid uint32, at uint64) (string, error) {
	var out []byte
	for len(out) < unix.PathMax {
		part, err := memory(pid, at, int(pageSize-at%pageSize)) //nolint:gosec // at most a page
		if err != nil {
			return "", err
		}
		line, _, ended := bytes.Cut(part, []byte{0})
		if out = append(out, line...); ended {
			return string(out), nil
		}
		at += uint64(len(part))
	}
	return "", errors.New("the path has no end")
}

func memory(pid uint32, at uint64, length int) ([]byte, error) {
	out := make([]byte, length)
	n, err := unix.ProcessVMReadv(int(pid), []unix.Iovec{{Base: &out[0], Len: uint64(len(out))}},
		[]unix.RemoteIovec{{Base: uintptr(at), Len: length}}, 0)
	if err != nil || n != length {
		return nil, errors.Join(err, errors.New("cannot read the plugin's memory"))
	}
	return out, nil
}
