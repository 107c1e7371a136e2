package gateway

import (
	"context"
	"errors"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/output"
)

// Configure puts other settings in force. A running process is not changed. It is safe for concurrent use; the owner of
// reloads calls it.
func (g *Gateway) Configure(ctx context.Context, s Settings) {
	g.settings.Store(&s)
	chain := g.classifiers()
	g.lines.each(func(p *output.Pipeline) { p.SetChain(chain) })
	g.sessions.each(func(o *openSession) { o.SetPing(s.Liveness.Ping, s.Liveness.PongTimeout) })
	err := g.engine.Configure(ctx, engine.Settings{
		Policy: policyOf(s.Gateway), VerifyMethod: s.Liveness.VerifyMethod, VerifyTimeout: s.Liveness.VerifyTimeout,
		Drift: g.drift(), Observe: observeSettings(s.Gateway),
	})
	if err != nil && !errors.Is(err, engine.ErrStopped) {
		g.log.Error("gateway does not use its new settings", "error", err)
	}
}

// Launchers returns the plugins that hold launches of the gateway. They are needed as long as those launches live.
func (g *Gateway) Launchers() []string { return g.launches.launchers() }

// Launched reports whether a process of the gateway runs.
func (g *Gateway) Launched() bool {
	_, runs := g.present()
	return runs
}
