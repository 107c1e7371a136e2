package sandbox

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// marks is the limit that marks the processes of a plugin: the kernel has not used it since Linux 2.4, every child
// inherits it, no process may raise it, and the filter refuses to lower it. So a process cannot leave its plugin, by
// another group, session or parent.
const marks = unix.RLIMIT_LOCKS

// Member is a process that a sandbox holds.
type Member struct {
	PID   int
	Mark  uint64 // of its sandbox
	RSS   uint64 // resident memory in bytes
	Tasks int    // threads
}

// CanMark reports whether this process can give its children a mark.
func CanMark() bool {
	var now unix.Rlimit
	return unix.Getrlimit(marks, &now) == nil && now.Max == unix.RLIM_INFINITY
}

// Members returns the living processes whose sandbox has a mark for which is is true.
func Members(is func(mark uint64) bool) []Member {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []Member
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if mark := MarkOf(pid); mark != 0 && is(mark) {
			if m := (Member{PID: pid, Mark: mark}); m.measure() {
				out = append(out, m)
			}
		}
	}
	return out
}

// MarkOf returns the mark of the sandbox that holds a process; 0: none does, or the process has ended.
func MarkOf(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits") // all users may read it
	if err != nil {
		return 0
	}
	_, line, found := bytes.Cut(text, []byte("\nMax file locks "))
	if !found {
		return 0
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	fields := bytes.Fields(line) // soft, hard, unit
	if len(fields) < 2 {
		return 0
	}
	mark, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil || mark>>32 == 0 { // unlimited, as usual, or a limit that is meant as one
		return 0
	}
	return mark
}

// measure reports whether the process lives; a zombie does not.
func (m *Member) measure() bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(m.PID) + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "State":
			if strings.HasPrefix(value, "Z") || strings.HasPrefix(value, "X") {
				return false
			}
		case "VmRSS":
			kib, _ := strconv.ParseUint(strings.TrimSuffix(value, " kB"), 10, 64)
			m.RSS = kib << 10
		case "Threads":
			m.Tasks, _ = strconv.Atoi(value)
		}
	}
	return true
}

// EndMembers kills the living processes whose sandbox has a mark for which is is true, until none is left or the
// time is over, and returns how many are left. One that is killed may just have made another, so it looks again.
func EndMembers(is func(mark uint64) bool, within time.Duration) int {
	for deadline := time.Now().Add(within); ; time.Sleep(killPoll) {
		left := Members(is)
		if len(left) == 0 || time.Now().After(deadline) {
			return len(left)
		}
		for _, m := range left {
			kill(m)
		}
	}
}

const killPoll = 5 * time.Millisecond

// kill ends one process by a handle: when the handle still has the mark, its number was not given to another process.
func kill(m Member) {
	handle, err := unix.PidfdOpen(m.PID, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(handle) }()
	if MarkOf(m.PID) == m.Mark {
		_ = unix.PidfdSendSignal(handle, unix.SIGKILL, nil, 0)
	}
}
