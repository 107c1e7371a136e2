package control

import "encoding/json"

// States of a gateway's health and of its capabilities.
const (
	HealthUnknown      = "unknown"
	HealthHealthy      = "healthy"
	HealthDegraded     = "degraded"
	HealthUnresponsive = "unresponsive" // of the whole only
)

// GatewayHealth is what a gateway can do now, as seen from outside. It is a view: no decision depends on it. Errors are
// categories (refused, unavailable, timeout, disconnected, failed), because their texts may contain secrets.
type GatewayHealth struct {
	State        string                `json:"state"`
	Reasons      []string              `json:"reasons"` // for any state but healthy
	ReadySince   Time                  `json:"readySince,omitzero"`
	Core         Core                  `json:"core"`
	Capabilities map[string]Capability `json:"capabilities"` // health, status, presence, channels, memory
	Diagnostics  Diagnostics           `json:"diagnostics"`
}

// Core is what all capabilities need.
type Core struct {
	Process    string `json:"process"`           // running, attached, none
	Transport  string `json:"transport"`         // connected, disconnected
	Router     string `json:"router"`            // unknown, ready, blocked: whether calls are answered
	ProbedAt   Time   `json:"probedAt,omitzero"` // of the last system-presence
	ProbeMs    *int64 `json:"probeMs,omitempty"`
	ProbeError string `json:"probeError,omitempty"`
}

// Capability is one thing that a gateway does.
type Capability struct {
	State string `json:"state"`
	At    Time   `json:"at,omitzero"`     // of what showed it
	Ms    *int64 `json:"ms,omitempty"`    // that the call took; absent when an event showed it
	Error string `json:"error,omitempty"` // a category
}

// Diagnostics is what was seen last; absent: never.
type Diagnostics struct {
	LastAliveAt          Time   `json:"lastAliveAt,omitzero"`
	LastCallOkAt         Time   `json:"lastCallOkAt,omitzero"`
	LastCallFailedAt     Time   `json:"lastCallFailedAt,omitzero"`
	LastCallFailedMethod string `json:"lastCallFailedMethod,omitempty"`
	// calls to check the transport; errors that the gateway itself reports do not count
	ConsecutiveCallFailures int  `json:"consecutiveCallFailures"`
	LastMissedPongAt        Time `json:"lastMissedPongAt,omitzero"`
	MissedPongs             int  `json:"missedPongs"` // in a row up to now
	LastCloseAt             Time `json:"lastCloseAt,omitzero"`
	LastCloseCode           int  `json:"lastCloseCode,omitempty"`
}

// HealthCheck is the answer to GET /v1/gateways/{name}/health: OK says that the transport works, in whatever state the
// capabilities are.
type HealthCheck struct {
	OK     bool           `json:"ok"`
	Ready  bool           `json:"ready"`
	TookMs int64          `json:"tookMs"`
	Health *GatewayHealth `json:"health"`
}

// MarshalJSON writes lists without entries as [].
func (h GatewayHealth) MarshalJSON() ([]byte, error) {
	type plain GatewayHealth
	h.Reasons = list(h.Reasons)
	return json.Marshal(plain(h))
}
