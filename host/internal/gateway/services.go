package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehost/gatehost/shared/fault"
)

// services clears the platform services that the operator gave leave to unload, and reports the others.
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
	u := s.core.env.Plugins.Unloader(name)
	facts := s.core.facts()
	found, err := u.Inspect(ctx, facts)
	if errors.Is(err, fault.ErrUnsupported) {
		s.core.log.Debug("unloader has nothing to do here", "plugin", name, "reason", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot find out which services own the gateway: %w", err)
	}
	for _, svc := range found {
		if !svc.Loaded {
			continue
		}
		s.core.log.Warn("another service manager owns this gateway, too", "service", svc.ID, "pid", svc.PID, "reason", svc.Reason)
		done, err := u.Unload(ctx, facts, svc.ID)
		if err != nil {
			return fmt.Errorf("cannot unload %s: %w", svc.ID, err)
		}
		if len(done.Undo) > 0 {
			if err := s.core.env.Store.KeepUndo(s.core.name, svc.ID, done.Undo); err != nil {
				s.core.log.Error("cannot store how to bring a service back", "service", svc.ID, "error", err)
			}
		}
		s.core.log.Info("service was unloaded", "service", svc.ID, "disable", svc.DisableCommand)
	}
	return nil
}
