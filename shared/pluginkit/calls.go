package pluginkit

import (
	"strings"
	"sync"
)

// calls counts the calls of the contract that run now; go-plugin's own streams last as long as the process and do not
// count. Safe for concurrent use.
type calls struct {
	mu      sync.Mutex // guards both below
	running int
	quiet   chan struct{} // made by idle, closed when none runs
}

// begin counts a call; calling what it returns ends the call.
func (c *calls) begin(method string) func() {
	if !strings.HasPrefix(method, "/gatehost.") {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running++
	return c.end
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.running == 0 && c.quiet != nil {
		close(c.quiet)
		c.quiet = nil
	}
}

// idle is closed when no call runs; used once.
func (c *calls) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	quiet := make(chan struct{})
	if c.running == 0 {
		close(quiet)
	} else {
		c.quiet = quiet
	}
	return quiet
}
