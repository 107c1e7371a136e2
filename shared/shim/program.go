package shim

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// FindProgram finds a program as execvp would: by its path, below cwd when that is relative, or in the directories of
// path, the PATH of the launch. cwd "" is the root directory.
func FindProgram(name, cwd, path string) (string, *Failure) {
	if cwd == "" {
		cwd = "/"
	}
	if fi, err := os.Stat(cwd); err != nil || !fi.IsDir() {
		return "", Failf(CodeInvalid, "cannot launch gateway: working directory %q: not a directory", cwd)
	}
	var candidates []string
	if strings.Contains(name, "/") {
		at := name
		if !filepath.IsAbs(at) {
			at = filepath.Join(cwd, at)
		}
		candidates = []string{at}
	} else {
		for _, dir := range filepath.SplitList(path) {
			if filepath.IsAbs(dir) { // a relative element would mean another program in each directory
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	denied := false
	for _, at := range candidates {
		switch fi, err := os.Stat(at); {
		case errors.Is(err, os.ErrPermission):
			denied = true
		case err != nil:
		case fi.IsDir() || fi.Mode().Perm()&0o111 == 0:
			denied = true
		default:
			return at, nil
		}
	}
	if denied {
		return "", Failf(CodePermission, "cannot launch gateway: exec %q: permission denied", name)
	}
	return "", Failf(CodeNotFound, "cannot launch gateway: exec %q: not found", name)
}
