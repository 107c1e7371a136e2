package gatewayconfig

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/internal/json5"
)

// The modes in which a gateway authenticates its clients.
const (
	ModeToken        = "token"
	ModePassword     = "password"
	ModeTrustedProxy = "trusted-proxy"
	ModeNone         = "none"
)

// Access is how a client on the gateway's own machine reaches the gateway and authenticates, as OpenClaw 2026.9.6
// decides it: options, then the file, then the environment. It holds secrets.
type Access struct {
	Path     string // of the file
	Mode     string
	Token    string // "": not known
	Password string
	// FileMode and FileToken are what the file itself says, with what it includes; FileToken only when it is the plain
	// text of a token.
	FileMode, FileToken string
	// Stored: the secret of the mode is in a store that gatehost cannot read.
	Stored bool
	TLS    bool   // the gateway serves TLS
	Cert   string // the file with its certificate
}

// Question is what ReadAccess needs.
type Question struct {
	Path     string // of the configuration
	Roots    []string
	StateDir string
	Args     []string                 // of the gateway
	Env      func(name string) string // of the gateway, with its .env file
	Absolute func(path string) string // makes a path of the file absolute
}

// Secrets returns the secrets in it.
func (a Access) Secrets() []string { return []string{a.Token, a.Password, a.FileToken} }

// ReadAccess reads it. A missing file says nothing. Error: the file, or one that it includes, cannot be read or
// understood; the Access then holds what options and environment say.
func ReadAccess(q Question) (Access, error) {
	a := Access{Path: q.Path}
	config, err := effective(q.Path, q.Roots)
	at := func(path ...string) any {
		v, _ := Lookup(config, json5.Path(append([]string{"gateway"}, path...)))
		return v
	}
	token, storedToken := secretAt(at("auth", "token"), q.Env)
	password, storedPassword := secretAt(at("auth", "password"), q.Env)
	if s, ok := at("auth", "token").(string); ok && !reference.MatchString(s) {
		a.FileToken = strings.TrimSpace(s)
	}
	a.FileMode, _ = at("auth", "mode").(string)
	a.Token, a.Password = token, password
	if token == "" && !storedToken {
		a.Token = strings.TrimSpace(q.Env("OPENCLAW_GATEWAY_TOKEN"))
	}
	if password == "" && !storedPassword {
		a.Password = strings.TrimSpace(q.Env("OPENCLAW_GATEWAY_PASSWORD"))
	}
	if file := option(q.Args, "--password-file"); file != "" {
		a.Password, storedPassword = firstLine(q.Absolute(file)), false
	}
	switch mode := option(q.Args, "--auth"); {
	case mode != "":
		a.Mode = mode
	case a.FileMode != "":
		a.Mode = a.FileMode
	case a.Password != "":
		a.Mode = ModePassword
	default:
		a.Mode = ModeToken
	}
	a.Stored = a.Mode == ModeToken && storedToken || a.Mode != ModeToken && storedPassword
	a.TLS, _ = at("tls", "enabled").(bool)
	if a.Cert = filepath.Join(q.StateDir, "gateway", "tls", "gateway-cert.pem"); a.TLS {
		if path, ok := at("tls", "certPath").(string); ok && strings.TrimSpace(path) != "" {
			a.Cert = q.Absolute(strings.TrimSpace(path))
		}
	}
	return a, err
}

// effective returns the configuration at a path, with what it includes; nil when there is none.
func effective(path string, roots []string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	f, err := readFile(path)
	if err != nil || !f.exists {
		return nil, err
	}
	_, config, err := f.parse()
	if err != nil || !includes(config) {
		return config, err
	}
	whole, _, err := f.whole(config, roots)
	if err != nil {
		return config, err
	}
	return whole, nil
}

// variable is a reference to a variable inside a text; two dollars stand for one that is none.
var variable = regexp.MustCompile(`\$?\$\{([A-Z_][A-Z0-9_]*)\}`)

// secretAt returns the secret that a value means. stored: it is somewhere that only the gateway can read.
func secretAt(v any, env func(string) string) (secret string, stored bool) {
	switch v := v.(type) {
	case string:
		missing := false
		text := variable.ReplaceAllStringFunc(v, func(m string) string {
			if strings.HasPrefix(m, "$$") {
				return m[1:]
			}
			value := env(m[2 : len(m)-1])
			missing = missing || value == ""
			return value
		})
		if missing {
			return "", true
		}
		return strings.TrimSpace(text), false
	case map[string]any:
		id, _ := v["id"].(string)
		if source, _ := v["source"].(string); source == "env" && id != "" {
			secret = strings.TrimSpace(env(id))
		}
		return secret, secret == ""
	}
	return "", false
}

// option returns the value of an option of the gateway.
func option(args []string, name string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// firstLine returns the secret in a file that holds nothing else; "" when it cannot be read.
func firstLine(path string) string {
	f, err := readFile(path)
	if err != nil || len(f.data) > 64<<10 {
		return ""
	}
	return strings.TrimSpace(string(f.data))
}

// ErrNoCredential says that gatehost does not know the secret that a gateway asks for.
var ErrNoCredential = errors.New("the gateway's secret is not known")

// Credential returns what a session sends: a token, a password, or nothing for a gateway that asks for none. ours is
// the host's token; given says that the operator named it. Error: ErrNoCredential.
func (a Access) Credential(ours string, given bool) (token, password string, err error) {
	switch a.Mode {
	case ModeNone:
		return "", "", nil
	case ModePassword, ModeTrustedProxy: // a proxy's own users are known by their headers; the host is none of them
		switch {
		case a.Password != "":
			return "", a.Password, nil
		case a.Stored && given: // the operator's way to tell it
			return "", ours, nil
		}
		return "", "", ErrNoCredential
	default:
		if a.Token != "" {
			return a.Token, "", nil
		}
		return ours, "", nil
	}
}

// Unused reports whether the gateway does not use the host's token, because of its own file or options.
func (a Access) Unused(ours string) bool {
	switch a.Mode {
	case ModeToken:
		return a.Token != "" && a.Token != ours
	case ModePassword, ModeTrustedProxy:
		return !a.Stored
	default:
		return true
	}
}

// Align is a mutator that makes a file authenticate by the host's token: another mode than token becomes token, and
// another token in plain text becomes the host's. What is missing, or refers to a variable or another store of secrets,
// stays as it is: the gateway takes a missing token from its environment.
func Align(a Access, token string) Mutator {
	return func(_ context.Context, config map[string]any) error {
		auth := slices.Clip(json5.Path{"gateway", "auth"})
		if a.FileMode != "" && a.FileMode != ModeToken {
			if err := put(config, append(auth, "mode"), ModeToken, false); err != nil {
				return err
			}
		}
		if a.FileToken != "" && a.FileToken != token {
			return put(config, append(auth, "token"), token, false)
		}
		return nil
	}
}
