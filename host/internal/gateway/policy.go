package gateway

import (
	"slices"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// policyOf turns a gateway's configuration into the lifecycle's policy.
func policyOf(c *config.Gateway) lifecycle.Policy {
	p := lifecycle.DefaultPolicy()
	p.NoProgress, p.StartTimeout, p.ProbeInterval = c.Ready.NoProgress, c.Ready.Timeout, c.Ready.Interval
	p.BackoffBase, p.BackoffMax, p.ReconnectAttempts = c.Reconnect.Base, c.Reconnect.Max, c.Reconnect.Attempts
	p.StableAfter, p.SlowRetry = c.Reconnect.StableAfter, c.Reconnect.SlowInterval
	if c.Reconnect.AfterCap == "stop" {
		p.SlowRetry = 0
	}
	p.Grace, p.Silence = c.Launch.Grace, c.Liveness.Silence
	p.Jitter = c.Reconnect.Jitter
	p.RestartCooldown, p.ReloadSettle, p.ReloadMinAge = c.Restart.Cooldown, c.Restart.ReloadSettle, c.Restart.ReloadMinAge
	p.Repair, p.OnConflict = lifecycle.RepairMode(c.Repair.Mode), lifecycle.ConflictMode(c.OnConflict)
	p.OnShimLoss = lifecycle.ShimLossMode(c.OnShimLoss)
	return p
}

// observeSettings returns the parts of a gateway's configuration that the record uses.
func observeSettings(c *config.Gateway) observe.Settings {
	return observe.Settings{
		Gateway: c.Name, ReconnectAttempts: c.Reconnect.Attempts, Silence: c.Liveness.Silence,
		PongTimeout: c.Liveness.PongTimeout, Plugins: slices.Concat([]string{c.Launcher}, c.Unload, c.Doctors, c.Classifiers),
	}
}
