package control

import (
	"context"
	"net/http"
)

// UnloadedService is a service of the platform that also managed a gateway, and that the host unloaded.
type UnloadedService struct {
	ID         string `json:"id"` // in its manager
	Manager    string `json:"manager,omitempty"`
	Plugin     string `json:"plugin,omitempty"` // the unloader
	Reason     string `json:"reason,omitempty"` // why it also managed the gateway
	At         Time   `json:"at"`
	Restorable bool   `json:"restorable"` // its unloader gave a way back
	// DisableCommand is what a person runs to disable it for good.
	DisableCommand string `json:"disableCommand,omitempty"`
}

// RestoreServices asks to bring back services that were unloaded for a gateway.
type RestoreServices struct {
	ID string `json:"id,omitempty"` // "": all
}

// RestoredServices is the answer: what became of each.
type RestoredServices struct {
	Services []RestoredService `json:"services"`
	Note     string            `json:"note,omitempty"` // a sentence for people
}

// RestoredService is one service; Error is set when it could not be restored.
type RestoredService struct {
	UnloadedService

	Error *Failure `json:"error,omitempty"`
}

// RestoreServices brings back services that were unloaded for a gateway: all, or the one with that id.
func (c *Client) RestoreServices(ctx context.Context, name string, req RestoreServices) (RestoredServices, error) {
	return call[RestoredServices](ctx, c, http.MethodPost, gatewayPath(name, "services/restore"), req)
}
