package profile

import (
	"fmt"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// maxEnvFile bounds an env_file in bytes.
const maxEnvFile = 1 << 20

// readEnvFile reads NAME=value lines; blank lines and # comments are skipped, one pair of quotes around a value is removed.
func readEnvFile(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read launch.env_file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxEnvFile {
		return nil, fmt.Errorf("cannot read launch.env_file %s: it is not a regular file of at most 1 MiB", path)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator named it
	if err != nil {
		return nil, fmt.Errorf("cannot read launch.env_file: %w", err)
	}
	env := map[string]string{}
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, v, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if k = strings.TrimSpace(k); !ok || k == "" { // the line itself may hold a secret: name its number only
			return nil, fmt.Errorf("cannot read launch.env_file %s: line %d is not NAME=value", path, i+1)
		}
		env[k] = unquote(strings.TrimSpace(v))
	}
	return env, nil
}

func unquote(v string) string {
	if len(v) >= 2 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
		return v[1 : len(v)-1]
	}
	return v
}

// pathKey is the name of the search path in env and the other casings of it (B078). Outside Windows a lone Path is not it.
func pathKey(env map[string]string, goos string) (key string, others []string) {
	if goos != "windows" {
		return "PATH", nil
	}
	var found []string
	for k := range env {
		if strings.EqualFold(k, "PATH") {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	key = "Path"
	switch {
	case slices.Contains(found, "Path"):
	case slices.Contains(found, "PATH"):
		key = "PATH"
	case len(found) > 0:
		key = found[0]
	}
	return key, slices.DeleteFunc(found, func(k string) bool { return k == key })
}

func prependPath(env map[string]string, dirs []string) {
	prependPathFor(env, dirs, runtime.GOOS)
}

func prependPathFor(env map[string]string, dirs []string, goos string) {
	if len(dirs) == 0 {
		return
	}
	key, others := pathKey(env, goos)
	for _, k := range others {
		delete(env, k)
	}
	sep := ":"
	if goos == "windows" {
		sep = ";"
	}
	if have := env[key]; have != "" {
		dirs = append(slices.Clone(dirs), have)
	}
	env[key] = strings.Join(dirs, sep)
}

var scheme = regexp.MustCompile(`^(?i)[a-z][a-z0-9+.-]*://`)

// NormalizeProxy gives a bare host:port the scheme http (B081).
func NormalizeProxy(v string) string {
	v = strings.TrimSpace(v)
	if v == "" || scheme.MatchString(v) {
		return v
	}
	return "http://" + v
}

// ProxyEnv is the proxy variables in both cases; none when there is no proxy, so that the user's own stay (B080).
func ProxyEnv(proxy string) map[string]string {
	p := NormalizeProxy(proxy)
	if p == "" {
		return nil
	}
	env := map[string]string{}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env[k], env[strings.ToLower(k)] = p, p
	}
	return env
}

// RedactURL hides the credentials of a URL (B082).
func RedactURL(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.User == nil {
		return v
	}
	u.User = url.User("redacted")
	return u.String()
}
