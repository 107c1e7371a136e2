package gateway

import (
	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/health"
)

// bare is the core of a gateway that has settings and nothing else.
func bare(cfg *config.Gateway) *core {
	c := &core{name: cfg.Name, log: hclog.NewNullLogger()}
	c.settings.Store(&Settings{Gateway: cfg})
	return c
}

// watched is an observer of a core, with a health view that asks nothing.
func watched(c *core) observer {
	return observer{core: c, health: health.New(health.Options{OnReady: func(bool, string) {}})}
}
