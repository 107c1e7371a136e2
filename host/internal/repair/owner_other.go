//go:build !unix

package repair

import (
	"io/fs"
	"os"
)

// owner is nothing here: a new file belongs to whom its directory says.
type owner struct{}

func ownerOf(fs.FileInfo) owner { return owner{} }

func (owner) give(*os.File) error { return nil }

// syncDir: directories cannot be synced here.
func syncDir(string) error { return nil }
