package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/gatewayplace"
)

// DefaultPath returns where a configuration is searched when none is named: gatehost/config.toml in the user's
// configuration directory. "" when the platform does not say where that is.
func DefaultPath() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "gatehost", "config.toml")
}

// DefaultStateDir returns $XDG_STATE_HOME/gatehost, or the platform's place.
func DefaultStateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "gatehost"), nil
	}
	switch runtime.GOOS {
	case "darwin", "windows":
		dir, err := os.UserConfigDir()
		if runtime.GOOS == "windows" {
			dir, err = os.UserCacheDir() // the local, not the roaming place
		}
		if err != nil {
			return "", errors.New("there is no directory for state: set state_dir")
		}
		return filepath.Join(dir, "gatehost"), nil
	default:
		home, err := os.UserHomeDir()
		if err != nil || !filepath.IsAbs(home) {
			return "", errors.New("there is no directory for state: HOME is not set; set state_dir")
		}
		return filepath.Join(home, ".local", "state", "gatehost"), nil
	}
}

// DefaultPluginDir returns plugins/ next to the program, or ../libexec/gatehost/plugins when only that exists.
func DefaultPluginDir() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	beside := filepath.Join(filepath.Dir(exe), "plugins")
	libexec := filepath.Join(filepath.Dir(exe), "..", "libexec", "gatehost", "plugins")
	if _, err := os.Stat(beside); err != nil {
		if _, err := os.Stat(libexec); err == nil {
			return libexec
		}
	}
	return beside
}

// resolve makes every path absolute, relative to base, and fills in those that were not given. It finds gateways
// that would share one state directory.
func (c *Config) resolve(file, base string) Faults {
	d := &decoder{file: file, where: c.where}
	abs := func(path *string) {
		if *path == "" {
			return
		}
		whole, err := against(base, *path)
		if err != nil {
			d.faults = append(d.faults, Fault{File: file, Message: err.Error(), Hint: "write the whole path"})
			return
		}
		*path = whole
	}
	program := func(word *string) { // a bare name is searched elsewhere
		if strings.ContainsAny(*word, `/`+string(filepath.Separator)) {
			abs(word)
		}
	}
	if c.StateDir == "" {
		dir, err := DefaultStateDir()
		if err != nil {
			d.fault([]string{"state_dir"}, "", "%v", err)
			return d.faults
		}
		c.StateDir = dir
	}
	if c.PluginDir == "" {
		c.PluginDir = DefaultPluginDir()
	}
	abs(&c.StateDir)
	abs(&c.PluginDir)
	abs(&c.RuntimeIn)
	abs(&c.Control.Socket)
	for _, p := range c.Plugins {
		program(&p.Path)
		for _, list := range [][]string{p.Sandbox.Read, p.Sandbox.Write} {
			for i := range list {
				abs(&list[i])
			}
		}
	}
	for _, g := range c.Gateways {
		for _, path := range []*string{
			&g.Token.File, &g.Launch.Cwd, &g.Launch.EnvFile, &g.Launch.StateDir,
			&g.Launch.ConfigPath, &g.TLS.CA,
		} {
			abs(path)
		}
		for i := range g.Repair.EvidenceRead {
			abs(&g.Repair.EvidenceRead[i])
		}
		for i := range g.Launch.PathPrepend {
			abs(&g.Launch.PathPrepend[i])
		}
		if len(g.Launch.Command) > 0 {
			program(&g.Launch.Command[0])
		}
		for i := range g.Launch.Hooks {
			if cmd := g.Launch.Hooks[i].Command; len(cmd) > 0 {
				program(&cmd[0])
			}
			for j := range g.Launch.Hooks[i].Inputs {
				abs(&g.Launch.Hooks[i].Inputs[j])
			}
		}
	}
	d.checkStateDirs(c)
	return d.faults
}

// beginsWithVariable finds what a shell would replace: a directory of that name is not what anyone means.
var beginsWithVariable = regexp.MustCompile(`^\$(\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)(/|$)`)

// against makes a path absolute: relative to base, or to the home directory when it begins with ~/, as a shell would.
// Errors: a path that begins with the home of another user or with a variable, or a home that is not known.
func against(base, path string) (string, error) {
	switch rest, home := strings.CutPrefix(path, "~"); {
	case home && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator):
		dir, err := os.UserHomeDir()
		if err != nil || !filepath.IsAbs(dir) {
			return "", fmt.Errorf("%q is in the home directory, and HOME is not set", path)
		}
		return filepath.Join(dir, rest), nil
	case home:
		return "", fmt.Errorf("%q is in the home directory of another user, which gatehost does not look up", path)
	case filepath.IsAbs(path):
		return filepath.Clean(path), nil
	case beginsWithVariable.MatchString(path):
		return "", fmt.Errorf("%q begins with a variable, which gatehost does not expand", path)
	default:
		return filepath.Join(base, path), nil
	}
}

// checkStateDirs finds gateways with one state directory: OpenClaw ends the second gateway on it with exit code 78
// (R27, docs/openclaw.md §4).
// A gateway that is not named main gets a directory of its own.
func (d *decoder) checkStateDirs(c *Config) {
	owner := map[string]string{}
	for _, name := range c.GatewayNames() {
		g := c.Gateways[name]
		dir := g.Launch.StateDir
		if dir == "" && g.Launch.Profile == "openclaw" {
			if name != "main" && !gatewayplace.Chosen(g.Launch.Env, g.Launch.words()) {
				dir = gatewayStateDir(c.StateDir, name)
				g.Launch.StateDir, g.Launch.StateDirByDefault = dir, true
			} else {
				dir = g.Launch.place().StateDir
			}
		}
		if dir == "" {
			continue
		}
		dir = realPath(dir)
		if other, taken := owner[filepath.Clean(dir)]; taken {
			d.fault([]string{"gateways", name, "launch", "state_dir"}, "give each gateway a state_dir of its own",
				"%s is also the state directory of gateway %q", dir, other)
			continue
		}
		owner[filepath.Clean(dir)] = name
	}
}

// realPath resolves symbolic links as far as the path exists: the first start may create the directory itself.
func realPath(path string) string {
	rest := ""
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// words returns the arguments of the gateway's program.
func (l *Launch) words() []string { return slices.Concat(l.Command[min(1, len(l.Command)):], l.Args) }

// place returns where a gateway has its files, as far as this configuration and the host's own environment say it: an
// env_file is read with the launch.
func (l *Launch) place() gatewayplace.Place {
	env := map[string]string{}
	for _, name := range gatewayplace.Names() {
		if v, ok := os.LookupEnv(name); ok && (!l.ClearEnv || !strings.HasPrefix(name, "OPENCLAW_")) {
			env[name] = v
		}
	}
	maps.Copy(env, l.Env)
	home, _ := os.UserHomeDir() // without one there is no default place
	return gatewayplace.Find(gatewayplace.Query{
		StateDir: l.StateDir, ConfigPath: l.ConfigPath, Env: env, Args: l.words(), Cwd: l.Cwd, Home: home,
	})
}
