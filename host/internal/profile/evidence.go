package profile

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/plugin"
)

// hidden replaces the value of a secret. The variable stays: a configuration may name it, and a validator that misses
// it would call a configuration broken with which the gateway runs.
const hidden = "hidden-by-gatehost"

// WithoutSecrets returns the process for a command of the gateway that must not know the gateway's secrets: the token,
// each variable whose name says that it holds a secret, and the values of the env_file, except those that say where
// something is or how the program runs. It tells OpenClaw its places, since a command in a sandbox cannot look for them
// in the user's home. temp is the directory for temporary files and caches.
func (r Result) WithoutSecrets(temp string) plugin.ProcessSpec {
	// OpenClaw copies its database to its cache in order to read it
	set := map[string]string{"TMPDIR": temp, "TEMP": temp, "TMP": temp, "XDG_CACHE_HOME": temp}
	if r.openclaw && r.StateDir != "" {
		set["OPENCLAW_STATE_DIR"], set["OPENCLAW_CONFIG_PATH"] = r.StateDir, r.ConfigPath
	}
	p := r.Process
	p.Env = nil
	for name, value := range set {
		p.Env = append(p.Env, plugin.EnvVar{Name: name, Value: value})
	}
	for _, v := range r.Process.Env {
		if _, isSet := set[v.Name]; isSet || v.Secret && isProxy(v.Name) { // a proxy that is no address is an error
			continue
		}
		if v.Secret || !isPlain(v.Name) && (r.fromFile[v.Name] || slices.Contains(r.Secrets, v.Value)) {
			v.Value, v.Secret = hidden, false
		}
		p.Env = append(p.Env, v)
	}
	slices.SortFunc(p.Env, func(a, b plugin.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// AtItsPlace returns the process for a command of the gateway that gets its whole environment. It tells OpenClaw its
// places: an option of the gateway's own arguments, which the command does not get, may have moved them.
func (r Result) AtItsPlace() plugin.ProcessSpec {
	p := r.Process
	if !r.openclaw || r.StateDir == "" {
		return p
	}
	p.Env = slices.DeleteFunc(slices.Clone(p.Env), func(v plugin.EnvVar) bool {
		return v.Name == "OPENCLAW_STATE_DIR" || v.Name == "OPENCLAW_CONFIG_PATH"
	})
	p.Env = append(p.Env, plugin.EnvVar{Name: "OPENCLAW_STATE_DIR", Value: r.StateDir},
		plugin.EnvVar{Name: "OPENCLAW_CONFIG_PATH", Value: r.ConfigPath})
	slices.SortFunc(p.Env, func(a, b plugin.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// LockDir returns the directory where OpenClaw keeps the locks by which even a command that only reads takes part; ""
// when the profile has none. OpenClaw 2026.9 has it at a fixed place (docs/openclaw.md §5).
func (r Result) LockDir() string {
	if !r.openclaw || runtime.GOOS == "windows" {
		return ""
	}
	return fmt.Sprintf("/tmp/openclaw-state-locks-%d", os.Getuid())
}

// isPlain reports whether a variable, whose name does not say that it holds a secret, says where something is or how a
// program runs.
func isPlain(name string) bool {
	return slices.Contains(kept, strings.ToUpper(name)) || strings.HasPrefix(name, "OPENCLAW_") ||
		strings.HasPrefix(name, "NODE_") || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "XDG_")
}
