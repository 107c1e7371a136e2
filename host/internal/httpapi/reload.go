package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gatehost/gatehost/shared/control"
)

// reload reads the host's configuration again. It outlives its request: a client that goes away leaves nothing half done.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if s.o.Config == nil {
		return notImplemented("reloading config.toml", "restart the host")(w, r)
	}
	var req control.ReloadRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	type answer struct {
		out control.Reload
		err error
	}
	done := make(chan answer, 1) // 1: nobody may be waiting any more
	s.operations.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.o.Log.Error("reload panicked", "error", fmt.Sprint(p))
				done <- answer{err: problem(http.StatusInternalServerError, control.CodeInternal, "bug: the reload panicked")}
			}
		}()
		out, err := s.o.Config.Reload(s.requests, req) //nolint:contextcheck // see above
		done <- answer{out, err}
	})
	select {
	case a := <-done:
		if a.err != nil {
			return ended(r, a.err)
		}
		writeJSON(w, http.StatusOK, a.out)
		return nil
	case <-r.Context().Done():
		return context.Cause(r.Context())
	}
}
