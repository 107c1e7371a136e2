//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Owner is the user and the group of a file; the zero value leaves them to the system. A host that runs as root must
// not take a file away from the user that the gateway runs as.
type Owner struct {
	known    bool
	uid, gid int
}

// OwnerOf returns the owner of a file.
func OwnerOf(info fs.FileInfo) Owner {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return Owner{known: true, uid: int(st.Uid), gid: int(st.Gid)}
	}
	return Owner{}
}

// mayBeGiven reports whether a new file can belong to the owner: root gives files to all, others to themselves, with a
// group that they are in.
func (o Owner) mayBeGiven() bool {
	if !o.known || os.Geteuid() == 0 {
		return true
	}
	groups, err := os.Getgroups()
	return o.uid == os.Geteuid() && (o.gid == os.Getegid() || err == nil && slices.Contains(groups, o.gid))
}

func chown(f *os.File, o Owner) error {
	switch {
	case !o.known:
		return nil
	case os.Geteuid() == 0:
		return f.Chown(o.uid, o.gid)
	case o.mayBeGiven():
		return f.Chown(-1, o.gid)
	}
	return nil // only root may give files away
}

// SyncDir makes what was created, renamed or removed in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory of a file that was just written
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
