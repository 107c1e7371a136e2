package gateway

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/profile"
	"github.com/gatehost/gatehost/internal/foreignfile"
	"github.com/gatehost/gatehost/shared/fault"
)

// Remarks returns what the operator has set for the gateways of a configuration, in the environment of this process
// too, and the gateways would not get. A running host logs the same at each launch.
func Remarks(cfg *config.Config) config.Faults {
	var out config.Faults
	for _, name := range cfg.GatewayNames() {
		s := SettingsOf(cfg, name)
		home, _ := os.UserHomeDir()
		r, err := profile.Build(profile.Launch{
			Launch: s.Launch, Port: s.Port, Token: likelyToken(cfg, s), Home: home, Inherited: os.Environ(),
			Foreign: s.ForeignTokens, Display: true,
		})
		launch := []string{"gateways", name, "launch"}
		if err != nil {
			out = append(out, cfg.FaultAt(append(slices.Clip(launch), "env_file"), err.Error(), fault.HintOf(err)))
		}
		for _, remark := range r.Remarks {
			key := []string{"gateways", name}
			if remark.Key != "" {
				key = append(slices.Clip(launch), remark.Key)
			}
			out = append(out, cfg.FaultAt(key, remark.Message, remark.Hint))
		}
	}
	out.Sort()
	return out
}

// likelyToken returns the token that a launch would get, as far as it can be known without a host.
func likelyToken(cfg *config.Config, s Settings) string {
	if s.Token.Generate {
		data, err := foreignfile.Read(filepath.Join(cfg.StateDir, "gateways", s.Name, "token"), 4096)
		if err == nil {
			return strings.TrimSpace(string(data))
		}
	} else if token, err := s.Token.Read(os.Getenv); err == nil {
		return token
	}
	return "gatehost would make or read the token at the start" // no token that the operator has set elsewhere
}
