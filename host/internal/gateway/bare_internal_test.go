package gateway

import (
	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
)

// bare is a gateway that has settings and nothing else.
func bare(cfg *config.Gateway) *Gateway {
	g := &Gateway{name: cfg.Name, log: hclog.NewNullLogger()}
	g.settings.Store(&Settings{Gateway: cfg})
	return g
}
