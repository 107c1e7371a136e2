package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Sources of a gateway's configuration.
const (
	SourceGateway = "gateway" // it was asked
	SourceFile    = "file"    // it does not run, or cannot be asked
)

// GatewayConfig is a gateway's own configuration, or one value of it. Secrets are replaced by "__OPENCLAW_REDACTED__";
// sent back at the same place, that stands for the value that is there.
type GatewayConfig struct {
	Source string          `json:"source"`
	File   string          `json:"file,omitempty"`
	Exists bool            `json:"exists"`
	Valid  *bool           `json:"valid,omitempty"` // absent: only a running gateway knows
	Issues []ConfigIssue   `json:"issues,omitempty"`
	Path   string          `json:"path,omitempty"`
	Value  json.RawMessage `json:"value"` // of the gateway with its defaults, or of the file as it is written
}

// ConfigIssue is something that a gateway says is wrong with its configuration.
type ConfigIssue struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// Actions on a gateway's configuration.
const (
	ConfigSet   = "set"
	ConfigUnset = "unset"
	ConfigPatch = "patch" // a JSON merge patch (RFC 7396)
	ConfigUndo  = "undo"  // undoes the last edit of this host
	ConfigAlign = "align" // in events only: the host made the file agree with the gateway's token before a launch
)

// ConfigEdit changes a gateway's configuration. Paths are like agents.list[0].id and channels["a.b"].
type ConfigEdit struct {
	Action string `json:"action"`
	Path   string `json:"path,omitempty"` // set, unset
	// Value is for set and patch. Text is the same as a person types it: JSON5, or for set also a plain text.
	Value json.RawMessage `json:"value,omitempty"`
	Text  *string         `json:"text,omitempty"`
	// DropComments: a running gateway writes its file without comments; without this permission the edit is refused
	// then.
	DropComments bool   `json:"dropComments,omitempty"`
	Force        bool   `json:"force,omitempty"`  // undo: also what was changed since
	Reason       string `json:"reason,omitempty"` // for people, in events and logs
}

// Outcomes of a ConfigEdit.
const (
	ConfigChanged   = "changed"
	ConfigUnchanged = "unchanged" // the value was there already; nothing was written
	ConfigUndone    = "undone"
)

// ConfigEdited is what an edit did.
type ConfigEdited struct {
	Outcome string         `json:"outcome"`
	Source  string         `json:"source"` // whether the gateway or the file was changed
	File    string         `json:"file,omitempty"`
	Changes []ConfigChange `json:"changes"`
	// RequiresRestart: the gateway restarts itself because of the edit, and the host treats that as normal. Absent: not
	// known.
	RequiresRestart *bool `json:"requiresRestart,omitempty"`
	// Settled: the gateway's answer was lost, and its file proves that the change was made.
	Settled bool   `json:"settled,omitempty"`
	Copy    string `json:"copy,omitempty"` // the copy that undo uses
}

// ConfigChange is one value; Before and After are absent when there is no value, and masked.
type ConfigChange struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// ConfigData is an edit in an event; it contains no values.
type ConfigData struct {
	Action          string   `json:"action"`
	Source          string   `json:"source"`
	Paths           []string `json:"paths"`
	RequiresRestart *bool    `json:"requiresRestart,omitempty"`
	Reason          string   `json:"reason,omitempty"`
}

// Config reads a gateway's own configuration, or the value at a path; "" is all.
func (c *Client) Config(ctx context.Context, name, path string) (GatewayConfig, error) {
	p := gatewayPath(name, "config")
	if path != "" {
		p += "?" + url.Values{"path": {path}}.Encode()
	}
	return call[GatewayConfig](ctx, c, http.MethodGet, p, nil)
}

// EditConfig changes a gateway's own configuration.
func (c *Client) EditConfig(ctx context.Context, name string, edit ConfigEdit) (ConfigEdited, error) {
	return call[ConfigEdited](ctx, c, http.MethodPost, gatewayPath(name, "config"), edit)
}
