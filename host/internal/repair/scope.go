package repair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// scope is what a doctor may touch of a gateway.
type scope struct {
	gateway  string
	profile  string
	command  []string
	stateDir string
	config   string
}

func scopeOf(gw plugin.GatewayFacts) scope {
	return scope{gateway: gw.Name, profile: gw.Profile, command: gw.Command, stateDir: gw.StateDir, config: gw.ConfigPath}
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
	if s.isConfig(got) {
		return got, nil
	}
	if s.stateDir == "" {
		return "", refuse("the path %q is not the gateway's configuration, and its state directory is not known",
			bounded(p, 200))
	}
	root, err := Resolve(s.stateDir)
	if err != nil {
		return "", fault.Wrap(fault.NotFound, "cannot check the gateway's state directory", err)
	}
	rel, err := filepath.Rel(root, got)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", refuse("the path %q is outside the gateway's state directory", bounded(p, 200))
	}
	return got, nil
}

// isConfig reports whether a resolved path is the gateway's configuration file.
func (s scope) isConfig(resolved string) bool {
	if s.config == "" {
		return false
	}
	config, err := Resolve(s.config)
	return err == nil && config == resolved
}

// automatic reports why a plan may not be carried out without a request of the operator: it names another file than the
// gateway's configuration, and its doctor has no grant for that.
func (s scope) automatic(who Named, c checked) error {
	if who.Files {
		return nil
	}
	for _, file := range c.files {
		if !s.isConfig(file) {
			return fault.New(fault.FailedPrecondition, fmt.Sprintf("the plan is not carried out without a request: "+
				"it names %q, which is not the gateway's configuration", bounded(file, 200))).
				WithHint(fmt.Sprintf("run `gatehost doctor %s --repair --dry-run` to see the plan, and "+
					"`gatehost doctor %s --repair` to carry it out; to allow such plans always, add %q to plugins.%s.grant",
					s.gateway, s.gateway, plugin.GrantGatewayFiles, who.Name))
		}
	}
	return nil
}

// Resolve follows links, also of a file that does not exist yet.
func Resolve(p string) (string, error) {
	rest := ""
	for at := filepath.Clean(p); ; at = filepath.Dir(at) {
		got, err := filepath.EvalSymlinks(at)
		switch {
		case err == nil:
			return filepath.Join(got, rest), nil
		case !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at):
			return "", fault.Wrap(fault.InvalidArgument, "cannot resolve "+p, err)
		}
		if _, err := os.Lstat(at); err == nil {
			return "", refuse("the path %q leads through a link to nothing", bounded(p, 200))
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

const refused = "refused what the doctor proposed: "

func refuse(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, refused+fmt.Sprintf(format, args...)).
		WithHint("nothing was changed; report it to the author of the doctor")
}
