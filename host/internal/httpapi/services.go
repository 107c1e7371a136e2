package httpapi

import (
	"net/http"

	"github.com/gatehost/gatehost/shared/control"
)

// restoreServices brings back the platform services that were unloaded for a gateway.
func (s *Server) restoreServices(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	var req control.RestoreServices
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	out, err := s.o.Services.RestoreServices(r.Context(), name, req)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
