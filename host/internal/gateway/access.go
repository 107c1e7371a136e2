package gateway

import (
	"path/filepath"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/host/internal/profile"
)

// accessOf reads how clients authenticate to a gateway, from its own file, arguments and environment. Error: the file
// cannot be understood; the rest is known all the same.
func (c *core) accessOf(cfg *config.Gateway, r profile.Result, token string) (gatewayconfig.Access, error) {
	if cfg.Launch.Profile != profile.OpenClaw {
		return gatewayconfig.Access{Mode: gatewayconfig.ModeToken, Token: token}, nil
	}
	cwd := r.Process.Cwd
	if cwd == "" {
		cwd = string(filepath.Separator)
	}
	var args []string
	if len(r.Process.Argv) > 0 {
		args = r.Process.Argv[1:]
	}
	a, err := gatewayconfig.ReadAccess(gatewayconfig.Question{
		Path: r.ConfigPath, Roots: r.Place.Roots, StateDir: r.StateDir, Args: args,
		Env: func(name string) string {
			if v, ok := r.Env[name]; ok {
				return v
			}
			return r.Place.Variable(name)
		},
		Absolute: func(path string) string { return r.Place.Absolute(path, cwd) },
	})
	c.env.Secrets.Learn(a.Secrets())
	return a, err
}

// mayHaveToken reports whether a gateway starts when its environment has a token: OpenClaw refuses one beside a trusted
// proxy.
func (c *core) mayHaveToken(cfg *config.Gateway, r profile.Result, token string) bool {
	if cfg.Token.Align == config.AlignWrite {
		return true // the launch makes it authenticate by token
	}
	a, _ := c.accessOf(cfg, r, token) // of a file that cannot be understood the gateway says what is wrong
	return a.Mode != gatewayconfig.ModeTrustedProxy
}
