package repair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

const (
	maxArgs     = 256
	maxArgBytes = 32 << 10
)

// scope is what a doctor may touch of a gateway.
type scope struct {
	command  []string
	stateDir string
	config   string
}

func scopeOf(gw plugin.GatewayFacts) scope {
	return scope{command: gw.Command, stateDir: gw.StateDir, config: gw.ConfigPath}
}

// argv accepts the gateway's command with more arguments. Nothing else is ever run for a doctor.
func (s scope) argv(argv []string) error {
	n := len(s.command)
	switch {
	case n == 0:
		return refuse("the gateway has no launch command")
	case len(argv) <= n || !slices.Equal(argv[:n], s.command):
		return refuse("the command %q does not begin with the gateway's own %q",
			bounded(strings.Join(argv, " "), 200), bounded(strings.Join(s.command, " "), 200))
	case len(argv) > maxArgs:
		return refuse("the command has %d arguments, the limit is %d", len(argv), maxArgs)
	}
	for _, a := range argv {
		if len(a) > maxArgBytes || strings.ContainsRune(a, 0) {
			return refuse("an argument is longer than %d bytes or holds a NUL", maxArgBytes)
		}
	}
	return nil
}

// path resolves a doctor's path to its file, links followed. The file need not exist, its directory must.
func (s scope) path(p string) (string, error) {
	if !filepath.IsAbs(p) || strings.ContainsRune(p, 0) {
		return "", refuse("the path %q is not absolute", bounded(p, 200))
	}
	got, err := Resolve(p)
	if err != nil {
		return "", err
	}
	if s.config != "" {
		if config, err := Resolve(s.config); err == nil && config == got {
			return got, nil
		}
	}
	if s.stateDir == "" {
		return "", refuse("the path %q is not the gateway's configuration, and its state directory is not known",
			bounded(p, 200))
	}
	root, err := filepath.EvalSymlinks(s.stateDir)
	if err != nil {
		return "", fault.Wrap(fault.NotFound, "cannot check the gateway's state directory", err)
	}
	rel, err := filepath.Rel(root, got)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", refuse("the path %q is outside the gateway's state directory", bounded(p, 200))
	}
	return got, nil
}

// Resolve follows links, also of a file that does not exist yet.
func Resolve(p string) (string, error) {
	p = filepath.Clean(p)
	got, err := filepath.EvalSymlinks(p)
	if err == nil {
		return got, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fault.Wrap(fault.InvalidArgument, "cannot resolve "+p, err)
	}
	if _, err := os.Lstat(p); err == nil {
		return "", refuse("the path %q is a link to nothing", bounded(p, 200))
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(p))
	if err != nil {
		return "", fault.Wrap(fault.NotFound, "cannot resolve the directory of "+p, err)
	}
	return filepath.Join(dir, filepath.Base(p)), nil
}

const refused = "refused what the doctor proposed: "

func refuse(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, refused+fmt.Sprintf(format, args...)).
		WithHint("nothing was changed; report it to the author of the doctor")
}
