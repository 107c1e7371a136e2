package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gatehost/gatehost/shared/control"
)

// Configs are the gateways' own configurations.
type Configs interface {
	// Config reads everything, or the value at a path.
	Config(ctx context.Context, name, path string) (control.GatewayConfig, error)
	// EditConfig changes it. Cancelling ctx cancels the edit until something was written.
	EditConfig(ctx context.Context, name string, edit control.ConfigEdit) (control.ConfigEdited, error)
}

func (s *Server) gatewayConfig(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	got, err := s.o.Configs.Config(r.Context(), name, r.URL.Query().Get("path"))
	if err != nil {
		return ended(r, err)
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}

func (s *Server) editConfig(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	var edit control.ConfigEdit
	if err := readBody(w, r, &edit); err != nil {
		return err
	}
	hasValue := edit.Value != nil || edit.Text != nil
	wants := map[string]struct{ path, value bool }{
		control.ConfigSet: {true, true}, control.ConfigUnset: {true, false}, control.ConfigPatch: {false, true},
		control.ConfigUndo: {},
	}
	want, ok := wants[edit.Action]
	bad := func(format string, args ...any) error {
		return problem(http.StatusBadRequest, control.CodeBadRequest, fmt.Sprintf(format, args...))
	}
	switch {
	case !ok:
		return bad("unknown action %.64q; use set, unset, patch or undo", edit.Action)
	case want.path != (edit.Path != ""):
		return bad("set and unset need a path, the other actions take none")
	case want.value != hasValue || edit.Value != nil && edit.Text != nil:
		return bad("set and patch need either value or text, the other actions take neither")
	case edit.Force && edit.Action != control.ConfigUndo:
		return bad("force is only for undo")
	}
	got, err := s.o.Configs.EditConfig(r.Context(), name, edit)
	if err != nil {
		return ended(r, err)
	}
	writeJSON(w, http.StatusOK, got)
	return nil
}
