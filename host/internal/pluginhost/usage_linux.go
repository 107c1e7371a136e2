package pluginhost

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// awaitExit waits for the end of a child without taking its status: until that is taken the kernel gives its number to
// no other process and no other group.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// usageOf returns the resident memory in bytes, and the number of threads, of all processes of a plugin: those with the
// mark of its sandbox, or without one those of its group. A launcher's gateways have groups of their own.
func usageOf(leader int, mark uint64) usage {
	if leader == 0 {
		return usage{}
	}
	if mark == 0 {
		mark = sandbox.MarkOf(leader)
	}
	var all usage
	if mark != 0 {
		for _, m := range sandbox.Members(func(other uint64) bool { return other == mark }) {
			all.rss += m.RSS
			all.tasks += m.Tasks
		}
		return all
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return usage{rss: rssOf(leader)}
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if group, err := unix.Getpgid(pid); err == nil && group == leader {
			all.rss += rssOf(pid)
		}
	}
	return all
}
