package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func file(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func holds(t *testing.T, path, want string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(got) != want || info.Mode().Perm() != mode {
		t.Errorf("it holds %q (%v, %v), mode %v; want %q, %v", got, err, statErr, info.Mode(), want, mode)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v (%v) are left", left, err)
	}
}

func TestUpdateKeepsTheMode(t *testing.T) {
	path := file(t, "old", 0o644)
	if err := Update(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "new", 0o644)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Update(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "first", 0o600)
}

// Where a rename cannot work, the same file gets the new content, longer or shorter; it stays the same file.
func TestFileThatCannotBeReplacedIsWrittenInPlace(t *testing.T) {
	for _, step := range []string{"create", "rename"} {
		for _, cause := range []syscall.Errno{syscall.EBUSY, syscall.EXDEV, syscall.EACCES, syscall.EPERM, syscall.EROFS} {
			for _, text := range []string{"x", "the new one is longer"} {
				path := file(t, "the old one", 0o640)
				before, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				do := failing(step)
				if step == "rename" {
					do.rename = func(from, to string) error { return &os.LinkError{Op: "rename", Old: from, New: to, Err: cause} }
				} else {
					do.create = func(dir, _ string) (*os.File, error) {
						return nil, &fs.PathError{Op: "open", Path: dir, Err: cause}
					}
				}
				if err := update(do, path, []byte(text), 0o640, Owner{}); err != nil {
					t.Errorf("%s: %v: %v", step, cause, err)
				}
				holds(t, path, text, 0o640)
				if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("%s: %v: it is another file", step, cause)
				}
			}
		}
	}
}

// Any other failure is no reason to write in place; a failure in place puts the old content back.
func TestFailureOfAnUpdateLeavesTheOldContent(t *testing.T) {
	path := file(t, "the old one", 0o600)
	if err := update(failing("sync"), path, []byte("new"), 0o600, Owner{}); !errors.Is(err, errInjected) {
		t.Errorf("a failed sync: %v", err)
	}
	holds(t, path, "the old one", 0o600)
	for _, fails := range []int{1, 2} {
		do := failing("rename")
		do.rename = func(string, string) error { return syscall.EBUSY }
		n := 0
		do.writeAt = func(f *os.File, data []byte, at int64) (int, error) {
			if n++; n == fails {
				_, _ = f.WriteAt(data[:len(data)/2], at) // a full disk
				return len(data) / 2, syscall.ENOSPC
			}
			return f.WriteAt(data, at)
		}
		err := update(do, path, []byte("THE NEW ONE, WHICH IS LONGER"), 0o600, Owner{})
		if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EBUSY) {
			t.Errorf("error %v, want both reasons", err)
		}
		holds(t, path, "the old one", 0o600)
	}
}

func TestUpdateRefusesWhatIsNoRegularFile(t *testing.T) {
	path := file(t, "x", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{link, filepath.Dir(path)} {
		if err := Update(p, []byte("new")); err == nil {
			t.Errorf("%s was written", p)
		}
	}
	holds(t, path, "x", 0o600)
}
