package api

import (
	"context"

	"github.com/gatehost/gatehost/shared/control"
)

// Health asks a gateway for its health now (B281). With probe it makes a call even when a fresh answer is at hand.
func (s *Service) Health(ctx context.Context, name string, probe bool) (control.HealthCheck, error) {
	g, err := s.find(name)
	if err != nil {
		return control.HealthCheck{}, err
	}
	return g.CheckHealth(ctx, probe)
}
