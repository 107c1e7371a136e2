package atomicfile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/atomicfile"
)

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteReplacesTheContentAndTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, step := range []struct {
		text string
		mode os.FileMode
	}{{"one", 0o600}, {"two, longer", 0o644}, {"", 0o600}} {
		if err := atomicfile.Write(path, []byte(step.text), step.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != step.text || runtime.GOOS != "windows" && info.Mode().Perm() != step.mode {
			t.Errorf("%q with %v, want %q with %v", got, info.Mode(), step.text, step.mode)
		}
	}
	if got := names(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("the directory holds %q", got)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("target"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	if err := atomicfile.Replace(link, []byte("new")); err == nil ||
		!strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("Replace of a link: %v", err)
	}
	if err := atomicfile.Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() || content(t, link) != "new" ||
		content(t, target) != "target" {
		t.Errorf("%v, %v: link %q, target %q", info, err, content(t, link), content(t, target))
	}
}

func TestReplaceMakesAFilePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"new", "again"} {
		if err := atomicfile.Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || content(t, path) != text || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%q, %v, %v", content(t, path), info, err)
		}
		if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // Replace has to close it again
			t.Fatal(err)
		}
	}
}

func TestWhatCannotBeReplacedStaysAndLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{full, filepath.Join(dir, "missing", "f")} {
		if err := atomicfile.Write(path, []byte("new"), 0o600); err == nil ||
			!strings.Contains(err.Error(), "cannot write "+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
}

func TestSweepRemovesUnfinishedFilesOnly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".gatehost-123", "f", ".other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".gatehost-dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	atomicfile.Sweep(dir)
	if got := strings.Join(names(t, dir), " "); got != ".gatehost-dir .other f" {
		t.Errorf("left: %s", got)
	}
	atomicfile.Sweep(filepath.Join(dir, "missing"))
}

func TestFilesOfRootKeepTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Chown(dir, 4711, 4712); err != nil {
		t.Skip(err)
	}
	owner := func() atomicfile.Owner {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return atomicfile.OwnerOf(info)
	}
	if err := atomicfile.Replace(path, []byte("a")); err != nil || owner() != atomicfile.OwnerOfDir(dir) {
		t.Errorf("a new file belongs to %+v, %v", owner(), err)
	}
	if err := os.Chown(path, 4713, 4714); err != nil {
		t.Fatal(err)
	}
	before := owner()
	if err := atomicfile.Replace(path, []byte("b")); err != nil || owner() != before {
		t.Errorf("a replaced file belongs to %+v, want %+v (%v)", owner(), before, err)
	}
}
