package repair

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
)

// maxFile is the largest file that is backed up; a gateway's configuration has a few kilobytes.
const maxFile = 16 << 20

// snapshot is a file at one moment. Absent: exists false, the rest zero.
type snapshot struct {
	exists bool
	mode   fs.FileMode
	owner  owner
	data   []byte
}

func (s snapshot) sum() string {
	if !s.exists {
		return ""
	}
	sum := sha256.Sum256(s.data)
	return hex.EncodeToString(sum[:])
}

// read takes a snapshot of a regular file.
func read(path string) (snapshot, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshot{}, nil
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if !info.Mode().IsRegular() { // opening a pipe would hang
		return snapshot{}, fault.New(fault.FailedPrecondition, fmt.Sprintf("cannot read %s: it is not a regular file", path))
	}
	f, err := os.Open(path) //nolint:gosec // resolved and inside the scope, or a backup of ours
	if err != nil {
		return snapshot{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return snapshot{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return snapshot{}, fault.New(fault.Exhausted, fmt.Sprintf("cannot back up %s: it is larger than %d bytes", path, maxFile))
	}
	return snapshot{exists: true, mode: info.Mode().Perm(), owner: ownerOf(info), data: data}, nil
}

// restore makes path what s says.
func (s snapshot) restore(path string) error {
	if s.exists {
		return replace(path, s.data, s.mode, s.owner)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// replace puts new content at path in one step: whoever reads finds the old file or the new one, never half of it.
func replace(path string, data []byte, mode fs.FileMode, who owner) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = who.give(f); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

const (
	tempPrefix = ".gatehost-" // of what replace has not finished
	asideMark  = ".broken-"   // between the name of a file and the id of the repair that it was broken for
	keepAside  = 5            // broken files beside one file
)

// pruneAside removes the oldest of what was kept beside a file, by us.
func pruneAside(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // costs disk space only
	}
	var found []string
	for _, e := range entries { // in order of their names, and so of time
		id, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+asideMark)
		if ok && idPattern.MatchString(id) && e.Type().IsRegular() {
			found = append(found, e.Name())
		}
	}
	for len(found) > keepAside {
		_ = os.Remove(filepath.Join(filepath.Dir(path), found[0]))
		found = found[1:]
	}
}

// sweepTemp removes what a killed host has not finished writing in a directory.
func sweepTemp(dir string) {
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

// ownerOfDir is whom a new file in dir should belong to.
func ownerOfDir(dir string) owner {
	info, err := os.Stat(dir)
	if err != nil {
		return owner{}
	}
	return ownerOf(info)
}
