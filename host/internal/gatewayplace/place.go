// Package gatewayplace decides which files are an OpenClaw gateway's own: its state directory and its configuration. It
// follows the rules of OpenClaw 2026.9.6 (docs/openclaw.md §2): the variables OPENCLAW_CONFIG_PATH, OPENCLAW_STATE_DIR
// and OPENCLAW_HOME, the options --profile and --dev, the .env file of the state directory, and the names that OpenClaw
// had earlier. Everything in gatehost that reads, writes, shows or grants access to those files asks this package.
//
// It reads no file but that .env, and changes nothing.
package gatewayplace

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The variables that decide.
const (
	envConfig  = "OPENCLAW_CONFIG_PATH"
	envState   = "OPENCLAW_STATE_DIR"
	envHome    = "OPENCLAW_HOME"
	envProfile = "OPENCLAW_PROFILE"
	envRoots   = "OPENCLAW_INCLUDE_ROOTS"
)

// Names returns the variables of a gateway's environment that Find reads.
func Names() []string {
	return []string{envConfig, envState, envHome, envProfile, envRoots, "HOME", "USERPROFILE"}
}

const (
	dirName    = ".openclaw"
	configName = "openclaw.json"
	// the names that OpenClaw had before; it still reads them when there is nothing under the present names
	oldDirName    = ".clawdbot"
	oldConfigName = "clawdbot.json"
)

// Query is what decides.
type Query struct {
	StateDir   string            // launch.state_dir: it replaces OPENCLAW_STATE_DIR; "": not set
	ConfigPath string            // launch.config_path: it replaces OPENCLAW_CONFIG_PATH; "": not set
	Env        map[string]string // the whole environment of the gateway
	Args       []string          // its arguments, without the program
	Cwd        string            // "": the root directory, as for every launch
	Home       string            // of the user, for an environment without HOME
	Read       func(path string) ([]byte, error)
	Exists     func(path string) bool
}

// Place is where a gateway has its files.
type Place struct {
	StateDir   string
	ConfigPath string
	// By names what decided where the configuration is: a key of config.toml, a variable, an option, or "default".
	By      string
	Profile string // that --profile or --dev names; "" without one
	// Roots are the directories besides that of the configuration from which it may include files.
	Roots []string

	home   string
	dotenv map[string]string
}

// Absolute makes a path absolute that the gateway's configuration names: ~ is OpenClaw's home, and a relative path
// starts at the working directory.
func (p Place) Absolute(path, cwd string) string {
	if path = inHome(path, p.home); filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(cwd, path)
}

// Variable returns a value that the gateway takes from the .env file of its state directory; its environment has
// priority over it. "" when the file does not say it.
func (p Place) Variable(name string) string { return p.dotenv[name] }

// Find returns the place of a gateway. Without any home directory, and without a variable that names a place, it is
// the zero Place.
func Find(q Query) Place {
	f := finder{q: q, env: map[string]string{}}
	for k, v := range q.Env {
		f.env[k] = strings.TrimSpace(v)
	}
	if f.q.Exists == nil {
		f.q.Exists = func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		}
	}
	if f.q.Read == nil {
		f.q.Read = readSmall
	}
	by := map[string]string{envConfig: envConfig, envState: envState}
	if q.StateDir != "" {
		f.env[envState], by[envState] = q.StateDir, "launch.state_dir"
	}
	if q.ConfigPath != "" {
		f.env[envConfig], by[envConfig] = q.ConfigPath, "launch.config_path"
	}
	p := Place{}
	if name, option := Profile(q.Args); name != "" {
		p.Profile = name
		state, config := f.env[envState], f.env[envConfig]
		f.selectProfile(name)
		if f.env[envState] != state {
			by[envState] = option
		}
		if f.env[envConfig] != config {
			by[envConfig] = option
			if f.env[envState] == state { // the option only repeats what the state directory says
				by[envConfig] = by[envState]
			}
		}
	}
	p.dotenv = f.dotenv()
	for _, name := range []string{envState, envConfig} {
		if v := p.dotenv[name]; v != "" && f.env[name] == "" {
			f.env[name], by[name] = v, name+" in "+filepath.Join(f.stateDir(), ".env")
		}
	}
	p.StateDir = f.stateDir()
	p.ConfigPath = f.configPath(p.StateDir)
	p.Roots, p.home = f.roots(), f.home()
	switch {
	case f.env[envConfig] != "":
		p.By = by[envConfig]
	case f.env[envState] != "":
		p.By = by[envState]
	case given(f.env[envHome]) != "":
		p.By = envHome
	case p.ConfigPath != "":
		p.By = "default"
	}
	return p
}

