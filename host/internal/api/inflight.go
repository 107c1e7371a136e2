package api

import (
	"sync"
	"time"
)

// callDrain is how long calls to gateways that are under way may take when the host stops; what is longer is told that the host is
// restarting (R50).
const callDrain = 5 * time.Second

// inflight counts the calls to gateways under way.
type inflight struct {
	mu       sync.Mutex // guards all below: calls come from goroutines of the control socket
	n        int
	stopping bool
	idle     chan struct{} // closed when the last call under way has ended; set while stopping
}

// begin counts a call in; false when the host is stopping.
func (c *inflight) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return false
	}
	c.n++
	return true
}

// end counts it out and reports whether the host has begun to stop meanwhile.
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

// drain refuses further calls and waits for those under way, within callDrain and until hurry.
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
