package events

import (
	"encoding/json"
	"time"
)

// Type says what happened; docs/reference/api.md lists the names.
type Type string

// The types.
const (
	GatewayState          Type = "gateway.state"
	GatewayCondition      Type = "gateway.condition"
	GatewayExit           Type = "gateway.exit"
	GatewaySessionOpened  Type = "gateway.session.opened"
	GatewaySessionLost    Type = "gateway.session.lost"
	GatewayEvent          Type = "gateway.event"
	GatewayChatMessage    Type = "gateway.chat.message"
	GatewayChannelStatus  Type = "gateway.channel.status"
	GatewayNotification   Type = "gateway.notification"
	GatewayMessage        Type = "gateway.message"
	GatewayOutput         Type = "gateway.output"
	GatewayDoctorFinding  Type = "gateway.doctor.finding"
	GatewayDoctorPlan     Type = "gateway.doctor.plan"
	GatewayDoctorProgress Type = "gateway.doctor.progress"
	GatewayDoctorCommand  Type = "gateway.doctor.command"
	GatewayDoctorFinished Type = "gateway.doctor.finished"
	GatewayReconnect      Type = "gateway.reconnect"
	GatewayReady          Type = "gateway.ready"
	GatewayCommand        Type = "gateway.command"
	GatewayConfig         Type = "gateway.config"

	GatewayServiceUnloaded Type = "gateway.service.unloaded"
	GatewayServiceRestored Type = "gateway.service.restored"

	PluginState    Type = "plugin.state"
	ConfigReloaded Type = "config.reloaded"
	HostStarted    Type = "host.started"
	HostStopping   Type = "host.stopping"
	HostCondition  Type = "host.condition"
)

// IsForeign reports whether a gateway decides what is in an event and how often it comes, and not the host.
func (e Event) IsForeign() bool {
	switch e.Type {
	case GatewayOutput, GatewayEvent, GatewayChatMessage, GatewayChannelStatus, GatewayNotification, GatewayMessage:
		return true
	default:
		return false
	}
}

// Event is one thing that happened.
type Event struct {
	Cursor  uint64 // set by Publish
	Time    time.Time
	Gateway string // "" when it concerns no gateway
	Plugin  string
	Type    Type
	Cause   uint64 // cursor of the event that caused it; 0: unknown
	// Data is encoded as JSON for readers. It must not change after Publish and must hold no secret.
	Data any
}

// Sized lets Data report how many bytes of memory it takes, so that a hub can bound what it keeps.
type Sized interface{ EventSize() int }

// Line is Data of a line of output that knows its place, so that a log knows how far each launch was read.
type Line interface {
	// OutputPlace returns the launch, the place after the line, and how many lines of the launch end there; 0:
	// unknown.
	OutputPlace() (launch string, cursor, line uint64)
	// IsGap reports whether there is no line, only a place where lines were lost.
	IsGap() bool
	// Showed returns the meaning of the line, as a word, and its text; "" when it means nothing.
	Showed() (symptom, text string)
}

// IsLine reports whether an event is a line of output and not a gap in the output.
func (e Event) IsLine() bool {
	if e.Type != GatewayOutput {
		return false
	}
	l, ok := e.Data.(Line)
	return !ok || !l.IsGap()
}

// base is the memory that an event takes besides its Data, and the assumed size of Data that does not report it.
const base = 512

func (e Event) size() int {
	switch d := e.Data.(type) {
	case Sized:
		return base + d.EventSize()
	case json.RawMessage:
		return base + len(d)
	case []byte:
		return base + len(d)
	case string:
		return base + len(d)
	default:
		return 2 * base
	}
}
