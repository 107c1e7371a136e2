package events

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrClosed is returned by Next when the hub was closed and everything before that was read.
var ErrClosed = errors.New("the host is shutting down")

// Options are the bounds of a hub; zero fields have defaults.
type Options struct {
	Keep      int // events that are remembered; default 10 000
	KeepBytes int // bytes that they may take; default 16 MiB. Output has as many again.
	// First is the first cursor. Default: the time in microseconds, so that cursors grow over the lives of a host and stay exact
	// in JSON.
	First uint64
}

// Hub numbers, keeps and hands out events. Safe for concurrent use.
type Hub struct {
	mu     sync.Mutex // guards all below
	first  uint64
	next   uint64
	facts  *ring
	output *ring // apart, so that a flood of lines does not wash away what happened
	wake   chan struct{}
	closed bool
}

// NewHub makes an empty hub.
func NewHub(o Options) *Hub {
	if o.Keep <= 0 {
		o.Keep = 10_000
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = 16 << 20
	}
	if o.First == 0 {
		o.First = uint64(max(time.Now().UnixMicro(), 1)) //nolint:gosec // not negative
	}
	return &Hub{
		first: o.First, next: o.First, wake: make(chan struct{}),
		facts: newRing(o.Keep, o.KeepBytes), output: newRing(o.Keep, o.KeepBytes),
	}
}

// Publish numbers and keeps an event and returns its cursor. It never waits for a reader. A zero Time becomes now. After Close
// it keeps nothing and returns 0.
func (h *Hub) Publish(e Event) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC()
	e.Cursor = h.next
	h.next++
	if e.Type == GatewayOutput {
		h.output.add(e)
	} else {
		h.facts.add(e)
	}
	close(h.wake)
	h.wake = make(chan struct{})
	return e.Cursor
}

// Close ends all subscriptions after they have read what is kept. Idempotent.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.wake)
	}
}

// Last is the cursor of the newest event; of the one before the first when there is none.
func (h *Hub) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next - 1
}

// Subscribe reads the events after a cursor: 0 means all that are kept, Last those to come. A cursor that this hub has not
// given out yet counts as Last; one from an earlier life of the host as 0.
func (h *Hub) Subscribe(after uint64) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Subscription{hub: h, after: min(after, h.next-1)}
	if after == 0 || after < h.first-1 {
		s.after, s.reset = h.next-1, after != 0
		for _, r := range []*ring{h.facts, h.output} {
			if e := r.after(0); e != nil { // what was forgotten before is no loss: it was not asked for
				s.after = min(s.after, e.Cursor-1)
			}
		}
	}
	return s
}

// Subscription is one reader's place. Next is for one goroutine; nothing has to be closed.
type Subscription struct {
	hub     *Hub
	after   uint64
	reset   bool
	dropped uint64
}

// Reset reports whether the cursor asked for was from an earlier life of the host, whose events are gone.
func (s *Subscription) Reset() bool { return s.reset }

// Dropped is how many events were forgotten before this reader came to them, in all. For the goroutine that calls Next.
func (s *Subscription) Dropped() uint64 { return s.dropped }

// TryNext is Next without waiting; ok is false when there is nothing new.
func (s *Subscription) TryNext() (e Event, ok bool) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.take()
}

// Next waits for the next event. Errors: ErrClosed, or the cause of ctx.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.hub.mu.Lock()
		e, ok := s.take()
		wake, closed := s.hub.wake, s.hub.closed
		s.hub.mu.Unlock()
		switch {
		case ok:
			return e, nil
		case closed:
			return Event{}, ErrClosed
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// take is called with the hub locked.
func (s *Subscription) take() (Event, bool) {
	e := s.hub.facts.after(s.after)
	if o := s.hub.output.after(s.after); e == nil || o != nil && o.Cursor < e.Cursor {
		e = o
	}
	if e == nil {
		return Event{}, false
	}
	s.dropped += e.Cursor - s.after - 1 // cursors have no holes: what is missing was forgotten
	s.after = e.Cursor
	return *e, true
}
