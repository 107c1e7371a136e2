// Package atomicfile replaces whole files. A reader finds the old content or the new one, never a part of it, also
// after a crash.
//
// A file is written under a temporary name in the same directory, synced, and renamed; then its directory is synced.
// A symbolic link at the path is never followed: Write replaces the link itself, Replace and Update refuse it. Only
// Update may write in place.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix begins the name of a file that is not finished.
const tempPrefix = ".gatehost-"

// Write puts data at path with that mode. On an error the old file is still there, except that the new one may be
// when only syncing the directory failed.
func Write(path string, data []byte, mode fs.FileMode) error {
	return WriteAs(path, data, mode, Owner{})
}

// WriteAs is Write for a file that belongs to owner.
func WriteAs(path string, data []byte, mode fs.FileMode, owner Owner) error {
	return write(system(), path, data, mode, owner)
}

// Replace is Write with mode 0600 for a file that keeps its owner; a new file gets the owner of the directory. It
// refuses to replace what is not a regular file.
func Replace(path string, data []byte) error {
	owner := OwnerOfDir(filepath.Dir(path))
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("cannot write %s: it is not a regular file", path)
	case err == nil:
		owner = OwnerOf(info)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return WriteAs(path, data, 0o600, owner)
}

// Sweep removes what an earlier process has not finished in dir. Files that cannot be removed stay: they cost disk
// space only.
func Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// OwnerOfDir returns the owner that a new file in dir gets.
func OwnerOfDir(dir string) Owner {
	info, err := os.Stat(dir)
	if err != nil {
		return Owner{}
	}
	return OwnerOf(info)
}

// steps are the calls of a write that can fail; tests make each of them fail.
type steps struct {
	create  func(dir, pattern string) (*os.File, error)
	write   func(f *os.File, data []byte) (int, error)
	writeAt func(f *os.File, data []byte, at int64) (int, error)
	chmod   func(f *os.File, mode fs.FileMode) error
	chown   func(f *os.File, owner Owner) error
	sync    func(f *os.File) error
	close   func(f *os.File) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

func system() steps {
	return steps{
		create: os.CreateTemp, write: (*os.File).Write, writeAt: (*os.File).WriteAt,
		chmod: (*os.File).Chmod, chown: chown, sync: (*os.File).Sync,
		close:  (*os.File).Close,
		rename: os.Rename, syncDir: SyncDir,
	}
}

func write(do steps, path string, data []byte, mode fs.FileMode, owner Owner) (err error) {
	f, err := do.create(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name()) // renamed already when the directory could not be synced
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if _, err = do.write(f, data); err != nil {
		return err
	}
	if err = do.chmod(f, mode); err != nil {
		return err
	}
	if err = do.chown(f, owner); err != nil {
		return err
	}
	if err = do.sync(f); err != nil {
		return err
	}
	if err = do.close(f); err != nil {
		return err
	}
	if err = do.rename(f.Name(), path); err != nil {
		return err
	}
	return do.syncDir(filepath.Dir(path))
}
