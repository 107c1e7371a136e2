package host

import (
	"net/http"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// callDrain is how long calls to gateways that are under way may take when the host stops; what is longer is told that the host is
// restarting (R50).
const callDrain = 5 * time.Second

// calls counts the RPC calls under way.
type calls struct {
	mu       sync.Mutex // guards all below
	n        int
	stopping bool
	idle     chan struct{} // closed when the last call under way has ended; set while stopping
}

// begin counts a call in; false when the host is stopping.
func (c *calls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return false
	}
	c.n++
	return true
}

// end counts it out and reports whether the host has begun to stop meanwhile.
func (c *calls) end() (stopping bool) {
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
func (c *calls) drain(hurry <-chan struct{}) {
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

// restarting is the answer to a call that the end of the host cut off, or forbids: it may be made to the next one.
func restarting() error {
	return &control.Problem{
		Status: http.StatusServiceUnavailable, Code: control.CodeHostRestarting, Title: "Service Unavailable", Detail: "the host is shutting down",
		Hint: "ask again when the host is back", Retryable: true,
	}
}
