package health

import (
	"slices"
	"time"
)

// State is the state of a capability, or of the whole.
type State string

// The states.
const (
	Unknown  State = "unknown"
	Healthy  State = "healthy"
	Degraded State = "degraded"
	// Unresponsive is for the whole only: the router does not answer, or there is no session although there should
	// be one.
	Unresponsive State = "unresponsive"
)

// Router says whether the gateway answers calls.
type Router string

// The states of a router.
const (
	RouterUnknown Router = "unknown"
	RouterReady   Router = "ready"
	RouterBlocked Router = "blocked"
)

// Capability is one thing that a gateway does.
type Capability struct {
	State    State
	At       time.Time     // of what was seen last
	Duration time.Duration // of the call that showed it; 0: an event did
	Error    Category
}

// Names are the capabilities, in the order in which they are shown.
var names = []string{"health", "status", "presence", "channels", "memory"}

// Names lists the capabilities in the order in which they are shown.
func Names() []string { return slices.Clone(names) }

// byMethod maps a method to the capability that a call of it shows.
var byMethod = map[string]string{
	"health": "health", "status": "status", "system-presence": "presence", "channels.status": "channels",
	"doctor.memory.status": "memory",
}

// byEvent maps an event of the gateway to the capability that it shows (T119).
var byEvent = map[string]string{
	"health": "health", "presence": "presence", "channel.status": "channels", "channel.status_changed": "channels",
}

// View is what is known at one moment. It is a copy.
type View struct {
	Ready      bool
	ReadySince time.Time

	Connected    bool
	Router       Router
	ProbedAt     time.Time // of the last call that shows the state of the router
	ProbeTook    time.Duration
	ProbeError   Category
	Capabilities map[string]Capability

	// Diagnostics (B282); zero times: never.
	LastCallOK          time.Time
	LastCallFailed      time.Time
	LastFailedMethod    string
	ConsecutiveFailures int // calls in a row that failed because of the transport
	LastClose           time.Time
	LastCloseCode       int
}

// Signs are observations of other packages.
type Signs struct {
	MissedPongs int // by the session's own pings: missed in a row
	Up          bool
	Suppressed  bool // by the gateway's own report: it holds its channels back
}

// Overall returns the state of the whole, with the reasons for anything but healthy (T096): missed pongs are a sign
// that something is slow and never decide.
func (v View) Overall(s Signs) (State, []string) {
	var reasons []string
	state := Healthy
	worse := func(to State, why string) {
		reasons = append(reasons, why)
		if state != Unresponsive {
			state = to
		}
	}
	switch {
	case !s.Up:
		return Unknown, []string{"not-running"}
	case !v.Connected:
		worse(Unresponsive, "disconnected")
	case v.Router == RouterBlocked:
		worse(Unresponsive, "router-blocked")
	}
	if v.Connected && s.MissedPongs > 0 {
		worse(Degraded, "missed-pongs")
	}
	if s.Suppressed { // a gateway that answers every call and does not do its work
		worse(Degraded, "channels-suppressed")
	}
	if v.ConsecutiveFailures > 0 && v.Router != RouterBlocked {
		worse(Degraded, "call-failures")
	}
	for _, name := range names {
		if v.Capabilities[name].State == Degraded {
			worse(Degraded, name)
		}
	}
	if state == Healthy && !v.Ready {
		return Unknown, []string{"not-ready"}
	}
	return state, reasons
}
