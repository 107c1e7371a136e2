package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/store"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// services unloads the platform services that the operator allows it to unload, and reports the others.
type services struct{ core *core }

func (s services) Clear(ctx context.Context) error {
	for _, name := range s.core.conf().Unload {
		if err := s.clear(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s services) clear(ctx context.Context, name string) error {
	u := s.core.unloader(name)
	facts := s.core.facts()
	found, err := u.Inspect(ctx, facts)
	if errors.Is(err, fault.ErrUnsupported) {
		s.core.log.Debug("unloader has nothing to do here", "plugin", name, "reason", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot find out which services manage the gateway: %w", err)
	}
	for _, svc := range found {
		if !svc.Loaded {
			continue
		}
		s.core.log.Warn("a platform service also manages this gateway", "service", svc.ID, "pid", svc.PID,
			"reason", svc.Reason)
		done, err := u.Unload(ctx, facts, svc.ID)
		if err != nil {
			return fmt.Errorf("cannot unload %s: %w", svc.ID, err)
		}
		if !done.Changed && len(done.Undo) == 0 {
			continue // another one has unloaded it meanwhile
		}
		s.core.unloaded(store.Unloaded{
			Service: svc.ID, Manager: svc.Manager, Plugin: name, Reason: svc.Reason, Disable: svc.DisableCommand,
			At: time.Now().UTC(), Undo: done.Undo,
		})
	}
	return nil
}

// unloaded records a service that was unloaded, and tells it.
func (c *core) unloaded(u store.Unloaded) {
	if err := c.env.Store.KeepUnloaded(c.name, u); err != nil {
		c.log.Error("cannot store how to load the service again", "service", u.Service, "error", err)
	}
	c.log.Info("service was unloaded", "service", u.Service, "disable", u.Disable)
	c.publish(events.GatewayServiceUnloaded, c.serviceOf(u))
}

// serviceOf returns an unloaded service in the API's words.
func (c *core) serviceOf(u store.Unloaded) control.UnloadedService {
	r := c.redactor()
	return control.UnloadedService{
		ID: u.Service, Manager: r.Line(u.Manager), Plugin: u.Plugin, Reason: r.Line(u.Reason), At: control.At(u.At),
		DisableCommand: r.Line(u.Disable), Restorable: u.Plugin != "" && len(u.Undo) > 0,
	}
}

// unloadedServices returns what was unloaded and not restored, in the API's words.
func (c *core) unloadedServices() []control.UnloadedService {
	all, err := c.env.Store.Unloaded(c.name)
	if err != nil {
		c.log.Warn("cannot read all records of unloaded services", "error", err)
	}
	var out []control.UnloadedService
	for _, u := range all {
		out = append(out, c.serviceOf(u))
	}
	return out
}

// RestoreServices brings back platform services that were unloaded for the gateway: all, or the one with that id. It
// tries each, and says of each how it went. Error: fault.NotFound when there is none.
func (g *Gateway) RestoreServices(ctx context.Context, id string) (control.RestoredServices, error) {
	all, err := g.env.Store.Unloaded(g.name)
	if err != nil {
		g.log.Warn("cannot read all records of unloaded services", "error", err)
	}
	out := control.RestoredServices{Services: []control.RestoredService{}}
	for _, u := range all {
		if id != "" && u.Service != id {
			continue
		}
		one := control.RestoredService{UnloadedService: g.serviceOf(u)}
		if err := g.restore(ctx, u); err != nil {
			one.Error = view.Failure(err)
		} else {
			g.publish(events.GatewayServiceRestored, one.UnloadedService)
		}
		out.Services = append(out.Services, one)
	}
	if id != "" && len(out.Services) == 0 {
		return out, fault.New(fault.NotFound, fmt.Sprintf("no service %q was unloaded for %s", id, g.name)).
			WithHint("run `gatehost service list " + g.name + "`")
	}
	if s := g.State(); len(out.Services) > 0 && (s.Public() != lifecycle.Stopped || s.Up) {
		out.Note = g.name + " is " + string(s.Public()) + ": the service manages the same gateway; " +
			"the next start of " + g.name + " unloads it again while unload names its unloader"
	}
	return out, nil
}

// restore brings back one service and forgets its record.
func (g *Gateway) restore(ctx context.Context, u store.Unloaded) error {
	if u.Plugin == "" || len(u.Undo) == 0 {
		return fault.New(fault.Unsupported, "cannot restore "+u.Service+": its unloader gave no way back").
			WithHint("load it again in its own service manager")
	}
	changed, err := g.unloader(u.Plugin).Restore(ctx, u.Undo)
	if err != nil {
		g.log.Error("cannot restore a service", "service", u.Service, "plugin", u.Plugin, "error", err)
		return fmt.Errorf("cannot restore %s: %w", u.Service, err)
	}
	g.log.Info("service was restored", "service", u.Service, "plugin", u.Plugin, "changed", changed)
	return g.env.Store.ForgetUnloaded(g.name, u.Service)
}

// HostEnds is called when the host ends for good and the gateway is stopped: it brings back the services that were
// unloaded for the gateway, when the configuration wants that.
func (g *Gateway) HostEnds(ctx context.Context) {
	if g.conf().UnloadRestore != "on-exit" || g.State().Public() != lifecycle.Stopped {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	if _, err := g.RestoreServices(ctx, ""); err != nil {
		g.log.Error("cannot restore the services that were unloaded", "error", err)
	}
}

// restoreLimit is how long the end of the host waits for the services of one gateway.
const restoreLimit = 30 * time.Second
