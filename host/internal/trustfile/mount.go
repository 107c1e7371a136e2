//go:build linux || darwin

package trustfile

import (
	"io/fs"
	"syscall"
)

// readOnly is ST_RDONLY of Linux and MNT_RDONLY of macOS.
const readOnly = 1

// ofRootReadOnly reports whether a file belongs to root and is on a read-only mount.
func ofRootReadOnly(path string, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	var mount syscall.Statfs_t
	return ok && st.Uid == 0 && syscall.Statfs(path, &mount) == nil && mount.Flags&readOnly != 0
}
