package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/trustfile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// executable is a plugin that was found, opened and checked; exactly what was checked will be run.
type executable struct {
	path     string             // what the operator named: a file, or a directory with a manifest
	file     *os.File           // what is executed: the plugin itself, or its interpreter
	argv     []string           // its command line, before the operator's own arguments
	manifest *manifest.Manifest // nil for a plugin that is one file
	checked  bool               // its checksum was compared, with the pin or with the manifest
}

// resolve finds, opens and checks a plugin. What it returns beside an error is for display only, and may be nil.
func resolve(ctx context.Context, s Spec, pluginDir string) (*executable, error) {
	path := s.Path
	if !strings.ContainsAny(path, `/\`) {
		path = filepath.Join(pluginDir, path)
		//mutate:ignore only Windows evaluates what follows the name of the system
		if runtime.GOOS == "windows" && filepath.Ext(path) == "" && !isDir(path) {
			path += ".exe"
		}
	}
	if isDir(path) {
		return resolveDir(ctx, s, path)
	}
	f, err := openProgram(s, path, "there is no such file",
		"build or install it, or set plugins."+s.Name+".path; bare names are looked up in plugin_dir ("+pluginDir+")")
	if err != nil {
		return nil, err
	}
	if err := checkSum(s, path, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &executable{path: path, file: f, argv: []string{path}, checked: s.SHA256 != ""}, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// openProgram opens a program that no other user may change; absent and hint are for the error when it does not exist.
func openProgram(s Spec, path, absent, hint string) (*os.File, error) {
	unreadable := func(err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return refuse(fault.NotFound, s, path, absent, hint)
		}
		return refuse(fault.PermissionDenied, s, path, err.Error(), "make it readable for the host's user")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(err)
	}
	if err := checkKind(s, path, info); err != nil {
		return nil, err
	}
	f, _, err := foreignfile.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	if err := check(s, path, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func check(s Spec, path string, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return refuse(fault.Internal, s, path, err.Error(), "")
	}
	if err := checkKind(s, path, info); err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o111 == 0 {
		return refuse(fault.PermissionDenied, s, path, "it is not executable", "run: chmod +x "+path)
	}
	if why, hint := trustfile.Changeable(path, info); why != "" {
		return refuse(fault.PermissionDenied, s, path, why, hint)
	}
	return checkDirs(s, path)
}

// checkSum compares a file with its pin, if it has one.
func checkSum(s Spec, path string, f *os.File) error {
	if s.SHA256 == "" {
		return nil
	}
	sum, err := sumOf(s, path, f)
	if err != nil {
		return err
	}
	return comparePin(s, path, "its", sum)
}

// sumOf returns the SHA-256 of a file in lower-case hex.
func sumOf(s Spec, path string, f *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", refuse(fault.Internal, s, path, "cannot read it: "+err.Error(), "")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// DetailSHA256 is the detail of an error that says which checksum was found instead of the pinned one.
const DetailSHA256 = "sha256"

// comparePin compares a checksum with the pin; of says whose checksum it is.
func comparePin(s Spec, path, of, got string) error {
	if s.SHA256 == "" || strings.EqualFold(got, s.SHA256) {
		return nil
	}
	return &fault.Error{
		Code: fault.PermissionDenied, Details: map[string]string{DetailSHA256: got},
		Message: cannotStart(s, path) + fmt.Sprintf("%s sha256 is %s, config.toml wants %s", of, got,
			strings.ToLower(s.SHA256)),
		Hint: "install the version that was pinned, or pin this one after checking where it came from; after a change of " +
			"config.toml run `gatehost config reload`",
	}
}

func checkKind(s Spec, path string, info os.FileInfo) error {
	switch {
	case info.IsDir():
		return refuse(fault.InvalidArgument, s, path, "it is a directory", "name an executable file")
	case !info.Mode().IsRegular():
		return refuse(fault.InvalidArgument, s, path, "it is not a regular file", "name an executable file")
	}
	return nil
}

// checkDirs refuses a plugin that another user could replace: by a directory on the way to it.
func checkDirs(s Spec, path string) error {
	err := trustfile.Above(path)
	if p, ok := errors.AsType[*trustfile.Problem](err); ok {
		return refuse(fault.PermissionDenied, s, path, "the directory "+p.Error(), p.Hint)
	}
	if err != nil {
		return refuse(fault.PermissionDenied, s, path, err.Error(), "make its directory readable for the host's user")
	}
	return nil
}

// checkSocketDir reports early, in words, what would fail as "invalid argument": a unix socket's path has at most 108
// bytes on Linux and 104 on macOS, its end included (R29).
func checkSocketDir(dir string) error {
	longest, most := len(filepath.Join(dir, "plugin-dir4294967295", "plugin4294967295")), 103
	if runtime.GOOS == "windows" || longest <= most {
		return nil
	}
	return fault.New(fault.FailedPrecondition,
		fmt.Sprintf("cannot make a socket in %s: its path would have %d bytes, at most %d fit", dir, longest, most)).
		WithHint("use a shorter runtime directory")
}

// refuse returns an error that names the plugin, the path and what to do.
func refuse(code fault.Code, s Spec, path, why, hint string) error {
	return fault.New(code, cannotStart(s, path)+why).WithHint(hint)
}

func cannotStart(s Spec, path string) string {
	return fmt.Sprintf("cannot start plugin %q (%s): ", s.Name, path)
}
