package httpapi

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPeerWithoutAHandleIsKnownByItsNumber: as on Linux before 6.5.
func TestPeerWithoutAHandleIsKnownByItsNumber(t *testing.T) {
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	unsupported := error(unix.ENOPROTOOPT)
	for name, row := range map[string]struct {
		who  peer
		want bool
	}{
		"lives":                      {peer{pid: os.Getpid(), handleErr: unsupported}, false},
		"has ended":                  {peer{pid: ended.Process.Pid, handleErr: unsupported}, true},
		"the kernel says so":         {peer{pid: os.Getpid(), handleErr: unix.ESRCH}, true},
		"of another pid namespace":   {peer{handleErr: unsupported}, false},
		"of another one, and no pid": {peer{handleErr: unix.ESRCH}, false},
	} {
		if got := row.who.gone(noHandle); got != row.want {
			t.Errorf("%s: gone %t", name, got)
		}
	}
}

// TestPeerHasAHandleWhereTheKernelGivesOne: it shows the end of a process whose number is not free yet.
func TestPeerHasAHandleWhereTheKernelGivesOne(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	taken, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	unixConn := taken.(*net.UnixConn) //nolint:forcetypeassert // of a unix socket
	who, handle := credentialsOf(unixConn)
	if who.err != nil || who.pid != os.Getpid() || who.uid != os.Getuid() || who.pgid != unix.Getpgrp() ||
		(handle == noHandle) != (who.handleErr != nil) {
		t.Errorf("%+v, handle %d", who, handle)
	}
	if errors.Is(who.handleErr, unix.ENOPROTOOPT) {
		t.Log("this kernel gives no handles")
	} else if target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(handle)); err != nil || target == "" ||
		who.gone(handle) {
		t.Errorf("handle %d: %q, %v; gone", handle, target, err)
	} else if _, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(handle)); err == nil {
		t.Error("the handle was not closed")
	}
	_ = taken.Close()
	if who, handle := credentialsOf(unixConn); who.err == nil || handle != noHandle {
		t.Errorf("of a closed connection: %+v, %d", who, handle)
	}
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(zombie.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, zombie.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if !(peer{pid: zombie.Process.Pid}).gone(pidfd) {
		t.Error("a process that has ended and was not waited for counts as alive")
	}
	_ = zombie.Wait()
}
