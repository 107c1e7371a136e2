// Package foreignfile reads files that other programs made: they may be anything by the time they are opened. It never
// waits for the other end of a pipe, opens no device, and reads no more than its caller can hold.
package foreignfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Errors of Open and Read, beside those of the file system.
var (
	ErrNotRegular = errors.New("it is not a regular file")
	ErrTooLarge   = errors.New("it is too large")
)

// Open opens a regular file, or the target of a link, for reading. The kind is checked before, since opening a device
// may have effects, and again on the opened file, whose path may lead to a pipe by then. Errors: ErrNotRegular, or a
// *fs.PathError.
func Open(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0) //nolint:gosec // the caller decides which files it reads
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Read returns the content of a file of at most limit bytes. Errors: those of Open, and ErrTooLarge, before a byte is
// read where the file says its size.
func Read(path string, limit int64) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	tooLarge := &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)}
	if info.Size() > limit {
		return nil, tooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, tooLarge
	}
	return data, err
}
