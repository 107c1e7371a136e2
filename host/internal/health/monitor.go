package health

import (
	"context"
	"maps"
	"sync"
	"time"
)

// probeMethod shows whether the router answers; only its timeouts count as failures of the transport (B163).
const probeMethod = "system-presence"

// When to check whether the gateway is ready: after the session was opened, and after each check (B279).
var probeAfter = []time.Duration{
	1500 * time.Millisecond, 3 * time.Second, 5 * time.Second, 8 * time.Second, 12 * time.Second, 30 * time.Second,
}

const probeTimeout = 5 * time.Second

// Options of a monitor; all are needed.
type Options struct {
	// Ask makes one call over the present session and reports the outcome with Called, as every call does.
	Ask func(ctx context.Context, method string) error
	// OnReady is called when readiness changes, with what showed it: "event" or "probe", "" for the loss. It must
	// not call the monitor.
	OnReady func(ready bool, by string)
	// Category returns the category of an error of Ask.
	Category func(error) Category
}

// Monitor watches one gateway. Safe for concurrent use; no method waits for the gateway. Close ends it.
type Monitor struct {
	o Options

	telling sync.Mutex // held around OnReady, so that changes are reported in order; taken before mu
	mu      sync.Mutex // guards all fields below
	view    View
	session uint64             // increases with each session; results of an earlier session are ignored
	stop    context.CancelFunc // cancels the probe; nil when none runs
	closed  bool
	probes  sync.WaitGroup
}

// New makes a monitor of a gateway without a session.
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

// Close ends the probe and waits for it.
func (m *Monitor) Close() {
	m.mu.Lock()
	m.closed = true
	m.halt()
	m.mu.Unlock()
	m.probes.Wait()
}

// halt ends the probe; m is locked.
func (m *Monitor) halt() {
	if m.stop != nil {
		m.stop()
		m.stop = nil
	}
}

// View returns what is known at present.
func (m *Monitor) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.view
	v.Capabilities = maps.Clone(v.Capabilities)
	return v
}

// Opened reports a new session: the monitor forgets everything about the one before, except the diagnostics, and
// probes the gateway until it is ready.
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

// Closed reports that the session is over; code is the WebSocket's, 1000 when the host itself closed it.
func (m *Monitor) Closed(code int) {
	m.setReady(false, "", func() {
		m.session++
		m.halt()
		m.view.Connected, m.view.Router, m.view.Capabilities = false, RouterUnknown, unknown()
		m.view.LastClose, m.view.LastCloseCode = time.Now(), code
	})
}

// Event reports an event of the gateway.
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

// Session returns the number of the present session, for Called.
func (m *Monitor) Session() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// Called reports the end of a call by any caller; session is what Session returned when the call began.
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
	case c.answered(): // an error that the gateway declares is no failure of the transport (T092)
		m.view.ConsecutiveFailures = 0
	case c == Disconnected, c == Timeout && method == probeMethod: // a slow capability degrades itself only (T093)
		m.view.ConsecutiveFailures++
	}
	if c == OK || c == Refused {
		m.view.Router = RouterReady
	}
	if method == probeMethod {
		m.view.ProbedAt, m.view.ProbeTook, m.view.ProbeError = now, took, c
		if !c.answered() && m.view.Ready { // it was ready before (T095)
			m.view.Router = RouterBlocked
		}
	}
	if name, ok := byMethod[method]; ok && c != Failed { // the probe says more than the call
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

// Check calls health and status at the same time, with probe also the router, and reports whether the transport
// works: a slow health or status only degrades itself (B281, T094). The view holds the results.
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

// bound limits the method name of a caller, so that it cannot fill the status.
func bound(method string) string { return method[:min(len(method), 64)] }

// probe checks until the gateway is ready, or the session is over.
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
		// A gateway that refuses permanently, because it does not know the method or does not allow it, still has a
		// router.
		if c := m.o.Category(err); c == OK || c == Refused {
			m.readyBy(ctx)
			return
		}
	}
}

// readyBy records the result of a probe, unless its session is over meanwhile.
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

// setReady changes readiness together with what else f changes, and reports a change.
func (m *Monitor) setReady(ready bool, by string, f func()) {
	m.telling.Lock()
	defer m.telling.Unlock()
	m.mu.Lock()
	if ready && (m.view.Ready || !m.view.Connected) { // reported twice, or of a session that is over
		m.mu.Unlock()
		return
	}
	was := m.view.Ready
	f()
	m.view.Ready, m.view.ReadySince = ready, time.Time{}
	if ready {
		m.view.ReadySince = time.Now()
		m.halt() // there is nothing left to check (T105)
	}
	m.mu.Unlock()
	if was != ready {
		m.o.OnReady(ready, by)
	}
}
