package session

import "encoding/json"

// Event is a frame that the gateway sent without being asked.
type Event struct {
	Name    string // "" for a frame that is neither answer nor event
	Payload json.RawMessage
	Seq     int64 // increases by one over a session's events; 0 when there was none
}

// Kind is the host's name for an event of a gateway (docs/reference/api.md).
type Kind string

// The kinds.
const (
	KindTick Kind = "" // a sign of life and nothing else (B172)
	// what the gateway says about itself: ready, shutdown, health, presence (B176)
	KindState         Kind = "gateway.event"
	KindChat          Kind = "gateway.chat.message"
	KindChannelStatus Kind = "gateway.channel.status"
	KindNotification  Kind = "gateway.notification"
	KindMessage       Kind = "gateway.message" // a frame of an unknown form (B171)
)

// Kind returns the kind by the event's name (B172 to B179). Notifications of JSON-RPC 2.0 have their method as the
// name.
func (e Event) Kind() Kind {
	switch e.Name {
	case "":
		return KindMessage
	case "tick":
		return KindTick
	case "gateway.ready", "ready", "shutdown", "health", "presence", "config.changed", "gateway.suspension":
		return KindState
	case "chat", "chat.message_received":
		return KindChat
	case "channel.status", "channel.status_changed":
		return KindChannelStatus
	default:
		return KindNotification
	}
}
