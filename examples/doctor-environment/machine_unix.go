//go:build linux || darwin

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// readOnlyMount is ST_RDONLY of Linux and MNT_RDONLY of Darwin.
const readOnlyMount = 1

// spaceAt asks the kernel. A sandboxed plugin may: statfs reads no file.
func spaceAt(path string) space {
	if !filepath.IsAbs(path) {
		return space{}
	}
	path = existing(path, func(p string) bool {
		_, err := os.Lstat(p)
		return err == nil
	})
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return space{}
	}
	block := uint64(st.Bsize) //nolint:gosec,unconvert // int64 here, uint32 there, never negative
	return space{
		known: st.Blocks > 0, free: st.Bavail * block, total: st.Blocks * block, freeInodes: st.Ffree, inodes: st.Files,
		readOnly: uint64(st.Flags)&readOnlyMount != 0, at: path, //nolint:gosec,unconvert // see above
	}
}

func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("uid %d, mode %s", st.Uid, info.Mode())
}
