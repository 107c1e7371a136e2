package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// stuckObserver is a planted bug: the owner's goroutine calls it, and it blocks.
type stuckObserver struct {
	*scene

	free chan struct{}
}

func (s stuckObserver) Stepped(observe.Change) { <-s.free }

// TestBeatFindsAStuckOwner: a loop that is blocked gives no sign of life, and one that works does, also when it is busy
// with a start.
func TestBeatFindsAStuckOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.log = hclog.NewNullLogger()
		ports := s.ports()
		stuck := stuckObserver{s, make(chan struct{})}
		ports.Observer = stuck
		e := engine.New("main", lc.DefaultPolicy(), ports, s.log)
		running, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1) // 1: Run must be able to end without a reader
		go func() { ended <- e.Run(running) }()
		if err := e.Beat(t.Context()); err != nil {
			t.Errorf("it works: %v", err)
		}
		started := make(chan struct{})
		go func() {
			defer close(started)
			_, _ = e.Start(running)
		}()
		synctest.Wait()
		within, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := e.Beat(within); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it is stuck: %v", err)
		}
		close(stuck.free)
		if err := e.Beat(t.Context()); err != nil {
			t.Errorf("it works again: %v", err)
		}
		<-started
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := e.Beat(t.Context()); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("it has ended: %v", err)
		}
	})
}
