package pluginhost

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
)

// What the data directory of a sandboxed plugin may hold.
const (
	maxDiskBytes = 4 << 30
	maxDiskFiles = 100_000
	diskEvery    = 30 * time.Second
)

// diskUse returns how many bytes and files are below a directory. It stops counting above most files: a plugin must
// not keep the host busy. Links are not followed, and what cannot be read counts as nothing.
func diskUse(dir string, most int) (size int64, files int) {
	rest := []string{dir}
	for len(rest) > 0 && files <= most {
		next := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		f, err := os.Open(next) //nolint:gosec // its own directory
		if err != nil {
			continue
		}
		for files <= most {
			part, err := f.ReadDir(1000) // not all at once: there may be millions
			for _, e := range part {
				files++
				if e.IsDir() {
					rest = append(rest, filepath.Join(next, e.Name()))
				} else if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
					size += info.Size()
				}
			}
			if err != nil { // io.EOF, or what cannot be read
				break
			}
		}
		_ = f.Close()
	}
	return size, files
}

// fullDisk fails when a sandboxed plugin has filled its data directory. Others may keep what they like.
func (s *supervisor) fullDisk(spec *Spec) error {
	if spec.Sandbox == nil {
		return nil
	}
	size, files := diskUse(s.dataDir(), maxDiskFiles)
	if size <= maxDiskBytes && files <= maxDiskFiles {
		return nil
	}
	return fault.New(fault.Exhausted, fmt.Sprintf("plugin %q has filled its data directory: %d MiB in %d files; at most "+
		"%d MiB and %d files", s.name, size>>20, files, maxDiskBytes>>20, maxDiskFiles)).
		WithHint("delete what it needs no more in " + s.dataDir() + ", then run `gatehost plugin restart " + s.name + "`")
}
