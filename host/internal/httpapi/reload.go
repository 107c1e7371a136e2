package httpapi

import (
	"context"
	"net/http"

	"github.com/gatehost/gatehost/shared/control"
)

// reload reads the host's configuration again. It outlives its request: a client that disconnects leaves nothing
// half done.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	var req control.ReloadRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	select {
	//nolint:contextcheck // see above
	case a := <-detached(s, "reload",
		func(ctx context.Context) (control.Reload, error) { return s.o.Config.Reload(ctx, req) }):
		if a.err != nil {
			return ended(r, a.err)
		}
		writeJSON(w, http.StatusOK, a.got)
		return nil
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
}
