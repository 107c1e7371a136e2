package control

import "encoding/json"

// Event is one thing that happened.
type Event struct {
	Cursor  uint64          `json:"cursor"`
	Time    Time            `json:"time"`
	Gateway string          `json:"gateway,omitempty"`
	Plugin  string          `json:"plugin,omitempty"`
	Type    string          `json:"type"`
	Cause   uint64          `json:"cause,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Types of events. Their Data is the type named beside them, if there is one.
const (
	EventGatewayState          = "gateway.state"          // StateData
	EventGatewayCondition      = "gateway.condition"      // ConditionData
	EventGatewayExit           = "gateway.exit"           // ExitData
	EventGatewaySessionOpened  = "gateway.session.opened" // SessionData
	EventGatewaySessionLost    = "gateway.session.lost"   // SessionData
	EventGatewayEvent          = "gateway.event"          // GatewayEventData
	EventGatewayChatMessage    = "gateway.chat.message"
	EventGatewayChannelStatus  = "gateway.channel.status"
	EventGatewayNotification   = "gateway.notification"
	EventGatewayMessage        = "gateway.message"
	EventGatewayOutput         = "gateway.output"         // LogLine
	EventGatewayDoctorFinding  = "gateway.doctor.finding" // DoctorFinding
	EventGatewayDoctorPlan     = "gateway.doctor.plan"    // DoctorPlan
	EventGatewayDoctorProgress = "gateway.doctor.progress"
	EventGatewayDoctorCommand  = "gateway.doctor.command"  // DoctorCommand
	EventGatewayDoctorFinished = "gateway.doctor.finished" // DoctorResult
	EventGatewayReconnect      = "gateway.reconnect"       // ReconnectData
	EventGatewayReady          = "gateway.ready"           // ReadyData
	EventGatewayCommand        = "gateway.command"         // CommandData
	EventGatewayConfig         = "gateway.config"          // ConfigData

	EventGatewayServiceUnloaded = "gateway.service.unloaded" // UnloadedService
	EventGatewayServiceRestored = "gateway.service.restored" // UnloadedService

	EventPluginState    = "plugin.state" // PluginData
	EventConfigReloaded = "config.reloaded"
	EventHostStarted    = "host.started"
	EventHostStopping   = "host.stopping"  // HostStoppingData
	EventHostCondition  = "host.condition" // ConditionData
	// EventDropped is made by the client when the host says that events were lost to this reader: DroppedData.
	EventDropped = "dropped"
	// EventStatus is the first event of a reader that asked for it: Status.
	EventStatus = "status"
)

// StateData is one step of a gateway: its state, its phase, or both have changed.
type StateData struct {
	From      string   `json:"from,omitempty"` // state before
	State     string   `json:"state"`
	Phase     string   `json:"phase,omitempty"`
	ElapsedMs *int64   `json:"elapsedMs,omitempty"` // since this start or stop began
	Attempt   int      `json:"attempt,omitempty"`
	Detail    string   `json:"detail,omitempty"` // why, for people
	PID       int      `json:"pid,omitempty"`
	Port      int      `json:"port,omitempty"`
	Version   string   `json:"version,omitempty"`
	Owner     string   `json:"owner,omitempty"`
	Adopted   bool     `json:"adopted,omitempty"`
	Error     *Failure `json:"error,omitempty"`
	LaunchID  string   `json:"launchId,omitempty"`
	// Start is the whole start, in the event that ends it.
	Start *Start `json:"start,omitempty"`
}

// CommandData is an operator's command as it was given, or the host's own (By "host") at its start and end.
type CommandData struct {
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"`
	Now    bool   `json:"now,omitempty"`
	By     string `json:"by,omitempty"`
}

// ConditionData is a condition that began or ended.
type ConditionData struct {
	Condition
	Active bool `json:"active"`
}

// ExitData is the end of a gateway's process.
type ExitData struct {
	Exit
	LaunchID string `json:"launchId,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Expected bool   `json:"expected"`
}

// MarshalJSON is needed because Exit's would be used for the whole.
func (e ExitData) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code     *int     `json:"code,omitempty"`
		Signal   string   `json:"signal,omitempty"`
		At       Time     `json:"at,omitzero"`
		Tail     []string `json:"tail"`
		LaunchID string   `json:"launchId,omitempty"`
		PID      int      `json:"pid,omitempty"`
		Expected bool     `json:"expected"`
	}{e.Code, e.Signal, e.At, list(e.Tail), e.LaunchID, e.PID, e.Expected})
}

// SessionData is a session that was opened or lost.
type SessionData struct {
	Protocol int    `json:"protocol,omitempty"`
	ConnID   string `json:"connId,omitempty"`
	BootID   string `json:"bootId,omitempty"`
	Version  string `json:"version,omitempty"`
	Code     int    `json:"code,omitempty"` // of the WebSocket's close
	Reason   string `json:"reason,omitempty"`
}

// GatewayEventData is what a gateway sent, with its secrets redacted.
type GatewayEventData struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload,omitempty"`
	// Cut says that this is not all: a payload over 64 KiB is a string here, the beginning of its text.
	Cut   bool `json:"cut,omitempty"`
	Bytes int  `json:"bytes,omitempty"` // of the whole payload, when it was cut
}

// Outcomes of an automatic attempt.
const (
	ReconnectScheduled  = "scheduled"
	ReconnectSuccess    = "success"
	ReconnectFailure    = "failure"
	ReconnectSuperseded = "superseded" // by an operator; it counts as neither
)

// ReconnectData is an automatic attempt to get a gateway back: when it is scheduled, and when it has ended. An attempt
// that only renews the session is not scheduled but begins at once.
type ReconnectData struct {
	Attempt     int      `json:"attempt"` // fast attempts since the last stable period; 0: it does not count
	MaxAttempts int      `json:"maxAttempts,omitempty"`
	Kind        string   `json:"kind,omitempty"`  // process: a new one; transport: a new session with the same
	Cause       string   `json:"cause,omitempty"` // a code, as of an error: why the gateway was lost
	DelayMs     *int64   `json:"delayMs,omitempty"`
	Outcome     string   `json:"outcome,omitempty"`
	TookMs      *int64   `json:"tookMs,omitempty"` // without the delay
	Error       string   `json:"error,omitempty"`  // a code, of a failure
	Attempts    uint64   `json:"attempts"`         // that have ended since the host began, with this one
	Successes   uint64   `json:"successes"`        // of them
	SuccessRate *float64 `json:"successRate,omitempty"`
}

// ReadyData is a change of a gateway's readiness.
type ReadyData struct {
	Ready bool   `json:"ready"`
	By    string `json:"by,omitempty"` // what showed it: event, probe
}

// PluginData is a change of a plugin's process.
type PluginData struct {
	State    string   `json:"state"`
	PID      int      `json:"pid,omitempty"`
	Version  string   `json:"version,omitempty"`
	Restarts int      `json:"restarts,omitempty"`
	Error    *Failure `json:"error,omitempty"`
}

// HostStoppingData says why the host stops.
type HostStoppingData struct {
	Reason string `json:"reason,omitempty"`
}

// DroppedData says how many events a reader lost; Reset: all before this host began.
type DroppedData struct {
	Dropped uint64 `json:"dropped"`
	Reset   bool   `json:"reset,omitempty"`
}
