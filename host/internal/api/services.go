package api

import (
	"context"

	"github.com/gatehost/gatehost/shared/control"
)

// RestoreServices brings back the platform services that were unloaded for a gateway.
func (s *Service) RestoreServices(
	ctx context.Context, name string, req control.RestoreServices,
) (control.RestoredServices, error) {
	g, err := s.find(name)
	if err != nil {
		return control.RestoredServices{}, err
	}
	return g.RestoreServices(ctx, req.ID)
}
