package registry

import (
	"context"
	"errors"
	"fmt"
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
// shim. When kill is closed, StopAll kills the others without their grace. The error names the gateways that could not
// be stopped, and their processes.
func (r *Registry) StopAll(ctx context.Context, kill <-chan struct{}) error {
	var stops sync.WaitGroup
	all := r.Now().Ordered()
	failed := make([]error, len(all))
	for i, g := range all {
		if g.Settings().OnHostExit == "keep" {
			g.Log().Info("leaving the gateway running for the next host", "pid", g.State().Process.PID)
			continue
		}
		stops.Go(func() {
			failed[i] = stop(ctx, g, kill)
			g.HostEnds(ctx)
		})
	}
	stops.Wait()
	return errors.Join(failed...)
}

func stop(ctx context.Context, g *gateway.Gateway, kill <-chan struct{}) error {
	g.Commanded(control.CommandData{Action: string(control.ActionStop), By: "host", Reason: "the host stops"})
	stopped := make(chan error, 1)
	go func() {
		o, err := g.Engine().Stop(ctx, engine.StopOptions{})
		stopped <- failure(g, o, err)
	}()
	select {
	case err := <-stopped:
		return err
	case <-kill:
	}
	o, err := g.Engine().Stop(ctx, engine.StopOptions{Now: true})
	<-stopped //nolint:errcheck // superseded by the stop above, which has answered
	return failure(g, o, err)
}

// failure returns nil for a gateway that was stopped; otherwise what is left of it.
func failure(g *gateway.Gateway, o lifecycle.Outcome, err error) error {
	if err == nil && o.Kind != lifecycle.OutcomeFailed {
		return nil
	}
	if o.Problem != nil && o.Problem.Code == lifecycle.CodeElsewhere { // another host has it: nothing of it is ours
		g.Log().Info("a gateway in another place is not stopped", "where", o.Problem.Message)
		return nil
	}
	why := view.OutcomeError(o, err)
	g.Log().Error("gateway could not be stopped", "error", why)
	left := ""
	if st := g.State(); st.Launch != "" && st.Process.PID > 0 {
		left = fmt.Sprintf("; its process lives on: pid %d", st.Process.PID)
	}
	return fmt.Errorf("gateway %s could not be stopped: %s%s", g.Name(), why, left)
}