// Chosen reports whether an environment or arguments say where a gateway stores its state.
func Chosen(env map[string]string, args []string) bool {
	name, _ := Profile(args)
	return name != "" || strings.TrimSpace(env[envState]) != "" || given(strings.TrimSpace(env[envHome])) != ""
}

var profileName = regexp.MustCompile(`^(?i)[a-z0-9][a-z0-9_-]{0,63}$`)

// Profile returns the profile that arguments select, and the option that does. The option --dev behind the word gateway
// belongs to that command and selects none. Arguments that OpenClaw refuses select none either: it does not start.
func Profile(args []string) (name, option string) {
	gateway, dev := false, false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		value, has := strings.CutPrefix(arg, "--profile=")
		switch {
		case arg == "--":
			return name, option
		case arg == "gateway":
			gateway = true
		case arg == "--log-level" || arg == "--container":
			i++ // their value is no word of the command
		case arg == "--dev" && !gateway:
			if name != "" && name != "dev" {
				return "", ""
			}
			name, option, dev = "dev", "--dev", true
		case arg == "--profile" || has:
			if !has && i+1 < len(args) {
				i++
				value = args[i]
			}
			if dev || !profileName.MatchString(value) {
				return "", ""
			}
			name, option = value, "--profile "+value
		}
	}
	return name, option
}

// finder resolves with an environment that it may change.
type finder struct {
	q   Query
	env map[string]string
}

// given returns a value of a home variable; two words that scripts leave there mean none.
func given(v string) string {
	if v == "undefined" || v == "null" {
		return ""
	}
	return v
}

func (f finder) osHome() string {
	for _, v := range []string{f.env["HOME"], f.env["USERPROFILE"], f.q.Home} {
		if v = given(v); v != "" {
			return v
		}
	}
	return ""
}

// home is the directory in which OpenClaw has its own.
func (f finder) home() string {
	set, user := given(f.env[envHome]), f.osHome()
	switch {
	case set == "" && user == "":
		return ""
	case set == "":
		return f.absolute(user)
	default:
		return f.absolute(inHome(set, user))
	}
}

// inHome replaces a leading ~.
func inHome(path, home string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || home == "" || rest != "" && rest[0] != '/' && rest[0] != '\\' {
		return path
	}
	return home + rest
}

func (f finder) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	cwd := f.q.Cwd
	if cwd == "" {
		cwd = string(filepath.Separator)
	}
	return filepath.Join(cwd, path)
}

// path resolves a path that a variable names.
func (f finder) path(v string) string { return f.absolute(inHome(v, f.home())) }

func (f finder) profileDir(name string) string {
	if strings.EqualFold(name, "default") {
		return filepath.Join(f.home(), dirName)
	}
	return filepath.Join(f.home(), dirName+"-"+name)
}

// selectProfile sets the variables as OpenClaw does for an option. What the environment names has priority, except the
// places of the profile that the environment itself selects.
func (f finder) selectProfile(name string) {
	inherited := f.env[envProfile]
	if !profileName.MatchString(inherited) {
		inherited = "default"
	}
	was, is := f.profileDir(inherited), f.profileDir(name)
	switches := was != is
	state, config := f.env[envState], f.env[envConfig]
	switchesState := state != "" && switches && f.path(state) == was
	switchesConfig := switches && (state == "" || switchesState) && config != "" &&
		f.path(config) == filepath.Join(was, configName)
	dir := is
	if state != "" && !switchesState {
		dir = state
	}
	f.env[envState] = dir
	if config == "" || switchesConfig {
		f.env[envConfig] = filepath.Join(dir, configName)
	}
}

func (f finder) stateDir() string {
	if v := f.env[envState]; v != "" {
		return f.path(v)
	}
	home := f.home()
	if home == "" {
		return ""
	}
	dir, old := filepath.Join(home, dirName), filepath.Join(home, oldDirName)
	if !f.q.Exists(dir) && f.q.Exists(old) {
		return old
	}
	return dir
}

func (f finder) configPath(stateDir string) string {
	if v := f.env[envConfig]; v != "" {
		return f.path(v)
	}
	if stateDir == "" {
		return ""
	}
	dirs := []string{stateDir}
	if home := f.home(); f.env[envState] == "" && home != "" {
		dirs = []string{filepath.Join(home, dirName), filepath.Join(home, oldDirName)}
	}
	for _, dir := range dirs {
		for _, name := range []string{configName, oldConfigName} {
			if path := filepath.Join(dir, name); f.q.Exists(path) {
				return path
			}
		}
	}
	return filepath.Join(stateDir, configName)
}

func (f finder) roots() []string {
	var out []string
	for _, dir := range filepath.SplitList(f.env[envRoots]) {
		if dir = strings.TrimSpace(dir); dir != "" {
			out = append(out, f.path(dir))
		}
	}
	return out
}
