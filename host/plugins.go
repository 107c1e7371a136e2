package host

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/fault"
)

// pluginChanged takes every change of a plugin's state. It does not block.
func (h *Host) pluginChanged(s pluginhost.State) {
	h.hub.Publish(events.Event{Plugin: s.Name, Type: events.PluginState, Data: view.PluginEvent(s)})
	running := ""
	if s.State == pluginhost.Running {
		running = s.Name
	}
	for _, g := range h.registry.Now().Gateways {
		g.PluginChanged(running)
	}
}

// pluginCalled counts every call to a plugin.
func (h *Host) pluginCalled(c pluginhost.Call) {
	result := metrics.Failed
	switch {
	case c.Err == nil:
		result = metrics.OK
	case errors.Is(c.Err, fault.ErrPluginGone), errors.Is(c.Err, fault.ErrPluginDown):
		result = metrics.Disconnected
	case errors.Is(c.Err, fault.ErrDeadlineExceeded), errors.Is(c.Err, context.DeadlineExceeded):
		result = metrics.Timeout
	case errors.Is(c.Err, fault.ErrCancelled), errors.Is(c.Err, context.Canceled):
		result = metrics.Cancelled
	case fault.CodeOf(c.Err) != fault.Internal:
		result = metrics.Refused
	}
	h.metrics.PluginCall(c.Plugin, c.Method, result, c.Took, c.Stream)
}

// isPlugin reports whether a process is one of this host's plugins, or a process of the sandbox of any, for the control
// socket.
func (h *Host) isPlugin(pid int) bool {
	return pid != os.Getpid() && (sandbox.MarkOf(pid) != 0 || slices.Contains(h.plugins.Pids(), pid))
}
