package host

import (
	"github.com/gatehost/gatehost/host/internal/config"
)

// hostWith is a host that goes by a configuration with these gateways, and does nothing.
func hostWith(gateways ...*config.Gateway) *Host {
	cfg := &Config{Gateways: map[string]*config.Gateway{}, Plugins: map[string]*config.Plugin{}}
	h := &Host{}
	for _, g := range gateways {
		cfg.Gateways[g.Name] = g
	}
	h.current.Store(&current{cfg: cfg})
	return h
}
