package gateway

import (
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
)

// Settings is what a configuration says about one gateway. It is immutable: Configure replaces the whole value.
type Settings struct {
	*config.Gateway

	ForeignTokens []string            // variables of the host that hold the tokens of other gateways
	frames        bool                // log the frames of sessions
	grants        map[string][]string // of its doctors
}

// SettingsOf returns what a configuration says about a gateway that it has.
func SettingsOf(cfg *config.Config, name string) Settings {
	own := cfg.Gateways[name]
	s := Settings{Gateway: own, frames: cfg.Log.Frames, grants: map[string][]string{}}
	for other, g := range cfg.Gateways {
		if env := g.Token.Env; other != name && env != "" && env != own.Token.Env {
			s.ForeignTokens = append(s.ForeignTokens, env)
		}
	}
	slices.Sort(s.ForeignTokens)
	for _, name := range own.Doctors {
		if p := cfg.Plugins[name]; p != nil {
			s.grants[name] = p.Grant
		}
	}
	return s
}
