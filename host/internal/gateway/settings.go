package gateway

import (
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Settings is what a configuration says about one gateway. It is a value that is never changed; Configure puts another one in its place.
type Settings struct {
	*config.Gateway

	ForeignTokens []string        // variables of the host that hold the tokens of other gateways
	Frames        bool            // log the frames of sessions
	Content       map[string]bool // the doctors that may read the gateway's configuration
}

// SettingsOf is what a configuration says about a gateway that it has.
func SettingsOf(cfg *config.Config, name string) Settings {
	own := cfg.Gateways[name]
	s := Settings{Gateway: own, Frames: cfg.Log.Frames, Content: map[string]bool{}}
	for other, g := range cfg.Gateways {
		if env := g.Token.Env; other != name && env != "" && env != own.Token.Env {
			s.ForeignTokens = append(s.ForeignTokens, env)
		}
	}
	slices.Sort(s.ForeignTokens)
	for _, name := range own.Doctors {
		p := cfg.Plugins[name]
		s.Content[name] = p != nil && slices.Contains(p.Grant, plugin.GrantGatewayConfig)
	}
	return s
}
