// Package profile turns a configured launch into a process: program, arguments and a whole environment. It has two
// profiles: "openclaw", with the environment rules of docs/behaviour.md §4, and "plain", for any other program that
// speaks the protocol. It reads nothing but its arguments, an
// env_file and what package gatewayplace reads.
package profile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gatewayplace"
	"github.com/gatehost/gatehost/internal/redact"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Names of the profiles.
const (
	OpenClaw = "openclaw"
	Plain    = "plain"
)

// Launch is a configured launch, and what the host adds to it.
type Launch struct {
	config.Launch

	Port      int
	Token     string
	Home      string   // of the user that runs it; for default places
	Inherited []string // environment of the host, as os.Environ
	Display   bool     // for remarks only: an env_file that others can read is read, too
	Foreign   []string // its variables that hold secrets of other gateways: they are not inherited (B077)
}

// Result is the process and what is known about it.
type Result struct {
	Process    plugin.ProcessSpec
	StateDir   string // where the gateway stores its state; "" when the profile does not say
	ConfigPath string
	// Place is where an OpenClaw gateway has its files, and why; zero for another profile.
	Place   gatewayplace.Place
	Env     map[string]string // of the process
	Secrets []string          // values that must appear nowhere
	Remarks []Remark          // what the operator has set and the gateway does not get

	openclaw bool
	fromFile map[string]bool // the variables whose values come from the env_file
}

// defaultArgs returns the arguments of the reference (B072), without the token: it goes into the environment.
func defaultArgs(profile string) []string {
	if profile == Plain {
		return nil
	}
	return []string{"gateway", "--port", "{port}", "--bind", "loopback", "--allow-unconfigured"}
}

// removed are inherited variables that a gateway must not see: a preload of the host (B076), marks of another
// supervisor (B091), and credentials of other programs.
var removed = []string{
	"NODE_OPTIONS", "OPENCLAW_SYSTEMD_UNIT", "INVOCATION_ID", "SYSTEMD_EXEC_PID", "JOURNAL_STREAM",
	"OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD", "OPENCLAW_GATEWAY_PORT", "OPENCLAW_SUPERVISOR_MODE",
}

// kept are variables that survive clear_env: without them hardly any program runs.
var kept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SYSTEMROOT", "USERPROFILE",
	"TEMP", "TMP",
}

// Build returns the process. Later sources override earlier ones: inherited, env_file, env, proxy, fixed (B083).
func Build(l Launch) (Result, error) {
	if len(l.Command) == 0 || l.Command[0] == "" {
		return Result{}, fmt.Errorf("cannot build the launch: launch.command is empty")
	}
	env := inherit(l)
	secrets, file := []string{}, envFile{}
	if l.EnvFile != "" {
		var err error
		if file, err = readEnvFile(l.EnvFile, !l.Display); err != nil {
			return Result{}, err
		}
		maps.Copy(env, file.values)
		for _, v := range file.values {
			secrets = append(secrets, v)
		}
	}
	maps.Copy(env, l.Env)
	maps.DeleteFunc(env, func(k, _ string) bool { return isHandle(k) })
	maps.Copy(env, ProxyEnv(l.Launch))
	prependPath(env, l.PathPrepend)
	r := Result{StateDir: l.StateDir, ConfigPath: l.ConfigPath, Env: env, openclaw: l.Profile != Plain}
	words := argv(l)
	if l.StateDirByDefault {
		chosen := map[string]string{}
		maps.Copy(chosen, file.values)
		maps.Copy(chosen, l.Env)
		if gatewayplace.Chosen(chosen, words[1:]) { // the operator chose another place than the default of gatehost
			r.StateDir = ""
		}
	}
	fixed(&l, env, &r, words)
	r.Remarks = l.unused(file, env)
	r.fromFile = map[string]bool{}
	for k, v := range env {
		given, ok := file.values[k]
		r.fromFile[k] = ok && given == v
		if isProxy(k) {
			secrets = append(secrets, password(v)...)
		}
	}
	r.Process = plugin.ProcessSpec{Argv: words, Env: list(env, l), Cwd: l.Cwd, User: l.User}
	r.Secrets = append(secrets, l.Token)
	// shorter ones would redact words
	r.Secrets = slices.DeleteFunc(r.Secrets, func(s string) bool { return len(s) < 8 })
	return r, nil
}

func inherit(l Launch) map[string]string {
	env := map[string]string{}
	for _, kv := range l.Inherited {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" || slices.Contains(removed, k) || slices.Contains(l.Foreign, k) ||
			strings.HasPrefix(k, "GATEHOST_") {
			continue
		}
		if l.ClearEnv && !slices.Contains(kept, strings.ToUpper(k)) {
			continue
		}
		env[k] = v
	}
	return env
}

// fixed sets the variables that the host decides (B074, B092, docs/openclaw.md §2).
func fixed(l *Launch, env map[string]string, r *Result, words []string) {
	if l.Token != "" {
		env["OPENCLAW_GATEWAY_TOKEN"] = l.Token
	}
	env["OPENCLAW_GATEWAY_PORT"] = strconv.Itoa(l.Port)
	if l.Profile == Plain {
		return
	}
	env["OPENCLAW_NO_RESPAWN"] = "1"      // a restart stays in the process that gatehost started
	env["OPENCLAW_DISABLE_BONJOUR"] = "1" // no mDNS
	env["OPENCLAW_EXEC_SHELL_SNAPSHOT"] = "0"
	env["OPENCLAW_GATEWAY_STARTUP_TRACE"] = "1"
	env["OPENCLAW_SERVICE_REPAIR_POLICY"] = "external" // its doctor must not touch platform services
	env["OPENCLAW_NO_AUTO_UPDATE"] = "1"
	if l.SkipChannels {
		env["OPENCLAW_SKIP_CHANNELS"] = "1"
	}
	if r.StateDir != "" {
		env["OPENCLAW_STATE_DIR"] = r.StateDir
	}
	if r.ConfigPath != "" {
		env["OPENCLAW_CONFIG_PATH"] = r.ConfigPath
	}
	r.Place = gatewayplace.Find(gatewayplace.Query{
		StateDir: r.StateDir, ConfigPath: r.ConfigPath, Env: env, Args: words[1:], Cwd: l.Cwd, Home: l.Home,
	})
	r.StateDir, r.ConfigPath = r.Place.StateDir, r.Place.ConfigPath
}

func argv(l Launch) []string {
	args := l.Args
	if args == nil {
		args = defaultArgs(l.Profile)
	}
	out := slices.Clone(l.Command)
	for _, a := range args {
		out = append(out, strings.ReplaceAll(a, "{port}", strconv.Itoa(l.Port)))
	}
	return out
}

// list returns the variables in the order of their names, so that equal environments give equal launches.
func list(env map[string]string, l Launch) []plugin.EnvVar {
	out := make([]plugin.EnvVar, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		v := env[k]
		secret := v != "" && v == l.Token || redact.Name(k) || isProxy(k) && password(v) != nil
		out = append(out, plugin.EnvVar{Name: k, Value: v, Secret: secret})
	}
	return out
}

func isProxy(k string) bool { return strings.HasSuffix(strings.ToUpper(k), "_PROXY") }
