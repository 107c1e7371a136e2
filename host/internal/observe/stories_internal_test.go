package observe

import (
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// stories are runs of the machine; a test compares their facts with a golden file.
func stories(story func(name string, tell func(m *machine))) {
	story("start, stop", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.now = m.now.Add(time.Minute)
		m.give(lifecycle.StopRequested{Command: 2})
	})
	story("crash, backoff, running again", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.now = m.now.Add(90 * time.Second)
		m.crash()
		m.fire(lifecycle.TimerBackoff, time.Second)
	})
	story("crash loop up to the cap, then a slow attempt", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.Refuse = &lifecycle.Problem{Code: "no", Message: "x"}
		m.crash()
		m.fire(lifecycle.TimerBackoff, time.Second)
		m.fire(lifecycle.TimerBackoff, 2*time.Second)
		m.Refuse = nil
		m.fire(lifecycle.TimerSlow, 5*time.Minute)
	})
	story("session lost and renewed", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.now = m.now.Add(time.Minute)
		m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
		m.now = m.now.Add(time.Minute)
		m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1012, Announce: lifecycle.AnnounceRestart})
	})
	story("attached, session lost, back", func(m *machine) {
		m.Holder = lifecycle.HolderGateway
		m.give(lifecycle.StartRequested{Command: 1})
		m.Refuse = &lifecycle.Problem{Code: "closed_before_handshake", Message: "x"}
		m.give(lifecycle.SessionClosed{Session: m.state.Session, Code: 1006})
		m.fire(lifecycle.TimerRejoin, 30*time.Second)
		m.Refuse = nil
		m.fire(lifecycle.TimerBackoff, time.Second)
	})
	story("restart asked for", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.now = m.now.Add(time.Hour)
		m.give(lifecycle.RestartRequested{Command: 2})
	})
	story("channels suppressed: a condition comes, a restart frees them", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.give(lifecycle.SymptomSeen{Launch: m.state.Launch, Symptom: lifecycle.SymptomChannelsSuppressed, Text: "x"})
		m.fire(lifecycle.TimerBreaker, 310*time.Second)
	})
	story("drift: settings change and change back", func(m *machine) {
		m.give(lifecycle.StartRequested{Command: 1})
		m.give(lifecycle.Reconfigured{Drift: []string{"port"}})
		m.give(lifecycle.Reconfigured{})
	})
	story("a stranger holds the port", func(m *machine) {
		m.Holder = lifecycle.HolderStranger
		m.give(lifecycle.StartRequested{Command: 1})
	})
	story("a start that fails, then is asked for again", func(m *machine) {
		m.Refuse = &lifecycle.Problem{Code: "no", Message: "x", Fatal: true}
		m.give(lifecycle.StartRequested{Command: 1})
		m.Refuse = nil
		m.now = m.now.Add(time.Minute)
		m.give(lifecycle.StartRequested{Command: 2})
	})
}
