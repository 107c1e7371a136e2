//go:build unix

package trustfile

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Changeable says in words why another user could change a file or a directory, and what to run; "" when only its owner
// can, and the owner is this user or root. The owner's group counts as the owner when it has no other members, as the
// group has that many systems give each user. A symbolic link has no mode of its own.
func Changeable(path string, info fs.FileInfo) (why, hint string) {
	st, ok := info.Sys().(*syscall.Stat_t)
	perm, link := info.Mode().Perm(), info.Mode()&fs.ModeSymlink != 0
	switch {
	case perm&0o002 != 0 && !link:
		return fmt.Sprintf("every user may write to it (mode %04o)", perm), "run: chmod go-w " + quoted(path)
	case perm&0o020 != 0 && !link && ok && !privateGroup(st):
		return fmt.Sprintf("its group %d, which has other members, may write to it (mode %04o)", st.Gid, perm),
			"run: chmod go-w " + quoted(path)
	case !trustedOwner(info):
		return fmt.Sprintf("it belongs to user %d, who can change it", st.Uid), fmt.Sprintf("run: chown root %s"+
			", or give it to the user of the host", quoted(path))
	default:
		return "", ""
	}
}

// Readable says in words why another user could read a file, and what to run; "" when only its owner can. A file of
// root may be readable by the group of this process: there is no other way to give it to the host.
func Readable(path string, info fs.FileInfo) (why, hint string) {
	st, ok := info.Sys().(*syscall.Stat_t)
	perm := info.Mode().Perm()
	switch {
	case perm&0o007 != 0:
		return fmt.Sprintf("others can read it (mode %04o)", perm), "run: chmod go= " + quoted(path)
	case perm&0o070 != 0 && ok && !privateGroup(st) && (st.Uid != 0 || int(st.Gid) != os.Getegid()):
		return fmt.Sprintf("its group %d, which has other members, can read it (mode %04o)", st.Gid, perm),
			"run: chmod go= " + quoted(path)
	default:
		return "", ""
	}
}

func trustedOwner(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// quoted returns a path as a word of a shell.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+@%:,") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// privateGroup reports whether the group of a file has no members besides its owner, this user and root.
func privateGroup(st *syscall.Stat_t) bool {
	return groups.private(int(st.Gid), int(st.Uid), os.Geteuid(), 0)
}

// accounts are the texts of /etc/passwd and /etc/group. Both are small, and read only when a mode depends on them.
type accounts struct{ passwd, group func() string }

// private reports whether every member of a group, also as its primary group, is one of these users. A group that the
// files do not have is not known to be private.
func (a accounts) private(gid int, users ...int) bool {
	names := map[string]bool{}
	for line := range strings.Lines(a.passwd()) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		uid, err := strconv.Atoi(f[2])
		ours := err == nil && slices.Contains(users, uid)
		if ours {
			names[f[0]] = true
		}
		if f[3] == strconv.Itoa(gid) && !ours {
			return false
		}
	}
	known := false
	for line := range strings.Lines(a.group()) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[2] != strconv.Itoa(gid) {
			continue
		}
		known = true
		for member := range strings.SplitSeq(f[3], ",") {
			if member != "" && !names[member] {
				return false
			}
		}
	}
	return known
}
