package gateway

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/health"
	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/session"
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

// calls is told of every call to the gateway.
type calls struct {
	core   *core
	health *health.Monitor
}

// called is told of every call to the gateway, whoever made it.
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
