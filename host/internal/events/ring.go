package events

import "sort"

// ring keeps the newest events of one class, oldest first, within a number of events and of bytes. It always keeps
// the newest one, whatever its size.
type ring struct {
	events   []Event // a circle
	first, n int
	bytes    int
	maxBytes int
	evicted  uint64 // the newest cursor that was dropped
}

func newRing(maxEvents, maxBytes int) *ring {
	return &ring{events: make([]Event, maxEvents), maxBytes: maxBytes}
}

func (r *ring) at(i int) *Event { return &r.events[(r.first+i)%len(r.events)] }

func (r *ring) add(e Event) {
	size := e.size()
	for r.n > 0 && (r.n == len(r.events) || r.bytes+size > r.maxBytes) {
		r.bytes -= r.at(0).size()
		r.evicted = r.at(0).Cursor
		*r.at(0) = Event{} // release its data
		r.first = (r.first + 1) % len(r.events)
		r.n--
	}
	*r.at(r.n) = e
	r.n++
	r.bytes += size
}

// after returns the oldest event in the ring with a cursor above c; nil: none.
func (r *ring) after(c uint64) *Event {
	i := sort.Search(r.n, func(i int) bool { return r.at(i).Cursor > c })
	if i == r.n {
		return nil
	}
	return r.at(i)
}
