package registry

import (
	"context"
	"sync"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
)

// Autostart starts the gateways with autostart = true, host.start_parallel at a time, and does not wait for the last
// ones. Of every other gateway it adopts the process that runs: an operator started it before the host was replaced.
func (r *Registry) Autostart(ctx context.Context) {
	slots := make(chan struct{}, max(r.Config().Host.StartParallel, 1)) // its size is the number that starts at once
	for _, g := range r.Now().Ordered() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		go func() {
			defer func() { <-slots }()
			g.Autostart(ctx)
		}()
	}
}

// StopAll stops all gateways at the same time and waits for them. A gateway with on_host_exit = "keep" stays with its
// shim. When kill is closed, StopAll kills the others without their grace.
func (r *Registry) StopAll(ctx context.Context, kill <-chan struct{}) {
	var stops sync.WaitGroup
	for _, g := range r.Now().Ordered() {
		if g.Settings().OnHostExit == "keep" {
			g.Log().Info("leaving the gateway running for the next host", "pid", g.State().Process.PID)
			continue
		}
		stops.Go(func() {
			stop(ctx, g, kill)
			g.HostEnds(ctx)
		})
	}
	stops.Wait()
}

func stop(ctx context.Context, g *gateway.Gateway, kill <-chan struct{}) {
	g.Commanded(control.CommandData{Action: string(control.ActionStop), By: "host", Reason: "the host stops"})
	done := make(chan struct{})
	go func() {
		defer close(done)
		o, err := g.Engine().Stop(ctx, engine.StopOptions{})
		if err != nil || o.Kind == lifecycle.OutcomeFailed {
			g.Log().Error("gateway could not be stopped", "error", view.OutcomeError(o, err))
		}
	}()
	select {
	case <-done:
		return
	case <-kill:
	}
	if _, err := g.Engine().Stop(ctx, engine.StopOptions{Now: true}); err != nil {
		g.Log().Error("gateway could not be killed", "error", err)
	}
	<-done
}
