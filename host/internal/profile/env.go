package profile

import (
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/internal/redact"
)

// pathKey returns the name of the search path in env, and the other spellings of it (B078). Outside Windows a lone
// Path is not the search path.
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

// ProxyEnv returns the proxy variables in both cases; it omits those without a value, so that the user's own stay
// (B080). HTTP and HTTPS fall back to the base, then to ALL; ALL falls back to the base.
func ProxyEnv(l config.Launch) map[string]string {
	env := map[string]string{}
	set := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				env[name], env[strings.ToLower(name)] = v, v
				return
			}
		}
	}
	base, all := NormalizeProxy(l.Proxy), NormalizeProxy(l.AllProxy)
	set("HTTP_PROXY", NormalizeProxy(l.HTTPProxy), base, all)
	set("HTTPS_PROXY", NormalizeProxy(l.HTTPSProxy), base, all)
	set("ALL_PROXY", all, base)
	set("NO_PROXY", bypass(l.NoProxy))
	return env
}

// bypass returns the rules as one word; a rule may hold several, with commas, semicolons or line ends between them.
func bypass(rules []string) string {
	var out []string
	for _, r := range rules {
		for _, one := range strings.FieldsFunc(r, func(c rune) bool { return c == ',' || c == ';' || c == '\n' }) {
			if one = strings.TrimSpace(one); one != "" {
				out = append(out, one)
			}
		}
	}
	return strings.Join(out, ",")
}

// userinfo finds the credentials in a URL: v[from:to]. ok is false when there are none. It also reads what
// url.Parse would refuse, since a malformed address must not be shown either.
func userinfo(v string) (from, to int, ok bool) {
	loc := scheme.FindStringIndex(v)
	if loc == nil {
		return 0, 0, false
	}
	at := strings.LastIndex(v[loc[1]:], "@") // a password may contain anything that ends an authority
	if at < 0 {
		return 0, 0, false
	}
	return loc[1], loc[1] + at, true
}

// RedactURL hides the credentials in the address of a proxy (B082).
func RedactURL(v string) string { return redact.URL(NormalizeProxy(v)) }

// password returns the password in a URL, as written and unescaped; nil when there is none.
func password(v string) []string {
	v = NormalizeProxy(v)
	from, to, ok := userinfo(v)
	if !ok {
		return nil
	}
	_, secret, _ := strings.Cut(v[from:to], ":")
	if secret == "" {
		return nil
	}
	if meant, err := url.PathUnescape(secret); err == nil && meant != secret {
		return []string{secret, meant}
	}
	return []string{secret}
}
