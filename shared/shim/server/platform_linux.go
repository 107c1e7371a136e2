package server

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// becomeSubreaper makes us the parent of every descendant whose own parent dies, whatever its session.
func becomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// enterGroup starts a process in a control group (Linux 5.7): it is never outside of it.
func enterGroup(sys *syscall.SysProcAttr, dir *os.File) {
	sys.UseCgroupFD, sys.CgroupFD = true, int(dir.Fd())
}

func replace(from, to int) error { return unix.Dup3(from, to, 0) }

// closeStrays closes descriptors that a careless parent left open in us: a plugin's pipe held for months would hide the
// plugin's death (R5). What the Go runtime opened for itself stays.
func closeStrays() {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd < 3 || fd == int(dir.Fd()) {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + name)
		if err == nil && !strings.HasPrefix(target, "anon_inode:[event") {
			_ = unix.Close(fd)
		}
	}
}
