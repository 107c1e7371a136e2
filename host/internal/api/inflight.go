package api

import (
	"sync"
	"time"
)

// callDrain is how long calls to gateways that are in flight may take when the host stops. A call that takes longer
// fails with the error that the host restarts (R50).
const callDrain = 5 * time.Second

// inflight counts the calls to gateways that are in flight.
type inflight struct {
	mu       sync.Mutex // guards all below: calls come from goroutines of the control socket
	n        int
	stopping bool
	idle     chan struct{} // closed when the last call in flight has ended; set while the host stops
}

// begin counts a call in; it returns false when the host is stopping.
func (c *inflight) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return false
	}
	c.n++
	return true
}

// end counts a call out and reports whether the host has begun to stop meanwhile.
func (c *inflight) end() (stopping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
	return c.stopping
}

// drain refuses further calls and waits for those in flight, for at most callDrain and until hurry is closed.
func (c *inflight) drain(hurry <-chan struct{}) {
	c.mu.Lock()
	c.stopping = true
	if c.n == 0 {
		c.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	c.idle = idle
	c.mu.Unlock()
	timer := time.NewTimer(callDrain)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	case <-hurry:
	}
}
