package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehost/gatehost/shared/fault"
)

// services clears the platform services that the operator gave leave to unload, and reports the others.
type services struct{ g *Gateway }

func (s services) Clear(ctx context.Context) error {
	for _, name := range s.g.conf().Unload {
		if err := s.clear(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (s services) clear(ctx context.Context, name string) error {
	u := s.g.env.Plugins.Unloader(name)
	facts := s.g.facts()
	found, err := u.Inspect(ctx, facts)
	if errors.Is(err, fault.ErrUnsupported) {
		s.g.log.Debug("unloader has nothing to do here", "plugin", name, "reason", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot find out which services own the gateway: %w", err)
	}
	for _, svc := range found {
		if !svc.Loaded {
			continue
		}
		s.g.log.Warn("another service manager owns this gateway, too", "service", svc.ID, "pid", svc.PID, "reason", svc.Reason)
		done, err := u.Unload(ctx, facts, svc.ID)
		if err != nil {
			return fmt.Errorf("cannot unload %s: %w", svc.ID, err)
		}
		if len(done.Undo) > 0 {
			if err := s.g.env.Store.KeepUndo(s.g.name, svc.ID, done.Undo); err != nil {
				s.g.log.Error("cannot store how to bring a service back", "service", svc.ID, "error", err)
			}
		}
		s.g.log.Info("service was unloaded", "service", svc.ID, "disable", svc.DisableCommand)
	}
	return nil
}
