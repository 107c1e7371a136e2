//go:build linux

// Command tries does what a sandboxed plugin should not be able to do, and says what came of it: a line of JSON with the
// error of each try, "" when it could. Arguments are names of tries, or NAME=NUMBER for a system call with zeros.
package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is one that the program may read and not write; secret one that it may not open; both belong to its user.
var file, secret, earPath, earName, earTCP, user = os.Getenv("TRY_FILE"), os.Getenv("TRY_SECRET"), os.Getenv("TRY_UNIX"),
	os.Getenv("TRY_ABSTRACT"), os.Getenv("TRY_TCP"), os.Getenv("TRY_PID")

// one is no constant: the program is also built for 32 bits, where it must not run.
var one = uint64(len("1"))

func main() {
	out := map[string]string{}
	for _, name := range os.Args[1:] {
		call, number, isCall := strings.Cut(name, "=")
		var err error
		if isCall {
			err = raw(number)
		} else {
			err = try(name)
		}
		out[call] = ""
		if err != nil {
			out[call] = err.Error()
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func raw(number string) error {
	n, err := strconv.ParseUint(number, 0, 64)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if _, _, errno := syscall.RawSyscall6(uintptr(n), 0, 0, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// sys makes a system call that x/sys does not have.
func sys(n uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := syscall.Syscall6(n, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	pinned = append(pinned, p)
	return uintptr(unsafe.Pointer(p))
}

var pinned []*byte

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// dial connects a unix socket by any means.
func dial(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Connect(fd, &unix.SockaddrUnix{Name: name})
}

func try(name string) error {
	pid, _ := strconv.Atoi(user)
	switch name {
	case "spin":
		for end := time.Now().Add(time.Millisecond); time.Now().Before(end); {
		}
		return nil
	case "allocate":
		all := make([]byte, 64<<20)
		for i := range all {
			all[i] = 1
		}
		return nil
	case "allocate too much":
		_, err := unix.Mmap(-1, 0, int(5*one<<30), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	case "fill":
		return os.WriteFile(filepath.Join(os.Getenv("TRY_OWN"), "filled"), make([]byte, 1<<20), 0o600)
	case "stat":
		_, err := os.Stat(secret)
		if err == nil {
			_, err = os.Stat("/proc/" + user)
		}
		return err
	case "inotify":
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, filepath.Dir(secret), unix.IN_ALL_EVENTS)
		}
		return err
	case "fchmod":
		f, err := os.Open(file)
		if err == nil {
			err = f.Chmod(0o640)
		}
		return err
	case "truncate":
		return os.Truncate(secret, 3)
	case "signal":
		return syscall.Kill(pid, 0)
	case "unix":
		return dial(earPath)
	case "abstract":
		return dial("@" + earName)
	case "tcp":
		conn, err := net.DialTimeout("tcp", earTCP, 10*time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	case "mptcp":
		return errors.Join(socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP), listen())
	case "udp":
		conn, err := net.Dial("udp", "127.0.0.1:9")
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		return err
	default:
		return more(name, pid)
	}
}

func listen() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	return err
}

func more(name string, pid int) error {
	switch name {
	case "listen":
		return listen()
	case "netlink":
		return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	case "vsock":
		return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	case "packet":
		return socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	case "raw IP":
		return socket(unix.AF_INET, unix.SOCK_RAW, 1)
	case "ping socket":
		return socket(unix.AF_INET, unix.SOCK_DGRAM, 1)
	case "AF_INET by upper bits":
		return sys(unix.SYS_SOCKET, uintptr(one<<32)|unix.AF_INET, unix.SOCK_STREAM, 0)
	case "netlink by upper bits":
		return sys(unix.SYS_SOCKET, uintptr(one<<32)|unix.AF_NETLINK, unix.SOCK_RAW, 0)
	case "unix datagram":
		return socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	case "unix raw":
		return socket(unix.AF_UNIX, unix.SOCK_RAW, 0)
	case "pair of datagrams":
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		return err
	case "pair of streams":
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	case "unix listen":
		path := filepath.Join(os.Getenv("TRY_OWN"), "ear")
		_ = os.Remove(path)
		l, err := net.Listen("unix", path)
		if err == nil {
			err = l.Close()
		}
		return err
	case "chmod":
		return os.Chmod(secret, 0o600)
	case "priority":
		return unix.Setpriority(unix.PRIO_PROCESS, pid, 19)
	case "limits of another":
		return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 9, Max: 9}, nil)
	case "own limits":
		return unix.Prlimit(0, unix.RLIMIT_LOCKS, &unix.Rlimit{}, nil)
	case "keys":
		return sys(unix.SYS_ADD_KEY, text("user"), text("gatehost-test"), text("x"), 1, ^uintptr(1))
	case "shm":
		return sys(unix.SYS_SHMGET, 0, 4096, unix.IPC_CREAT|0o600)
	case "utimensat":
		return unix.UtimesNanoAt(unix.AT_FDCWD, secret, make([]unix.Timespec, 2), 0)
	case "futimens":
		f, err := os.Create(filepath.Join(os.Getenv("TRY_OWN"), "times"))
		if err == nil {
			err = sys(unix.SYS_UTIMENSAT, f.Fd(), 0, 0, 0)
		}
		return err
	case "file_setattr":
		return sys(469, ^uintptr(99), text(secret), 0, 0, 0)
	case "user namespace by clone":
		return sys(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
	case "x32":
		return sys(0x40000000 | unix.SYS_GETPID)
	case "child":
		return exec.Command("/bin/true").Run()
	case "capabilities":
		return capabilities()
	default:
		return errors.New("bug: unknown try")
	}
}

// capabilities fails when there is one, or when one can come back.
func capabilities() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	var found []string
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch {
		case key == "CapBnd" && os.Getenv("TRY_ROOT") == "":
		case strings.HasPrefix(key, "Cap") && strings.Trim(value, "0") != "", key == "NoNewPrivs" && value != "1":
			found = append(found, line)
		}
	}
	const locked = 0xef // no capability comes with uid 0
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if os.Getenv("TRY_ROOT") != "" && (err != nil || bits != locked) {
		found = append(found, "securebits "+strconv.Itoa(bits))
	}
	if len(found) > 0 {
		return errors.New(strings.Join(found, ""))
	}
	return nil
}
