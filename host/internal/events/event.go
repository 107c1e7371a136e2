package events

import (
	"encoding/json"
	"time"
)

// Type is what happened; docs/reference/api.md lists the names.
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
	GatewayDoctorFinished Type = "gateway.doctor.finished"
	GatewayReconnect      Type = "gateway.reconnect"
	GatewayReady          Type = "gateway.ready"
	GatewayCommand        Type = "gateway.command"
	GatewayConfig         Type = "gateway.config"
	PluginState           Type = "plugin.state"
	ConfigReloaded        Type = "config.reloaded"
	HostStarted           Type = "host.started"
	HostStopping          Type = "host.stopping"
	HostCondition         Type = "host.condition"
)

// Event is one thing that happened.
type Event struct {
	Cursor  uint64 // set by Publish
	Time    time.Time
	Gateway string // "" when it is not about one
	Plugin  string
	Type    Type
	Cause   uint64 // cursor of the event that caused it; 0: none known
	// Data is encoded as JSON for readers. It must not change after Publish and must hold no secret.
	Data any
}

// Sized lets Data say how many bytes of memory it takes, so that a hub can bound what it keeps.
type Sized interface{ EventSize() int }

// Line is Data about a line of output that knows its place, so that a log knows how far each launch was read.
type Line interface {
	// OutputPlace is the launch, the place after the line, and how many lines of the launch ended up to there; 0: not known.
	OutputPlace() (launch string, cursor, line uint64)
	// IsGap reports whether there is no line, only a place where some are lost.
	IsGap() bool
	// Showed is what the line means, as a word, and its text; "" when it means nothing.
	Showed() (symptom, text string)
}

// IsLine reports whether an event is a line of output, as opposed to a gap in it.
func (e Event) IsLine() bool {
	if e.Type != GatewayOutput {
		return false
	}
	l, ok := e.Data.(Line)
	return !ok || !l.IsGap()
}

// base is what an event takes in memory besides its Data, and what is assumed of Data that does not tell.
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
