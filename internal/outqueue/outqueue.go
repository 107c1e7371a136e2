// Package outqueue lets a program write its log and its messages without waiting for their reader. A full pipe, a
// terminal that was stopped or closed, a full disk: the lines that cannot leave are dropped and counted, and the
// program goes on.
package outqueue

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

// Options of a Writer.
type Options struct {
	Bytes int // the most that waits to be written; default 1 MiB
	// Remark writes to w that n lines were dropped at this place. nil: nothing is written about them.
	Remark func(w io.Writer, n uint64)
}

const (
	defaultBytes = 1 << 20
	// retryEvery is how often a descriptor is tried that another process made non-blocking, which Go cannot wait for.
	retryEvery = 50 * time.Millisecond
)

// Writer passes what it is given to another writer, from a goroutine of its own. Each call of Write is passed on whole,
// in order, or dropped whole. Safe for concurrent use.
type Writer struct {
	out    io.Writer
	limit  int
	remark func(io.Writer, uint64)

	mu      sync.Mutex // guards all below
	waiting []piece
	bytes   int           // of waiting, and of what is being written
	busy    bool          // the goroutine has something
	unsaid  uint64        // lines that were dropped and that no remark tells yet
	dropped uint64        // lines that were dropped in all
	idle    chan struct{} // closed when nothing waits any more; nil while no caller of Flush waits
	closed  bool

	wake chan struct{} // 1: one pending wake-up stands for any number of pieces
	torn bool          // the last line was cut in the middle; it belongs to the goroutine
}

// piece is the argument of one Write.
type piece struct {
	data []byte
	gap  uint64 // lines that were dropped before it
}

// New starts a Writer. The goroutine that writes ends after Close, or with the process when out blocks for ever.
func New(out io.Writer, o Options) *Writer {
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if o.Remark == nil {
		o.Remark = func(io.Writer, uint64) {}
	}
	w := &Writer{out: out, limit: o.Bytes, remark: o.Remark, wake: make(chan struct{}, 1)}
	go w.run()
	return w
}

// Write takes p, or drops it when too much waits already. It never waits for the other writer, and never fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.bytes+len(p) > w.limit {
		w.drop(linesOf(p))
		return len(p), nil
	}
	w.waiting = append(w.waiting, piece{data: bytes.Clone(p), gap: w.unsaid})
	w.bytes += len(p)
	w.unsaid = 0
	w.poke()
	return len(p), nil
}

// drop counts lines; mu is held.
func (w *Writer) drop(lines uint64) {
	w.dropped += lines
	w.unsaid += lines
}

func linesOf(p []byte) uint64 {
	return uint64(max(bytes.Count(p, []byte("\n")), 1)) //nolint:gosec // not negative
}

func (w *Writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake, or about to be
	}
}

// Dropped returns how many lines were dropped so far.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Flush waits until all that was taken has been written, at most so long; it reports whether it has.
func (w *Writer) Flush(within time.Duration) bool {
	w.mu.Lock()
	if !w.busy && len(w.waiting) == 0 {
		w.mu.Unlock()
		return true
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}

// Close is Flush, and the end: what is written later is dropped. Idempotent.
func (w *Writer) Close(within time.Duration) bool {
	whole := w.Flush(within)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.poke()
	return whole
}

// run writes the pieces until the writer is closed.
func (w *Writer) run() {
	for range w.wake {
		for {
			p, more := w.next()
			if !more {
				break
			}
			w.pass(p)
		}
		w.mu.Lock()
		over := w.closed
		w.mu.Unlock()
		if over {
			return
		}
	}
}

// next takes the first piece; when there is none it wakes the callers of Flush.
func (w *Writer) next() (piece, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = true
	if len(w.waiting) > 0 {
		p := w.waiting[0]
		w.waiting[0] = piece{} // or its data would be kept as long as the slice
		w.waiting = w.waiting[1:]
		return p, true
	}
	w.waiting, w.busy = nil, false
	if w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
	return piece{}, false
}

// pass writes a piece, and before it what was dropped there. What cannot be written is dropped, too.
func (w *Writer) pass(p piece) {
	if p.gap > 0 {
		out := &checked{w: w}
		w.remark(out, p.gap)
		if out.err != nil {
			w.lose(p, p.gap)
			return
		}
	}
	if w.put(p.data) != nil {
		w.lose(p, 0)
		return
	}
	w.wrote(p)
}

// lose gives a piece up; again is how many lines before it still have to be told of.
func (w *Writer) lose(p piece, again uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= len(p.data)
	w.dropped += linesOf(p.data)
	again += linesOf(p.data)
	if len(w.waiting) > 0 {
		w.waiting[0].gap += again
	} else {
		w.unsaid += again
	}
}

// wrote counts a piece as written. When nothing else waits, lines that were dropped meanwhile are told of now: no later
// line may come.
func (w *Writer) wrote(p piece) {
	w.mu.Lock()
	w.bytes -= len(p.data)
	n := w.unsaid
	if n == 0 || len(w.waiting) > 0 {
		w.mu.Unlock()
		return
	}
	w.unsaid = 0
	w.mu.Unlock()
	out := &checked{w: w}
	w.remark(out, n)
	if out.err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.unsaid += n
	}
}

// checked remembers whether what was written to it has left.
type checked struct {
	w   *Writer
	err error
}

func (c *checked) Write(p []byte) (int, error) {
	if err := c.w.put(p); err != nil {
		c.err = err
		return 0, err
	}
	return len(p), nil
}

// put writes p whole. After a line that was cut it begins a new one.
func (w *Writer) put(p []byte) error {
	if w.torn {
		p = append([]byte("\n"), p...)
	}
	for {
		n, err := w.out.Write(p)
		p = p[n:]
		if n > 0 {
			w.torn = len(p) > 0
		}
		switch {
		case len(p) == 0:
			return nil
		case err == nil && n == 0:
			return io.ErrShortWrite
		case err == nil:
		case !errors.Is(err, syscall.EAGAIN) || w.over():
			return err
		default:
			time.Sleep(retryEvery)
		}
	}
}

func (w *Writer) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}
