package pluginhost

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/gatehost/gatehost/shared/pluginkit"
)

// passed are the variables of the host that every plugin gets. All others, secrets above all, stay with the host; PATH
// is fixed, so that an operator's shell does not matter (R32). docs/plugins.md lists them.
var passed = []string{"HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SYSTEMROOT", "TEMP", "TMP"}

const fixedPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment returns a plugin's whole environment, except what go-plugin's handshake adds.
func environment(s Spec, data string) []string {
	env := map[string]string{"PATH": fixedPath}
	if runtime.GOOS == "windows" {
		env["PATH"] = filepath.Join(os.Getenv("SYSTEMROOT"), "System32")
	}
	for _, k := range passed {
		if v, ok := os.LookupEnv(k); ok {
			env[k] = v
		}
	}
	if s.Sandbox != nil { // it cannot write to the common one
		env["TMPDIR"] = data
	}
	maps.Copy(env, s.Env)
	env["GATEHOST_PLUGIN_NAME"] = s.Name
	delete(env, pluginkit.SecretEnv) // with one from config.toml it would refuse the host's calls
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out
}
