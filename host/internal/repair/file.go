package repair

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehost/gatehost/internal/atomicfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// maxFile is the largest file that is backed up; a gateway's configuration has a few kilobytes.
const maxFile = 16 << 20

// snapshot is a file at one moment. Absent: exists false, the rest zero.
type snapshot struct {
	exists bool
	mode   fs.FileMode
	owner  atomicfile.Owner
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
		return snapshot{}, fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot read %s: it is not a regular file", path))
	}
	data, err := foreignfile.Read(path, maxFile)
	if errors.Is(err, foreignfile.ErrTooLarge) {
		return snapshot{}, fault.New(fault.Exhausted,
			fmt.Sprintf("cannot back up %s: it is larger than %d bytes", path, maxFile))
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return snapshot{exists: true, mode: info.Mode().Perm(), owner: atomicfile.OwnerOf(info), data: data}, nil
}

// restore makes path what s says.
func (s snapshot) restore(path string) error {
	if s.exists {
		return atomicfile.UpdateAs(path, s.data, s.mode, s.owner)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	err := atomicfile.SyncDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) { // the directory does not exist either
		return nil
	}
	return err
}

const (
	asideMark = ".broken-" // between the name of a file and the id of the repair that it was broken for
	keepAside = 5          // copies of broken files next to one file
)

// pruneAside removes the oldest copies next to a file.
func pruneAside(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // costs disk space only
	}
	var found []string
	for _, e := range entries { // in order of their names, and so of time
		id, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+asideMark)
		if ok && ValidID(id) && e.Type().IsRegular() {
			found = append(found, e.Name())
		}
	}
	for len(found) > keepAside {
		_ = os.Remove(filepath.Join(filepath.Dir(path), found[0]))
		found = found[1:]
	}
}
