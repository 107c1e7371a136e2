package repair

import (
	"fmt"
	"io/fs"
	"os"

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

// Readable returns why a gateway's configuration cannot be read by any program within reason: it is a pipe, a device or
// a directory, or larger than any configuration. A file that does not exist is no reason.
func Readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil //nolint:nilerr // the doctors find out what is wrong
	case !info.Mode().IsRegular():
		return fault.New(fault.FailedPrecondition,
			fmt.Sprintf("the configuration %s is no file but %s", path, kindOf(info.Mode()))).
			WithHint("move it away and put the configuration in its place")
	case info.Size() > maxFile:
		return fault.New(fault.FailedPrecondition,
			fmt.Sprintf("the configuration %s has %d MiB, and at most %d MiB are read", path, info.Size()>>20, maxFile>>20)).
			WithHint("move it away and put the configuration in its place")
	}
	return nil
}

// kindOf names what is no regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
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
