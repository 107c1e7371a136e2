package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/oklog/run"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// addServiceManager adds the actor that tells the service manager how the host is: what it does, and that all engines
// work. It ends with the engines.
func (h *Host) addServiceManager(ctx context.Context, g *run.Group, enginesDone <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.Add(func() error {
		changed := make(chan struct{}, 1) // 1: one line is enough for all changes before it
		var tasks sync.WaitGroup
		tasks.Go(func() { h.changes(ctx, changed) })
		tasks.Go(func() { h.manager.Status(ctx, changed, h.statusLine) })
		tasks.Go(func() { h.manager.Watchdog(ctx, h.watchdog, h.alive) })
		<-enginesDone
		cancel()
		tasks.Wait()
		return nil
	}, func(error) {}) // see enginesDone
}

// changes fires when the state of a gateway has changed.
func (h *Host) changes(ctx context.Context, changed chan<- struct{}) {
	for sub := h.hub.Subscribe(h.hub.Last()); ; {
		e, err := sub.Next(ctx)
		if err != nil {
			return
		}
		if e.Type != events.GatewayState {
			continue
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// statusLine says in one line how the gateways are: first those that are not well.
func (h *Host) statusLine() string {
	all := h.registry.Now().Ordered()
	counts := map[lifecycle.Public]int{}
	var unwell []string
	for _, g := range all {
		s := g.State()
		state := s.Public()
		counts[state]++
		if s.Err != nil && state == lifecycle.Error {
			unwell = append(unwell, fmt.Sprintf("%s in error (%s)", g.Name(), s.Err.Code))
		}
	}
	line := fmt.Sprintf("%d of %d gateways running", counts[lifecycle.Running], len(all))
	if len(all) == 1 && len(unwell) == 0 {
		line = fmt.Sprintf("%s %s", all[0].Name(), all[0].State().Public())
	}
	return strings.Join(append(unwell, line), "; ")
}

// alive asks each engine for a sign of life. One that has ended is none of the host's any more.
func (h *Host) alive(ctx context.Context) error {
	for _, g := range h.registry.Now().Ordered() {
		if err := g.Engine().Beat(ctx); err != nil && !errors.Is(err, engine.ErrStopped) {
			return fmt.Errorf("the engine of gateway %s does not answer: %w", g.Name(), err)
		}
	}
	return nil
}

// stoppingUntil tells the service manager that the host ends, and asks it for time until the returned function is
// called.
func (h *Host) stoppingUntil(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	told := make(chan struct{})
	go func() {
		defer close(told)
		h.manager.Stopping(ctx)
	}()
	return func() {
		cancel()
		<-told
	}
}
