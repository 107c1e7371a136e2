//go:build unix

package trustfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// of is a file that belongs to a user and a group.
type of struct {
	fs.FileInfo

	uid, gid uint32
}

func (o of) Sys() any { return &syscall.Stat_t{Uid: o.uid, Gid: o.gid} }

// with makes a file or, for a mode with the bit of a directory, a directory.
func with(t *testing.T, path string, mode fs.FileMode) fs.FileInfo {
	t.Helper()
	var err error
	if mode.IsDir() {
		err = os.Mkdir(path, 0o700)
	} else {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		err = os.Chmod(path, mode.Perm()|mode&fs.ModeSticky)
	}
	info, statErr := os.Lstat(path)
	if err = errors.Join(err, statErr); err != nil {
		t.Fatal(err)
	}
	return info
}

const (
	stranger = 4711
	shared   = 4712 // a group that no file of accounts has
)

func TestFileThatOthersCanChangeIsToldInWords(t *testing.T) {
	me := uint32(os.Geteuid()) //nolint:gosec // a user
	for name, row := range map[string]struct {
		mode      fs.FileMode
		uid       uint32
		why, hint string
	}{
		"only mine":      {0o644, me, "", ""},
		"of root":        {0o755, 0, "", ""},
		"of a stranger":  {0o600, stranger, "it belongs to user 4711, who can change it", "run: chown root "},
		"for every user": {0o646, me, "every user may write to it (mode 0646)", "run: chmod go-w "},
		"for a group": {
			0o664, me, "its group 4712, which has other members, may write to it (mode 0664)", "run: chmod go-w ",
		},
		"for both":        {0o666, 0, "every user may write to it (mode 0666)", "run: chmod go-w "},
		"a directory":     {fs.ModeDir | 0o775, me, "its group 4712", "run: chmod go-w "},
		"read by a group": {0o640, me, "", ""},
	} {
		path := filepath.Join(t.TempDir(), "x")
		why, hint := Changeable(path, of{with(t, path, row.mode), row.uid, shared})
		if !strings.HasPrefix(why, row.why) || (why == "") != (row.why == "") || !strings.HasPrefix(hint, row.hint) ||
			(hint == "") != (row.hint == "") || hint != "" && !strings.Contains(hint, path) {
			t.Errorf("%s: %q (%q), want %q (%q)", name, why, hint, row.why, row.hint)
		}
	}
}

func TestSecretThatOthersCanReadIsToldInWords(t *testing.T) {
	me := uint32(os.Geteuid())   //nolint:gosec // a user
	mine := uint32(os.Getegid()) //nolint:gosec // a group
	for name, row := range map[string]struct {
		mode     fs.FileMode
		uid, gid uint32
		why      string
	}{
		"only mine":   {0o600, me, shared, ""},
		"read by all": {0o644, me, shared, "others can read it (mode 0644)"},
		"run by all":  {0o701, me, shared, "others can read it (mode 0701)"},
		"read by a group": {
			0o640, stranger, shared, "its group 4712, which has other members, can read it (mode 0640)",
		},
		"of root, read by the host's group":   {0o640, 0, mine, ""},
		"of root, read by another group":      {0o640, 0, shared, "its group 4712"},
		"of root, read by all":                {0o644, 0, mine, "others can read it (mode 0644)"},
		"of root, written by a strange group": {0o620, 0, shared, "its group 4712"},
	} {
		path := filepath.Join(t.TempDir(), "x")
		why, hint := Readable(path, of{with(t, path, row.mode), row.uid, row.gid})
		if !strings.HasPrefix(why, row.why) || (why == "") != (row.why == "") ||
			hint != "" && hint != "run: chmod go= "+path || (hint == "") != (row.why == "") {
			t.Errorf("%s: %q (%q), want %q", name, why, hint, row.why)
		}
	}
}

// TestHintIsACommandAlsoForAPathWithSpaces: it can be pasted into a shell.
func TestHintIsACommandAlsoForAPathWithSpaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's a file")
	if _, hint := Changeable(path, with(t, path, 0o666)); !strings.HasSuffix(hint, `it'\''s a file'`) {
		t.Errorf("hint = %s", hint)
	}
}

