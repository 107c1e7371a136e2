package control

import "encoding/json"

// ReloadRequest asks a host to read its configuration again.
type ReloadRequest struct {
	DryRun bool `json:"dryRun,omitempty"` // only say what would be done
	// Remove: gateways that the file no longer has are stopped and removed. Without it such a file is refused.
	Remove bool `json:"remove,omitempty"`
}

// Outcomes of a reload.
const (
	ReloadUnchanged = "unchanged" // the file has the configuration that is in effect
	ReloadApplied   = "applied"   // as far as each change says
	ReloadPartly    = "partly"    // some changes failed; what they concern is unchanged
	ReloadPlanned   = "planned"   // with DryRun
	ReloadRefused   = "refused"   // nothing was changed; only in events: a client gets a Problem
)

// Reload is what a reload did.
type Reload struct {
	Outcome string         `json:"outcome"`
	Config  string         `json:"config,omitempty"` // the file; absent without one
	Changes []ReloadChange `json:"changes"`
	Faults  []string       `json:"faults,omitempty"` // of a file that was refused
	TookMs  int64          `json:"tookMs"`
}

// MarshalJSON lists no changes as [].
func (r Reload) MarshalJSON() ([]byte, error) {
	type plain Reload
	p := plain(r)
	p.Changes = list(p.Changes)
	return json.Marshal(p)
}

// What a change is about.
const (
	ScopeHost    = "host"
	ScopePlugin  = "plugin"
	ScopeGateway = "gateway"
)

// What happens to it.
const (
	ChangeAdded      = "added"
	ChangeRemoved    = "removed"
	ChangeChanged    = "changed"    // the host uses the new values
	ChangeConfigured = "configured" // the plugin's process is reconfigured
	ChangeReplaced   = "replaced"   // a new process replaces the plugin's process
)

// When it takes effect.
const (
	ReloadNow         = "applied"
	ReloadNextSession = "next-session" // with the next session with the gateway
	// with the next process of the gateway; the current one continues as it was launched
	ReloadNextRestart = "next-restart"
	ReloadHostRestart = "host-restart" // with the next start of the host
	ReloadFailed      = "failed"       // Error says why; the former value stays in effect
)

// ReloadChange is one change. With DryRun, Result says what would happen.
type ReloadChange struct {
	Scope  string   `json:"scope"`
	Name   string   `json:"name,omitempty"` // of the plugin or the gateway
	Action string   `json:"action"`
	Keys   []string `json:"keys,omitempty"` // dotted; values are not shown, because they may be secrets
	Result string   `json:"result"`
	Detail string   `json:"detail,omitempty"` // for people
	Error  *Failure `json:"error,omitempty"`
}
