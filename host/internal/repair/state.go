package repair

import (
	"fmt"

	"github.com/gatehost/gatehost/shared/fault"
)

// FileState is a configuration file at one moment: enough to say later whether it has changed. The zero value is a
// file that is not there.
type FileState struct {
	Path   string // links resolved
	Exists bool
	SHA256 string
	data   []byte
}

// StateOf reads a configuration file. Errors: it is no regular file, too large, or cannot be read.
func StateOf(path string) (FileState, error) {
	real, err := Resolve(path)
	if err != nil {
		return FileState{}, err
	}
	snap, err := read(real)
	if err != nil {
		return FileState{}, err
	}
	if len(snap.data) > maxContent {
		return FileState{}, fault.New(fault.Exhausted,
			fmt.Sprintf("cannot keep %s: it is larger than %d bytes", path, maxContent))
	}
	return FileState{Path: real, Exists: snap.exists, SHA256: snap.sum(), data: snap.data}, nil
}

// Data is what the file held. The caller must not change it.
func (f FileState) Data() []byte { return f.data }

// Same reports whether two looks saw the same file with the same content.
func (f FileState) Same(o FileState) bool {
	return f.Path == o.Path && f.Exists == o.Exists && f.SHA256 == o.SHA256
}
