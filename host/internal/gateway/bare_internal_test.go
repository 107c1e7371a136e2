package gateway

import (
	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/internal/redact"
)

// bare returns the core of a gateway that has settings and nothing else.
func bare(cfg *config.Gateway) *core {
	c := &core{name: cfg.Name, log: hclog.NewNullLogger(), env: Env{Secrets: &redact.Known{}}}
	c.settings.Store(&Settings{Gateway: cfg})
	return c
}

// watched returns an observer of a core, with a health view that makes no calls.
func watched(c *core) observer {
	return observer{core: c, health: health.New(health.Options{OnReady: func(bool, string) {}})}
}
