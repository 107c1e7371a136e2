package events

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// ErrClosed is returned by Next when the hub was closed and the reader has read everything before that.
var ErrClosed = errors.New("the host is shutting down")

// Log keeps events longer than a hub's memory and process: the journal.
type Log interface {
	// Append stores events; it does not report failures. Called by one goroutine.
	Append(batch []Event)
	// Last is the newest stored cursor, Oldest the oldest; 0 when nothing is stored.
	Last() uint64
	Oldest() uint64
	// Read returns at most limit events with cursors above after, oldest first.
	Read(after uint64, limit int) ([]Event, error)
}

// Bounds of the events that wait for the log.
const (
	maxUnsaved = 32 << 20        // bytes of what gateways write and send; other events get the same again
	stall      = 2 * time.Second // readers do not wait for a log that takes longer for one batch
	closeBound = 5 * time.Second // and Close does not wait longer for one that hangs
	recallSize = 512             // events in one read from the log
)

// Options are the bounds of a hub; zero fields have defaults.
type Options struct {
	Keep      int // events in memory; default 10 000
	KeepBytes int // bytes that they may take; default 16 MiB. What gateways write and send may take the same again.
	// First is the first cursor. Default: the time in microseconds, so that cursors grow from one host process to
	// the next and stay exact in JSON.
	First uint64
}

// Hub numbers, keeps and hands out events. Safe for concurrent use.
//
// With a Log (see Persist) readers see an event only after it was stored: when a host is killed, its successor
// neither forgets an event that someone has seen nor tells it again under another cursor. Publishing never waits
// for the log.
type Hub struct {
	mu     sync.Mutex // guards all fields below
	first  uint64
	next   uint64
	facts  *ring
	output *ring // what gateways write and send: separate, so that a flood of it does not push out other events
	wake   chan struct{}
	closed bool

	log      Log
	unsaved  []Event
	waiting  int           // bytes of unsaved
	work     chan struct{} // signals that there is something unsaved, or that the hub was closed
	saving   time.Time     // when the log was given the batch that it is still storing
	stored   uint64        // everything up to here was given to the log
	finished chan struct{} // closed when the log has everything
	unstored map[string]uint64
	missed   uint64 // events that did not fit into the log's queue
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
		facts: newRing(o.Keep, o.KeepBytes), output: newRing(o.Keep, o.KeepBytes), unstored: map[string]uint64{},
	}
}

// Persist gives the hub its log, before the first Publish. Cursors continue after the log's last one, and readers
// get from the log what memory has dropped. Close waits until everything is stored.
func (h *Hub) Persist(log Log) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log, h.work, h.finished = log, make(chan struct{}, 1), make(chan struct{})
	h.first = max(h.first, log.Last()+1)
	h.next = h.first
	h.stored = h.next - 1
	go h.persist()
}

func (h *Hub) persist() {
	defer close(h.finished)
	for {
		h.mu.Lock()
		batch, closed := h.unsaved, h.closed
		h.unsaved, h.waiting = nil, 0
		if len(batch) > 0 {
			h.saving = time.Now()
		}
		h.mu.Unlock()
		switch {
		case len(batch) > 0:
			h.log.Append(batch)
			h.mu.Lock()
			h.saving, h.stored = time.Time{}, batch[len(batch)-1].Cursor
			h.signal()
			h.mu.Unlock()
		case closed:
			return
		default:
			<-h.work
		}
	}
}

// keep adds an event to the log's queue, or counts it when the log is too far behind; h is locked.
func (h *Hub) keep(e Event) {
	limit := maxUnsaved
	if !e.IsForeign() {
		limit *= 2
	}
	size := e.size()
	if h.waiting+size > limit {
		h.missed++
		if e.IsLine() {
			h.unstored[e.Gateway]++
		}
		return
	}
	h.unsaved = append(h.unsaved, e)
	h.waiting += size
	h.poke()
}

// visible returns the newest cursor that readers may see; h is locked.
func (h *Hub) visible() uint64 {
	idle := len(h.unsaved) == 0 && h.saving.IsZero()
	if h.log == nil || idle || h.stalled() {
		return h.next - 1
	}
	return h.stored
}

func (h *Hub) stalled() bool { return !h.saving.IsZero() && time.Since(h.saving) > stall }

// evicted returns the newest cursor that memory has dropped; h is locked.
func (h *Hub) evicted() uint64 { return max(h.first-1, h.facts.evicted, h.output.evicted) }

// Complete returns the cursor after which memory has everything.
func (h *Hub) Complete() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.evicted()
}

// Unstored counts, by gateway, the lines of output that the log never got because it was too far behind.
func (h *Hub) Unstored() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.unstored)
}

