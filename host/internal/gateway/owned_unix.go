//go:build unix

package gateway

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs reports whether a file belongs to the host's user.
func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
