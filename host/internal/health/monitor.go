package health

import (
	"context"
	"maps"
	"sync"
	"time"
)

// probeMethod decides whether the router answers; only its timeouts count as failures of the transport (B163).
const probeMethod = "system-presence"

// The times of the question whether the gateway is ready, after the session was opened and after each other (B279).
var probeAfter = []time.Duration{
	1500 * time.Millisecond, 3 * time.Second, 5 * time.Second, 8 * time.Second, 12 * time.Second, 30 * time.Second,
}

const probeTimeout = 5 * time.Second

// Options of a monitor; all are needed.
type Options struct {
	// Ask makes one call over the present session and reports the outcome by Called, as every call does.
	Ask func(ctx context.Context, method string) error
	// OnReady is told when readiness changes, and what showed it: "event" or "probe", "" for the loss. It must not call the monitor.
	OnReady func(ready bool, by string)
	// Category reduces an error of Ask.
	Category func(error) Category
}

// Monitor watches one gateway. Safe for concurrent use; no method waits for the gateway. Close ends it.
type Monitor struct {
	o Options

	telling sync.Mutex // held around OnReady, so that changes are told in their order; taken before mu
	mu      sync.Mutex // guards all below
	view    View
	session uint64             // counts up with each; what an earlier one shows is not believed
	stop    context.CancelFunc // of the probing; nil without
	closed  bool
	probes  sync.WaitGroup
}

// New makes a monitor of a gateway that has no session.
func New(o Options) *Monitor {
	m := &Monitor{o: o}
	m.view.Router, m.view.Capabilities = RouterUnknown, unknown()
	return m
}

func unknown() map[string]Capability {
	out := map[string]Capability{}
	for _, name := range names {
		out[name] = Capability{State: Unknown}
	}
	return out
}

// Close ends the probing and waits for it.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	m.halt()
	m.mu.Unlock()
	m.probes.Wait()
}

// halt ends the probing; m is locked.
func (m *Monitor) halt() {
	if m.stop != nil {
		m.stop()
		m.stop = nil
	}
}

// View is what is known now.
func (m *Monitor) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.view
	v.Capabilities = maps.Clone(v.Capabilities)
	return v
}

// Opened tells of a new session: all that is known of the one before is forgotten, but for the diagnostics, and the gateway is asked until
// it is ready.
func (m *Monitor) Opened() {
	m.setReady(false, "", func() {
		m.session++
		m.halt()
		m.view.Connected, m.view.Router, m.view.Capabilities = true, RouterUnknown, unknown()
		m.view.ProbedAt, m.view.ProbeTook, m.view.ProbeError, m.view.ConsecutiveFailures = time.Time{}, 0, OK, 0
		if m.closed {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		m.stop = cancel
		m.probes.Go(func() { m.probe(ctx) })
	})
}

// Closed tells that the session is over; code is the WebSocket's, 1000 when the host itself closed it.
func (m *Monitor) Closed(code int) {
	m.setReady(false, "", func() {
		m.session++
		m.halt()
		m.view.Connected, m.view.Router, m.view.Capabilities = false, RouterUnknown, unknown()
		m.view.LastClose, m.view.LastCloseCode = time.Now(), code
	})
}

// Event tells of an event that the gateway sent by itself.
func (m *Monitor) Event(name string) {
	if name == "ready" || name == "gateway.ready" {
		m.setReady(true, "event", func() { m.view.Router = RouterReady })
		return
	}
	capability, ok := byEvent[name]
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view.Connected {
		m.view.Capabilities[capability] = Capability{State: Healthy, At: time.Now()}
	}
}

// Session is the number of the present session, for Called.
func (m *Monitor) Session() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// Called tells of a call that ended, whoever made it; session is what Session answered when it began.
func (m *Monitor) Called(session uint64, method string, took time.Duration, c Category) {
	if c == Cancelled {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if c == OK {
		m.view.LastCallOK = now
	} else {
		m.view.LastCallFailed, m.view.LastFailedMethod = now, bound(method)
	}
	if session != m.session || !m.view.Connected {
		return
	}
	switch {
	case c.answered(): // what the gateway declares itself is no failure of the transport (T092)
		m.view.ConsecutiveFailures = 0
	case c == Disconnected, c == Timeout && method == probeMethod: // a slow capability degrades itself only (T093)
		m.view.ConsecutiveFailures++
	}
	if c == OK || c == Refused {
		m.view.Router = RouterReady
	}
	if method == probeMethod {
		m.view.ProbedAt, m.view.ProbeTook, m.view.ProbeError = now, took, c
		if !c.answered() && m.view.Ready { // it was ready once (T095)
			m.view.Router = RouterBlocked
		}
	}
	if name, ok := byMethod[method]; ok && c != Failed { // which says more about the call
		state := Healthy
		if c != OK {
			state = Degraded
		}
		m.view.Capabilities[name] = Capability{State: state, At: now, Duration: took, Error: c}
	}
}

// The bounds of a check (B281).
const (
	checkTimeout = 3 * time.Second
	probingCheck = 8 * time.Second
)

// Check asks for health and status at the same time, with probe also whether the router answers, and reports whether the transport is well:
// a slow health or status only degrades itself (B281, T094). What it found is in the view.
func (m *Monitor) Check(ctx context.Context, probe bool) bool {
	limit, routed := checkTimeout, true
	var asked sync.WaitGroup
	if probe {
		limit = probingCheck
		asked.Go(func() { routed = m.o.Category(m.ask(ctx, probeMethod, probeTimeout)).answered() })
	}
	for _, method := range []string{"health", "status"} {
		asked.Go(func() { _ = m.ask(ctx, method, limit) }) // Called has its outcome
	}
	asked.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.Connected && routed
}

func (m *Monitor) ask(ctx context.Context, method string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m.o.Ask(ctx, method)
}

// bound keeps what a caller wrote for a method from filling the status.
func bound(method string) string { return method[:min(len(method), 64)] }

// probe asks until the gateway is ready, or the session is over.
func (m *Monitor) probe(ctx context.Context) {
	for try := 0; ; try++ {
		timer := time.NewTimer(probeAfter[min(try, len(probeAfter)-1)])
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		err := m.ask(ctx, probeMethod, probeTimeout)
		if ctx.Err() != nil {
			return
		}
		// A gateway that refuses for good, since it does not know the method or does not let us, has a router all the same.
		if c := m.o.Category(err); c == OK || c == Refused {
			m.readyBy(ctx)
			return
		}
	}
}

// readyBy is what a probe finds, unless its session is over meanwhile.
func (m *Monitor) readyBy(ctx context.Context) {
	m.telling.Lock()
	defer m.telling.Unlock()
	m.mu.Lock()
	if ctx.Err() != nil || m.view.Ready {
		m.mu.Unlock()
		return
	}
	m.view.Ready, m.view.ReadySince, m.view.Router = true, time.Now(), RouterReady
	m.mu.Unlock()
	m.o.OnReady(true, "probe")
}

// setReady changes readiness together with what else f changes, and tells when it did.
func (m *Monitor) setReady(ready bool, by string, f func()) {
	m.telling.Lock()
	defer m.telling.Unlock()
	m.mu.Lock()
	if ready && (m.view.Ready || !m.view.Connected) { // said twice, or of a session that is over
		m.mu.Unlock()
		return
	}
	was := m.view.Ready
	f()
	m.view.Ready, m.view.ReadySince = ready, time.Time{}
	if ready {
		m.view.ReadySince = time.Now()
		m.halt() // nothing is left to ask (T105)
	}
	m.mu.Unlock()
	if was != ready {
		m.o.OnReady(ready, by)
	}
}
