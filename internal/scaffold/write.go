package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehost/gatehost/shared/fault"
)

// write puts all files into dir, or none: it writes them into a directory next to dir, or inside it when dir exists
// already, and moves them when all are written.
func write(dir string, files map[string]file) (err error) {
	there, err := vacant(dir)
	if err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if there {
		parent = dir // it may be the directory of the author's shell: it stays
	}
	staging, err := os.MkdirTemp(parent, ".gatehost-new-")
	if errors.Is(err, fs.ErrNotExist) {
		return fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot make %s: there is no directory %s", dir, parent)).WithHint("make it first")
	}
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staging)) }()
	if err := fill(staging, files); err != nil {
		return fmt.Errorf("cannot make %s: %w", dir, err)
	}
	if there {
		return moveInto(dir, staging)
	}
	if err := os.Chmod(staging, 0o755); err != nil { //nolint:gosec // source, for every user to read
		return fmt.Errorf("cannot make %s: %w", dir, err)
	}
	if err := os.Rename(staging, dir); err != nil {
		return fmt.Errorf("cannot make %s: %w", dir, err)
	}
	return nil
}

// vacant reports whether dir exists, and refuses one that is not empty.
func vacant(dir string) (there bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot make a plugin in %s: %v", dir,
				err)).WithHint("name a directory that does not exist yet")
	case len(entries) > 0:
		return true, fault.New(fault.FailedPrecondition,
			fmt.Sprintf("cannot make a plugin in %s: it is not empty (%s is in it)", dir, entries[0].Name())).
			WithHint("name a directory that does not exist yet, or an empty one")
	}
	return true, nil
}

func fill(dir string, files map[string]file) error {
	for name, f := range files {
		target := filepath.Join(dir, filepath.FromSlash(name))
		//nolint:gosec // source, for every user to read
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if f.executable {
			mode = 0o755
		}
		if err := os.WriteFile(target, f.data, mode); err != nil {
			return err
		}
	}
	return nil
}

// moveInto moves the content of staging, which is inside dir, up into dir; when something cannot be moved nothing
// stays.
func moveInto(dir, staging string) error {
	entries, err := os.ReadDir(staging)
	var moved []string
	for _, e := range entries {
		target := filepath.Join(dir, e.Name())
		if err != nil {
			break
		}
		if err = os.Rename(filepath.Join(staging, e.Name()), target); err == nil {
			moved = append(moved, target)
		}
	}
	if err == nil {
		return nil
	}
	for _, target := range moved {
		err = errors.Join(err, os.RemoveAll(target))
	}
	return fmt.Errorf("cannot make %s: %w", dir, err)
}
