package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errInjected = errors.New("injected")

// failing is the system with one step that fails.
func failing(step string) steps {
	do := system()
	switch step {
	case "create":
		do.create = func(string, string) (*os.File, error) { return nil, errInjected }
	case "write":
		do.write = func(f *os.File, data []byte) (int, error) {
			n, _ := f.Write(data[:len(data)/2]) // a full disk
			return n, errInjected
		}
	case "chmod":
		do.chmod = func(*os.File, fs.FileMode) error { return errInjected }
	case "chown":
		do.chown = func(*os.File, Owner) error { return errInjected }
	case "sync":
		do.sync = func(*os.File) error { return errInjected }
	case "close":
		do.close = func(f *os.File) error { return errors.Join(f.Close(), errInjected) }
	case "rename":
		do.rename = func(string, string) error { return errInjected }
	case "syncDir":
		do.syncDir = func(string) error { return errInjected }
	}
	return do
}

func TestFailureAtAnyStepLeavesOneWholeFile(t *testing.T) {
	for _, step := range []string{"create", "write", "chmod", "chown", "sync", "close", "rename", "syncDir"} {
		for _, old := range []string{"", "old content"} {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if old != "" {
				if err := os.WriteFile(path, []byte(old), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			err := write(failing(step), path, []byte("new content"), 0o600, Owner{})
			if !errors.Is(err, errInjected) || !strings.HasPrefix(err.Error(), "cannot write "+path+": ") {
				t.Errorf("%s fails: error is %v", step, err)
			}
			want, names := old, 1
			if step == "syncDir" { // it is replaced, but may not survive a crash
				want = "new content"
			} else if old == "" {
				names = 0
			}
			got, err := os.ReadFile(path)
			if string(got) != want || want != "" && err != nil {
				t.Errorf("%s fails: the file holds %q (%v), want %q", step, got, err, want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != names {
				t.Errorf("%s fails: %v (%v) are left, want %d", step, left, err, names)
			}
		}
	}
}
