package pluginhost

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
)

// fileOf makes a file of a size that takes no room.
func fileOf(t *testing.T, size int64, elements ...string) {
	t.Helper()
	path := filepath.Join(elements...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfAllDirectoriesCountAndLinksDoNot(t *testing.T) {
	elsewhere, dir := t.TempDir(), t.TempDir()
	fileOf(t, 1000, elsewhere, "big")
	fileOf(t, 10, dir, "one")
	fileOf(t, 20, dir, "deep", "deeper", "two")
	for name, to := range map[string]string{"file": filepath.Join(elsewhere, "big"), "directory": elsewhere} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// one, deep, deeper, two, and the two links themselves
	if size, files := diskUse(dir, 1000); size != 30 || files != 6 {
		t.Errorf("%d bytes in %d files, want 30 in 6", size, files)
	}
	if size, files := diskUse(filepath.Join(dir, "absent"), 1000); size != 0 || files != 0 {
		t.Errorf("%d bytes in %d files of no directory", size, files)
	}
}

// TestCountOfFilesStopsAboveItsBound: in one directory, and before the next one.
func TestCountOfFilesStopsAboveItsBound(t *testing.T) {
	dir := t.TempDir()
	for n := range 1500 {
		fileOf(t, 0, dir, fmt.Sprint(n))
	}
	if _, files := diskUse(dir, 500); files != 1000 { // as many as are read at a time
		t.Errorf("%d files were counted, want 1000", files)
	}
	dir = t.TempDir()
	for n := range 30 {
		fileOf(t, 0, dir, fmt.Sprint(n%3), fmt.Sprint(n))
	}
	if _, files := diskUse(dir, 12); files != 13 {
		t.Errorf("%d files were counted, want those of one directory and the three directories", files)
	}
}

func TestDirectoryOfASandboxedPluginIsFullAboveItsBound(t *testing.T) {
	for _, row := range []struct {
		size int64
		shut *sandbox.Spec
		full bool
	}{
		{maxDiskBytes, &sandbox.Spec{}, false},
		{maxDiskBytes + 1, &sandbox.Spec{}, true},
		{maxDiskBytes + 1, nil, false},
	} {
		data := t.TempDir()
		fileOf(t, row.size, data, "p", "big")
		spec := &Spec{Name: "p", Sandbox: row.shut}
		s := newSupervisor(Options{Log: hclog.NewNullLogger(), DataDir: data}, *spec, "")
		if err := s.fullDisk(spec); row.full != (fault.CodeOf(err) == fault.Exhausted) || !row.full && err != nil {
			t.Errorf("%d bytes, sandbox %v: %v", row.size, row.shut, err)
		}
	}
}