// TestGroupOfOneUserCountsAsTheUser: with the umask 002 of many systems, new files can be written by the group that
// each user has for itself.
func TestGroupOfOneUserCountsAsTheUser(t *testing.T) {
	a := accounts{
		passwd: func() string {
			return "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\nyou:x:1001:1001:::\n" +
				"guest:x:1002:50:::\nbroken\n"
		},
		group: func() string {
			return "root:x:0:\nme:x:1000:\nyou:x:1001:me\nstaff:x:50:\nteam:x:60:me,you\nmine:x:61:me,root\n" +
				"empty:x:62:\nbroken\n"
		},
	}
	for gid, want := range map[int]bool{
		0: true, 1000: true, 1001: false, 50: false, 60: false, 61: true, 62: true, 63: false, 100: false,
	} {
		if got := a.private(gid, 1000, 1000, 0); got != want {
			t.Errorf("group %d: private = %t, want %t", gid, got, want)
		}
	}
	if a.private(1000, 1001, 0) {
		t.Error("the group of another user is private")
	}
}

// TestDirectoriesAboveCountAlsoBehindLinks: who may write to one of them can put another file in the place.
func TestDirectoriesAboveCountAlsoBehindLinks(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("the temporary directory of macOS is behind links with owners of the system")
	}
	top := t.TempDir()
	open, closed := filepath.Join(top, "open"), filepath.Join(top, "closed")
	with(t, open, fs.ModeDir|0o777)
	with(t, closed, fs.ModeDir|0o700)
	with(t, filepath.Join(open, "in"), fs.ModeDir|0o700)
	with(t, filepath.Join(open, "in", "file"), 0o600)
	with(t, filepath.Join(closed, "file"), 0o600)
	link := func(name, target string) {
		if err := os.Symlink(target, filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("closed/out", "../open/in/file")
	link("closed/abs", filepath.Join(open, "in", "file"))
	link("open/back", filepath.Join(closed, "file"))
	link("closed/loop", "loop")
	link("closed/dir", "../open/in")
	for path, bad := range map[string]string{
		"closed/file":               "",
		"closed/../closed/./file":   "",
		"open/in/file":              open,
		"closed/out":                open,
		"closed/abs":                open,
		"open/back":                 open,
		"open/in/../../closed/file": open,
		"closed/dir/../in/file":     open, // the parent of what the link leads to
	} {
		path = top + "/" + path // not Join, which would take out ".."
		err := Check(path)
		p, ok := errors.AsType[*Problem](err)
		if bad == "" && err != nil || bad != "" && (!ok || p.Path != bad || !strings.Contains(p.Hint, "chmod go-w "+bad)) {
			t.Errorf("%s: %v, want %q", path, err, bad)
		}
		if above := Above(path); (above == nil) != (bad == "") {
			t.Errorf("%s: above it: %v", path, above)
		}
	}
	err := Check(filepath.Join(closed, "loop"))
	if err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("loop: %v", err)
	}
	if err := Check(filepath.Join(closed, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestStickyDirectoryIsFineForWhatIsOurs: in /tmp, no other user can replace our file, and a file of another user there
// is what that user makes of it.
func TestStickyDirectoryIsFineForWhatIsOurs(t *testing.T) {
	top := filepath.Join(t.TempDir(), "tmp")
	info := with(t, top, fs.ModeDir|fs.ModeSticky|0o777)
	path := filepath.Join(top, "file")
	mine := with(t, path, 0o600)
	if err := Check(path); err != nil {
		t.Errorf("ours: %v", err)
	}
	p, ok := errors.AsType[*Problem](directory(top, info, path, of{mine, stranger, shared}))
	if !ok || p.Path != path || !strings.Contains(p.Why, "user 4711") {
		t.Errorf("a stranger's: %v", p)
	}
	p, ok = errors.AsType[*Problem](directory(top, of{info, stranger, shared}, path, mine))
	if !ok || p.Path != top {
		t.Errorf("in a stranger's directory: %v", p)
	}
}

func TestSecretIsRefusedUnlessItsMountCanNotDoBetter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	with(t, path, 0o644)
	warning, err := Secret(path)
	if p, ok := errors.AsType[*Problem](err); !ok || warning != nil || p.Path != path {
		t.Errorf("%v, %v", warning, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if warning, err := Secret(path); warning != nil || err != nil {
		t.Errorf("%v, %v", warning, err)
	}
}
