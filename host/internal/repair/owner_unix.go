//go:build unix

package repair

import (
	"io/fs"
	"os"
	"syscall"
)

// owner is whom a file belongs to; the zero value leaves that to the system. A host that runs as root must not take a file away from the
// user that the gateway runs as.
type owner struct {
	known    bool
	uid, gid int
}

func ownerOf(info fs.FileInfo) owner {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return owner{known: true, uid: int(st.Uid), gid: int(st.Gid)}
	}
	return owner{}
}

func (o owner) give(f *os.File) error {
	if !o.known || os.Geteuid() != 0 {
		return nil // only root may, and only root has to
	}
	return f.Chown(o.uid, o.gid)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory of a file that was just written
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
