//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
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

func chown(f *os.File, o Owner) error {
	if !o.known || os.Geteuid() != 0 {
		return nil // only root may change owners, and only root has to
	}
	return f.Chown(o.uid, o.gid)
}

// SyncDir makes what was created, renamed or removed in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory of a file that was just written
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
