//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Ours reports whether a file belongs to the user that this process runs as.
func Ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// ownerOf returns the owner of a file in words.
func ownerOf(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("user %d", st.Uid)
	}
	return "another user"
}

// homeOf returns the owner of another user's home directory in which a process of euid works; "" when it is its own.
// Only root is told: any other user can make nothing there that the owner could not remove.
func homeOf(euid int, home string) string {
	info, err := os.Stat(home)
	if euid != 0 || err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return ""
	}
	if u, err := user.LookupId(strconv.Itoa(int(st.Uid))); err == nil {
		return fmt.Sprintf("user %s (uid %d)", u.Username, st.Uid)
	}
	return fmt.Sprintf("uid %d", st.Uid)
}
