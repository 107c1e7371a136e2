//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
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