// Counts returns how many events this host process has published, and how many of them the log never got.
func (h *Hub) Counts() (published, missed uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next - h.first, h.missed
}

func (h *Hub) signal() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// Publish numbers and keeps an event and returns its cursor. It never waits for a reader. A zero Time becomes now.
// After Close it keeps nothing and returns 0.
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
	if e.IsForeign() {
		h.output.add(e)
	} else {
		h.facts.add(e)
	}
	if h.log != nil {
		h.keep(e)
	}
	h.signal()
	return e.Cursor
}

// Close ends all subscriptions after they have read what memory holds, and waits, with a bound, until the log has
// everything. Idempotent.
func (h *Hub) Close() {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		h.signal()
		if h.log != nil {
			h.poke()
		}
	}
	finished := h.finished
	h.mu.Unlock()
	if finished == nil {
		return
	}
	select {
	case <-finished:
	case <-time.After(closeBound): // a disk that hangs must not keep the host from exiting
	}
}

func (h *Hub) poke() {
	select {
	case h.work <- struct{}{}:
	default:
	}
}

// Last returns the cursor of the newest event that readers see; the one before the first when there is none.
func (h *Hub) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.visible()
}

// Subscribe reads the events after a cursor: 0 means all in memory, Last only future ones. A cursor that this hub
// has not given out yet counts as Last; one of an earlier host process continues from the log, and without a log
// counts as 0.
func (h *Hub) Subscribe(after uint64) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Subscription{hub: h, after: min(after, h.next-1)}
	if h.log != nil && after != 0 {
		if oldest := h.log.Oldest(); oldest != 0 && after < h.first-1 && after+1 < oldest {
			s.after, s.reset = oldest-1, true
		}
		return s
	}
	if after == 0 || after < h.first-1 {
		s.after, s.reset, s.recalled = h.next-1, after != 0, h.evicted()
		for _, r := range []*ring{h.facts, h.output} {
			if e := r.after(0); e != nil { // what was dropped before is no loss: the reader did not ask for it
				s.after = min(s.after, e.Cursor-1)
			}
		}
	}
	return s
}

// Subscription is the place of one reader. Next is for one goroutine; a subscription need not be closed.
type Subscription struct {
	hub     *Hub
	after   uint64
	reset   bool
	dropped uint64

	past     []Event // from the log, not returned yet
	recalled uint64  // the log has nothing more up to here
}

// Reset reports whether the requested cursor is older than everything in memory and log.
func (s *Subscription) Reset() bool { return s.reset }

// Dropped counts all events that were dropped before this reader came to them. For the goroutine that calls Next.
func (s *Subscription) Dropped() uint64 { return s.dropped }

// TryNext is Next without waiting; ok is false when there is nothing new.
func (s *Subscription) TryNext() (e Event, ok bool) {
	e, ok, _, _ = s.look()
	return e, ok
}

// Next waits for the next event. Errors: ErrClosed, or the cause of ctx.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, wake, closed := s.look()
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

// look takes the next event from the log or from memory. Without one it returns what to wait for, and whether
// waiting is in vain.
func (s *Subscription) look() (e Event, ok bool, wake <-chan struct{}, over bool) {
	h := s.hub
	for {
		if len(s.past) > 0 {
			e, s.past = s.past[0], s.past[1:]
			s.advance(e)
			return e, true, nil, false
		}
		h.mu.Lock()
		evicted := h.evicted()
		if h.log == nil || s.after >= evicted || s.recalled >= evicted {
			e, ok = s.take()
			wake, over = h.wake, h.closed && h.visible() == h.next-1
			h.mu.Unlock()
			return e, ok, wake, over
		}
		h.mu.Unlock()
		s.recall(evicted)
	}
}

// recall reads from the log what memory has dropped, up to a cursor.
func (s *Subscription) recall(upTo uint64) {
	got, err := s.hub.log.Read(s.after, recallSize)
	for i, e := range got {
		if e.Cursor > upTo {
			got = got[:i]
			break
		}
	}
	if s.past = got; err != nil || len(got) == 0 {
		s.recalled = upTo // what is missing then counts as dropped
	}
}

// take must be called with the hub locked.
func (s *Subscription) take() (Event, bool) {
	e := s.hub.facts.after(s.after)
	if o := s.hub.output.after(s.after); e == nil || o != nil && o.Cursor < e.Cursor {
		e = o
	}
	if e == nil || e.Cursor > s.hub.visible() {
		return Event{}, false
	}
	s.advance(*e)
	return *e, true
}

// advance moves past e. Cursors have no holes within one host process: what is missing was dropped.
func (s *Subscription) advance(e Event) {
	if begin := max(s.after, s.hub.first-1); e.Cursor > begin {
		s.dropped += e.Cursor - begin - 1
	}
	s.after = e.Cursor
}
