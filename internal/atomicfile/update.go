package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxInPlace bounds the old content that is held while a file is written in place.
const maxInPlace = 64 << 20

// Update replaces the content of a file of another program. It keeps the file's mode and owner, and makes a missing
// file with mode 0600 and the owner of its directory. It refuses what is not a regular file.
//
// It writes as Write does where it can. Where a rename cannot replace the file, or would give it another owner, it
// writes in place: a file that is a mount point, a directory that may not be written to, a file of another user. A
// failure then leaves the old content. A crash may leave a mix of both contents: keep a copy of the old one before.
func Update(path string, data []byte) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return WriteAs(path, data, 0o600, OwnerOfDir(filepath.Dir(path)))
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return UpdateAs(path, data, info.Mode().Perm(), OwnerOf(info))
}

// UpdateAs is Update with another mode and owner, as far as the caller may set them.
func UpdateAs(path string, data []byte, mode fs.FileMode, owner Owner) error {
	return update(system(), path, data, mode, owner)
}

func update(do steps, path string, data []byte, mode fs.FileMode, owner Owner) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return write(do, path, data, mode, owner)
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", path, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("cannot write %s: it is not a regular file", path)
	}
	cause := errOwner
	if owner.mayBeGiven() {
		if cause = write(do, path, data, mode, owner); cause == nil || !inTheWay(cause) {
			return cause
		}
	}
	if err := overwrite(do, path, info, data); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s in place: %w", path, err), cause)
	}
	if info.Mode().Perm() != mode {
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("wrote %s, but cannot set its mode: %w", path, err)
		}
	}
	return nil
}

var errOwner = errors.New("a new file would belong to another user or group")

// inTheWay reports whether a file cannot be replaced, although it may be possible to write it.
func inTheWay(err error) bool {
	for _, e := range []error{
		syscall.EBUSY, syscall.EXDEV, syscall.EACCES, syscall.EPERM, syscall.EROFS, // a mount, or the directory
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// overwrite writes into the file itself. What is longer comes first: a full disk is noticed before the old content is
// touched.
func overwrite(do steps, path string, was fs.FileInfo, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the caller's file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	now, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !os.SameFile(was, now):
		return errors.New("another file took its place")
	}
	old, err := io.ReadAll(io.LimitReader(f, maxInPlace+1))
	switch {
	case err != nil:
		return err
	case len(old) > maxInPlace:
		return fmt.Errorf("it is larger than %d bytes", maxInPlace)
	}
	defer func() {
		if err == nil {
			return
		}
		_, undo := f.WriteAt(old, 0)
		if undo = errors.Join(undo, f.Truncate(int64(len(old))), f.Sync()); undo != nil {
			err = errors.Join(err, fmt.Errorf("the old content could not be put back: %w", undo))
		}
	}()
	if len(data) > len(old) {
		if _, err := do.writeAt(f, data[len(old):], int64(len(old))); err != nil {
			return err
		}
	}
	if _, err := do.writeAt(f, data[:min(len(data), len(old))], 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	return do.sync(f)
}
