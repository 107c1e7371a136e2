// Package trustfile judges files that decide what runs as the host's user, and files that hold secrets: who else could
// change them, or read them. It knows modes and owners, not what the files mean. On Windows it accepts everything.
package trustfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Problem is why a file or a directory is not trusted.
type Problem struct {
	Path string
	Why  string // in words, with the mode or the owner
	Hint string // a command to run, or what else to do
}

// Error returns the path and why.
func (p *Problem) Error() string { return p.Path + ": " + p.Why }

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// Check returns a *Problem when another user could change a file or put another in its place: by its mode, by its
// owner, or by a directory on the way to it, links included. All owners must be the user of this process or root. Other
// errors are those of the file system.
func Check(path string) error {
	info, err := walk(path)
	if err != nil {
		return err
	}
	return problem(path, info, Changeable)
}

// Above is Check for the directories on the way to a file only.
func Above(path string) error {
	_, err := walk(path)
	return err
}

// Secret returns a *Problem when other users can read a file. Where the mount cannot do better, a file of root on a
// read-only mount, it returns the problem as a warning instead.
func Secret(path string) (warning *Problem, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	p, ok := errors.AsType[*Problem](problem(path, info, Readable))
	switch {
	case !ok:
		return nil, nil
	case ofRootReadOnly(path, info):
		p.Hint = "mount it so that only the user of the host can read it"
		return p, nil
	default:
		return nil, p
	}
}

func problem(path string, info fs.FileInfo, judge func(string, fs.FileInfo) (why, hint string)) error {
	if why, hint := judge(path, info); why != "" {
		return &Problem{Path: path, Why: why, Hint: hint}
	}
	return nil
}

// walk follows a path from the root, through links, and judges each directory that it looks a name up in. It returns
// what is at the end.
func walk(path string) (fs.FileInfo, error) {
	abs := path
	if !filepath.IsAbs(path) { // not filepath.Abs: without its links, x/.. would be another directory
		dir, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		abs = dir + string(filepath.Separator) + path
	}
	at := filepath.VolumeName(abs) + string(filepath.Separator)
	names := split(abs[len(filepath.VolumeName(abs)):])
	info, err := os.Lstat(at)
	if err != nil {
		return nil, err
	}
	links := 0
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if name == "." {
			continue
		}
		if name == ".." {
			at = filepath.Dir(at)
			if info, err = os.Lstat(at); err != nil {
				return nil, err
			}
			continue
		}
		next := filepath.Join(at, name)
		child, err := os.Lstat(next)
		if err != nil {
			return nil, err
		}
		if err := directory(at, info, next, child); err != nil {
			return nil, err
		}
		if child.Mode()&fs.ModeSymlink == 0 {
			at, info = next, child
			continue
		}
		if links++; links > maxLinks {
			return nil, fmt.Errorf("too many symbolic links on the way to %s", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return nil, err
		}
		names = append(split(target), names...)
		if filepath.IsAbs(target) {
			at = filepath.VolumeName(target) + string(filepath.Separator)
			if info, err = os.Lstat(at); err != nil {
				return nil, err
			}
		}
	}
	return info, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == filepath.Separator })
}

// directory judges a directory on the way to a child. In a sticky one, such as /tmp, all users may write, and none can
// replace what belongs to this user or to root.
func directory(path string, info fs.FileInfo, childPath string, child fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSticky == 0 || !trustedOwner(info):
		return problem(path, info, Changeable)
	case !trustedOwner(child):
		return problem(childPath, child, Changeable)
	default:
		return nil
	}
}
