//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The parts of the kernel's seccomp(2) and seccomp_unotify(2) that x/sys does not have.
const (
	retAllow      = 0x7fff0000
	retNotify     = 0x7fc00000
	notifRecv     = 0xc0502100
	notifSend     = 0xc0182101
	notifIDValid  = 0x40082102
	notifContinue = 1
)

type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	errno int32
	flags uint32
}

// filter allows every system call, and notifies the host of those that open a file by its path, and of sockets when
// the plugin has no network, before they run.
func filter(network bool) []unix.SockFilter {
	const load, jumpEqual, ret = 0x20, 0x15, 0x06
	calls := append([]uint32{unix.SYS_OPENAT, unix.SYS_OPENAT2}, oldOpens...)
	if !network {
		calls = append(calls, unix.SYS_SOCKET)
	}
	prog := []unix.SockFilter{
		{Code: load, K: 4}, // the architecture; another one's numbers mean other calls
		{Code: jumpEqual, K: auditArch, Jt: 1},
		{Code: ret, K: retAllow},
		{Code: load, K: 0}, // the number
	}
	for i, nr := range calls {
		//nolint:gosec // a handful
		prog = append(prog, unix.SockFilter{Code: jumpEqual, K: nr, Jt: uint8(len(calls) - i)})
	}
	return append(prog, unix.SockFilter{Code: ret, K: retAllow}, unix.SockFilter{Code: ret, K: retNotify})
}

// announce lets the host watch what the plugin opens, and reports whether it does. Its thread is locked and becomes
// the plugin. A kernel that does not support it is no error: the host then sees nothing. Errors: the plugin must not
// begin, since its calls would wait for ever.
func announce(network bool) (heard bool, err error) {
	defer func() { _ = unix.Close(watchFD) }()
	prog := filter(network)
	listener := -1
	for _, flags := range []uintptr{
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
	} {
		if listener, err = install(prog, flags); err == nil {
			break
		}
	}
	if listener < 0 {
		return false, nil
	}
	defer func() { _ = unix.Close(listener) }()
	if err := unix.Sendmsg(watchFD, []byte{1}, unix.UnixRights(listener), nil, 0); err != nil {
		return false, fmt.Errorf("cannot tell the host what the plugin opens: %w", err)
	}
	return true, nil
}

// ioctl calls a listener; arg points to one of the structures above.
func ioctl(fd, request uintptr, what unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(what)); errno != 0 {
		return errno
	}
	return nil
}
