//go:build unix

package manifest

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Changeable says in words why another user could change a file or a directory, and what to do; "" when only its
// owner can, and the owner is this user or root. A symbolic link has no mode of its own.
func Changeable(path string, info fs.FileInfo) (why, hint string) {
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSymlink == 0 {
		return "every user may write to it", "run: chmod o-w " + path
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Sprintf("it belongs to user %d, who can change it", st.Uid), "run: chown root " + path +
			", or give it to the user of the host"
	}
	return "", ""
}
