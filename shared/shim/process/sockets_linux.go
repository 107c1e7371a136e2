package process

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Sockets remembers the listening TCP sockets of a tree from one look to the next: a process that inherited one may be
// found by it after the member that opened it is gone. The zero value is ready; it belongs to one goroutine.
type Sockets struct {
	inodes map[uint64]bool
	uids   map[uint32]bool // of members
}

// sharers notes the sockets of members, and answers who shares one of them. Only a process that is not older than the
// roots can have inherited one; init, we and those above us are never meant.
func (s *Sockets) sharers(roots []Identity, members map[int]entry, all []entry) []entry {
	s.note(members)
	oldest := eldest(roots)
	if len(s.inodes) == 0 || oldest == 0 {
		return nil
	}
	above := ancestors(all)
	var found []entry
	for _, e := range all {
		_, member := members[e.PID]
		if member || e.PID <= 1 || above[e.PID] || ticks(e.StartTime) < oldest || !s.ownedAlike(e.PID) {
			continue
		}
		if slices.ContainsFunc(socketsOf(e.PID), func(inode uint64) bool { return s.inodes[inode] }) {
			found = append(found, e)
		}
	}
	return found
}

func (s *Sockets) note(members map[int]entry) {
	if s.inodes == nil {
		s.inodes, s.uids = map[uint64]bool{}, map[uint32]bool{}
	}
	listening := map[string]map[uint64]bool{} // by network namespace
	for pid := range members {
		if pid == os.Getpid() {
			continue
		}
		if uid, ok := owner(pid); ok {
			s.uids[uid] = true
		}
		own := socketsOf(pid)
		if len(own) == 0 {
			continue
		}
		space, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
		if err != nil {
			continue
		}
		if listening[space] == nil {
			listening[space] = listeners(pid)
		}
		for _, inode := range own {
			if listening[space][inode] {
				s.inodes[inode] = true
			}
		}
	}
}

func (s *Sockets) ownedAlike(pid int) bool {
	uid, ok := owner(pid)
	return ok && s.uids[uid]
}

func owner(pid int) (uint32, bool) {
	fi, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return st.Uid, ok
}

// eldest is the earliest start of roots in ticks since the boot.
func eldest(roots []Identity) uint64 {
	oldest := uint64(0)
	for _, r := range roots {
		if t := ticks(r.StartTime); t > 0 && (oldest == 0 || t < oldest) {
			oldest = t
		}
	}
	return oldest
}

func ticks(start string) uint64 {
	t, _ := strconv.ParseUint(start, 10, 64)
	return t
}

// ancestors is we and all above us.
func ancestors(all []entry) map[int]bool {
	parent := make(map[int]int, len(all))
	for _, e := range all {
		parent[e.PID] = e.ppid
	}
	above := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !above[pid]; pid = parent[pid] {
		above[pid] = true
	}
	return above
}

// socketsOf lists the inodes of a process's sockets; none when it may not be looked at.
func socketsOf(pid int) []uint64 {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var inodes []uint64
	for _, name := range names {
		target, err := os.Readlink(path + "/" + name)
		if err != nil {
			continue
		}
		if text, ok := strings.CutPrefix(target, "socket:["); ok {
			if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				inodes = append(inodes, inode)
			}
		}
	}
	return inodes
}

// listeners lists the inodes of all listening TCP sockets in a process's network (proc_pid_net(5), tcp: state is field
// 4, inode field 10).
func listeners(pid int) map[uint64]bool {
	const listen = "0A"
	inodes := map[uint64]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/net/" + name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			field := strings.Fields(lines.Text())
			if len(field) < 10 || field[3] != listen {
				continue
			}
			if inode, err := strconv.ParseUint(field[9], 10, 64); err == nil {
				inodes[inode] = true
			}
		}
		f.Close()
	}
	return inodes
}
