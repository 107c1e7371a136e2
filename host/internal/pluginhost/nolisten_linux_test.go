package pluginhost_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// forbidSeccomp does to this thread what a strict container does to all: it may install no filters that notify, or none
// at all.
func forbidSeccomp(all bool) {
	runtime.LockOSThread()
	const setModeFilter, errno, allow = 1, 0x00050000, 0x7fff0000
	const load, equal, anyBit, ret, number, flags = 0x20, 0x15, 0x45, 0x06, 0, 24
	asked := uint32(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if all {
		asked = ^uint32(0)
	}
	prog := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_SECCOMP, Jf: 3},
		{Code: load, K: flags},
		{Code: anyBit, K: asked, Jf: 1},
		{Code: ret, K: errno | uint32(unix.EPERM)},
		{Code: ret, K: allow},
	}
	if all { // also those without flags
		prog[3] = unix.SockFilter{Code: load, K: number}
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, 0, uintptr(unsafe.Pointer(&fprog))); e != 0 {
		panic(e)
	}
}

// TestWithoutAListenerPluginsAreShutInAllTheSame: only what the plugin says itself is noticed then.
func TestWithoutAListenerPluginsAreShutInAllTheSame(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "id")
	put(t, secret, "canary")
	spec := testPlugin()
	spec.Sandbox, spec.Env = &sandbox.Spec{}, map[string]string{noSeccomp: "listener"}
	h, _ := newHost(t, quick(), spec)
	if _, err := attempt(t, h, "quietly read "+secret); err != nil {
		t.Fatal(err)
	}
	if got := refusedOf(h); len(got) != 0 {
		t.Errorf("noticed %v: the listener was not forbidden", got)
	}
	if _, err := attempt(t, h, "read "+secret); !errors.Is(err, fault.ErrPermissionDenied) {
		t.Errorf("error = %v", err)
	}
	if got := refusedOf(h); got[secret] != "read" {
		t.Errorf("noticed %v", got)
	}
	awaitState(t, h, pluginhost.Running)
}

// TestPluginDoesNotBeginWithoutItsFilter: a sandbox of a half would be none.
func TestPluginDoesNotBeginWithoutItsFilter(t *testing.T) {
	spec := testPlugin()
	spec.Sandbox, spec.Env = &sandbox.Spec{}, map[string]string{noSeccomp: "all"}
	h, _ := newHost(t, quick(), spec)
	if s := awaitState(t, h, pluginhost.BackingOff); s.Err == nil ||
		!strings.Contains(s.Err.Error(), "cannot refuse system calls to the plugin") {
		t.Errorf("error = %v", s.Err)
	}
}

// TestWatchOfAPluginLeavesNoDescriptor: neither the host nor the plugin keeps one.
func TestWatchOfAPluginLeavesNoDescriptor(t *testing.T) {
	h := shutIn(t, &sandbox.Spec{})
	p := pid(t, h)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", p, fd.Name())); strings.Contains(to, "seccomp") {
			t.Errorf("the plugin has %s -> %s", fd.Name(), to)
		}
	}
	listeners := func() int {
		n := 0
		own, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range own {
			if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.Contains(to, "seccomp") {
				n++
			}
		}
		return n
	}
	if n := listeners(); n == 0 {
		t.Error("the host does not listen")
	}
	h.Close()
	poll(t, "the end of the listener", func() bool { return listeners() == 0 })
}
