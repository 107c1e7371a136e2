package session

import "encoding/json"

// Event is something that the gateway sent by itself.
type Event struct {
	Name    string // "" for a frame that is neither answer nor event
	Payload json.RawMessage
	Seq     int64 // counts up by one over a session's events; 0 when there was none
}

// Kind is what an event means to the host.
type Kind string

// The kinds. Those that begin with "gateway." are names of the host's own events (interface.md).
const (
	KindTick          Kind = "tick" // a sign of life, not worth an event (B172)
	KindReady         Kind = "ready"
	KindShutdown      Kind = "shutdown" // see End for what it announced
	KindHealth        Kind = "health"   // health, presence: feed the capability view (B176)
	KindChat          Kind = "gateway.chat.message"
	KindChannelStatus Kind = "gateway.channel.status"
	KindNotification  Kind = "gateway.notification"
	KindMessage       Kind = "gateway.message" // a frame of no known shape (B171)
)

// Kind tells by the event's name (B172 to B179). Notifications of JSON-RPC 2.0 come with their method as the name.
func (e Event) Kind() Kind {
	switch e.Name {
	case "":
		return KindMessage
	case "tick":
		return KindTick
	case "gateway.ready", "ready":
		return KindReady
	case "shutdown":
		return KindShutdown
	case "health", "presence":
		return KindHealth
	case "chat", "chat.message_received":
		return KindChat
	case "channel.status", "channel.status_changed":
		return KindChannelStatus
	default:
		return KindNotification
	}
}
