package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// aloneArg is the first argument of the process that contains a test.
const aloneArg = "-alone"

// alone returns a command that runs a program where it sees no process of others, has a network of its own, and can
// write only below the places: a negated condition may send signals to all processes, or remove all files. What the
// program leaves ends with it.
func alone(ctx context.Context, places []string, name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	cmd := exec.CommandContext(ctx, self, append([]string{aloneArg, strings.Join(places, ":"), name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Setsid:     true, Pdeathsig: syscall.SIGKILL,
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{capSysAdmin, capNetAdmin}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	return cmd
}

const (
	capNetAdmin = 12
	capSysAdmin = 21
)

// runAlone is the other side of alone: process 1 of its namespace, with which the kernel ends all others.
func runAlone(args []string) int {
	if os.Getpid() != 1 { // it would change the mounts of the whole machine
		fmt.Fprintln(os.Stderr, "cannot contain a test outside of a namespace")
		return 1
	}
	if err := contain(strings.Split(args[0], ":")); err != nil {
		fmt.Fprintln(os.Stderr, "cannot contain a test:", err)
		return 1
	}
	const prCapAmbient, clearAll = 47, 4
	runtime.LockOSThread()
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, prCapAmbient, clearAll, 0, 0, 0, 0) // the test gets what its user has
	path, err := exec.LookPath(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	//nolint:gosec // it runs what the other side says
	child, err := os.StartProcess(path, args[1:], &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for { // children whose parent has ended are ours, too
		var status syscall.WaitStatus
		switch pid, err := syscall.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		case pid == child.Pid && status.ExitStatus() == 0:
			return 0
		case pid == child.Pid:
			return 1
		}
	}
}

// contain makes all files unchangeable outside of the places, and shows the processes of this namespace alone.
func contain(places []string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, place := range places {
		if err := syscall.Mount(place, place, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s: %w", place, err)
		}
	}
	if err := setReadOnly("/", true); err != nil {
		return fmt.Errorf("make files unchangeable: %w", err)
	}
	for _, place := range places {
		if err := setReadOnly(place, false); err != nil {
			return fmt.Errorf("make %s changeable: %w", place, err)
		}
	}
	for _, place := range []string{"/dev", "/sys/fs/cgroup"} { // a container may have none that can be changed
		_ = setReadOnly(place, false)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return startLoopback()
}

// startLoopback gives a new network its 127.0.0.1 and ::1.
func startLoopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("start the network: %w", err)
	}
	defer func() { _ = syscall.Close(fd) }()
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	//nolint:gosec // so the call wants it
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS,
		uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("start the network: %w", errno)
	}
	return nil
}

// setReadOnly sets or clears that a mount, and all below it, cannot be changed.
func setReadOnly(place string, on bool) error {
	const sysMountSetattr, atRecursive, readOnly = 442, 0x8000, 1
	var attr struct{ set, clear, propagation, userns uint64 }
	if attr.clear = readOnly; on {
		attr.set, attr.clear = readOnly, 0
	}
	path, err := syscall.BytePtrFromString(place)
	if err != nil {
		return err
	}
	const atFdcwd = ^uintptr(99) // -100
	//nolint:gosec // so the call wants it
	_, _, errno := syscall.Syscall6(sysMountSetattr, atFdcwd, uintptr(unsafe.Pointer(path)), atRecursive,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
