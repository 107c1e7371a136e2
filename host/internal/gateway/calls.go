package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/shared/control"
)

// newHealth makes the view of what the gateway can do.
func newHealth(c *core) *health.Monitor {
	return health.New(health.Options{
		Ask: c.ask, Category: category,
		OnReady: func(ready bool, by string) {
			c.publish(events.GatewayReady, control.ReadyData{Ready: ready, By: by})
		},
	})
}

// ask makes one call for the health view.
func (c *core) ask(ctx context.Context, method string) error {
	s, ok := c.engine.Session()
	if !ok {
		return engine.ErrNotConnected
	}
	_, err := s.Call(ctx, method, json.RawMessage("{}"))
	return err
}

func category(err error) health.Category {
	return health.CategoryOf(err, engine.ErrNotConnected, session.ErrNotConnected)
}

// staleInstall is the gateway's code for a call that it can't serve since the files of its program were replaced.
const staleInstall = "STALE_INSTALL"

// noteReplaced tells the record that the files of the gateway's program were replaced, when an error says so. launch is
// that of the process that was asked; "" for an attached gateway.
func (c *core) noteReplaced(ctx context.Context, launch lifecycle.LaunchID, err error) {
	refused, ok := errors.AsType[*frame.Error](err)
	stale := ok && (refused.Reason == staleInstall || refused.Code == staleInstall)
	if ce, is := errors.AsType[*session.ConnectError](err); is && ce.Code == staleInstall {
		stale = true
	}
	if stale {
		c.engine.See(ctx, observe.InstallReplaced{Launch: launch, At: time.Now()})
	}
}

// calls counts the calls to the gateway, for the health view and the metrics.
type calls struct {
	core   *core
	health *health.Monitor
}

// called takes every call to the gateway, whether an operator, the engine or the health view made it.
func (c calls) called(session uint64, method string, took time.Duration, err error) {
	kind := category(err)
	c.health.Called(session, method, took, kind)
	result := metrics.Failed
	switch kind {
	case health.OK:
		result = metrics.OK
	case health.Refused, health.Unavailable:
		result = metrics.Refused
	case health.Timeout:
		result = metrics.Timeout
	case health.Disconnected:
		result = metrics.Disconnected
	case health.Cancelled:
		result = metrics.Cancelled
	case health.Failed:
	}
	c.core.env.Metrics.Call(c.core.name, method, result, took)
}
