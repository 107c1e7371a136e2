package host

import (
	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/control"
)

// current is what the host goes by: a configuration, and what was made of it. It is a value that nobody changes; a reload exchanges it as a
// whole, so whoever takes it once sees plugins and gateways that fit each other.
type current struct {
	cfg       *Config
	gateways  map[string]*gateway
	sandboxes map[string]control.Sandbox // of the plugins that run: how they are shut in
}

// now is what holds now. Take it once where two things have to fit.
func (h *Host) now() *current { return h.current.Load() }

// config is the configuration that holds now.
func (h *Host) config() *Config { return h.now().cfg }

// ordered is the gateways by name.
func (h *Host) ordered() []*gateway {
	now := h.now()
	out := make([]*gateway, 0, len(now.gateways))
	for _, name := range now.cfg.GatewayNames() {
		if g, ok := now.gateways[name]; ok {
			out = append(out, g)
		}
	}
	return out
}

// conf is the gateway's part of the configuration that holds now; of a gateway that was removed, what held last.
func (g *gateway) conf() *config.Gateway {
	if c := g.host.config().Gateways[g.name]; c != nil {
		return c
	}
	return g.last.Load()
}
