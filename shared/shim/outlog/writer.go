package outlog

import (
	"fmt"
	"sync"
	"time"
)

// Sizes of a log.
const (
	// DefaultSize is the size of a log when none is asked for, in bytes on disk.
	DefaultSize = 8 << 20
	// MinSize is the smallest log: each half holds some records.
	MinSize = 256 << 10
	// MaxSize bounds what a caller may ask for.
	MaxSize = 1 << 30
)

// Writer appends records and lets any number of readers follow. All methods may be called concurrently.
type Writer struct {
	half int64
	open func(i int) (Storage, error)

	mu      sync.Mutex // guards all below
	segs    [2]segment
	current int
	end     uint64
	lines   count // that ended before end
	ended   bool
	midline [3]bool // by stream: its last byte was not a line feed
	lost    uint64  // bytes that are in memory only, because the disk failed
	fault   error   // the last failure of the disk, nil while all goes to disk
	changed chan struct{}
	frame   []byte
}

// Create begins a log of about size bytes in dir; size 0 means DefaultSize. A failing disk is not an error: the log
// then lives in a smaller place in memory, and Degraded says so.
func Create(dir string, size int64) (*Writer, error) {
	return newWriter(size, func(i int, half int64) (Storage, error) { return createSegment(dir, i, half) })
}

func newWriter(size int64, open func(i int, half int64) (Storage, error)) (*Writer, error) {
	if size == 0 {
		size = DefaultSize
	}
	if size < MinSize || size > MaxSize {
		return nil, fmt.Errorf("cannot create output log: size is %d bytes, must be between %d and %d", size, MinSize,
			MaxSize)
	}
	w := &Writer{
		half: size / 2, lines: count{known: true}, changed: make(chan struct{}),
		frame: make([]byte, 0, maxFrame),
	}
	w.open = func(i int) (Storage, error) { return open(i, w.half) }
	// Both halves are reserved at once; a half that cannot be is tried again when its turn comes.
	for i := range w.segs {
		if store, err := w.open(i); err == nil {
			w.segs[i] = segment{store: store, limit: w.half}
		} else {
			w.fault = err
		}
	}
	w.begin(0)
	return w, nil
}

// begin makes half i the current one and forgets what was in it.
func (w *Writer) begin(i int) {
	s := &w.segs[i]
	round := w.segs[1-i].round + 1
	onDisk := true
	if _, inMemory := s.store.(*memory); s.store == nil || inMemory {
		if store, err := w.open(i); err == nil {
			s.store, s.limit = store, w.half
		} else {
			w.fault, onDisk = err, false
		}
	}
	if onDisk && w.start(i, round) == nil {
		w.fault = nil
		return
	}
	w.toMemory(i)
	_ = w.start(i, round) // memory takes every write
}

func (w *Writer) start(i int, round uint64) error {
	s := &w.segs[i]
	header := make([]byte, headerSize)
	putHeader(header, round, w.end, w.lines.n)
	if _, err := s.store.WriteAt(header, 0); err != nil {
		w.fault = err
		return err
	}
	s.round, s.base, s.end, s.pos = round, w.end, w.end, headerSize
	s.lines, s.after = w.lines, w.lines
	w.current = i
	return nil
}

func (w *Writer) toMemory(i int) {
	s := &w.segs[i]
	if s.store != nil {
		s.store.Close()
	}
	s.store, s.limit = &memory{}, min(w.half, memorySize)
}

// Append adds what one read gave; longer data become several records. It keeps no reference to data and never fails:
// when the disk does, the records are kept in memory.
func (w *Writer) Append(stream Stream, at time.Time, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(data) > 0 && !w.ended {
		n := min(len(data), MaxData)
		w.append(stream, at, data[:n])
		data = data[n:]
	}
	w.wake()
}

func (w *Writer) append(stream Stream, at time.Time, data []byte) {
	r := Record{Offset: w.end, Time: at, Stream: stream, Data: data}
	if w.midline[stream] {
		r.Flags |= FlagContinues
	}
	w.midline[stream] = data[len(data)-1] != '\n'
	w.frame = appendFrame(w.frame[:0], r)
	if s := &w.segs[w.current]; s.pos+int64(len(w.frame)) > s.limit {
		w.begin(1 - w.current)
	}
	if err := w.write(); err != nil {
		w.fault = err
		next := 1 - w.current // what is in the present half stays readable
		round := w.segs[w.current].round + 1
		w.toMemory(next)
		_ = w.start(next, round)
		_ = w.write()
	}
	s := &w.segs[w.current]
	s.pos += int64(len(w.frame))
	w.end = r.End()
	w.lines = w.lines.plus(r.Data)
	s.end, s.after = w.end, w.lines
	if _, inMemory := s.store.(*memory); inMemory {
		w.lost += uint64(len(data))
	}
}

func (w *Writer) write() error {
	s := &w.segs[w.current]
	_, err := s.store.WriteAt(w.frame, s.pos)
	return err
}

// Finish says that no more will come; followers then see io.EOF after the last record.
func (w *Writer) Finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		w.wake()
	}
}

func (w *Writer) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// End is the logical position after the last byte.
func (w *Writer) End() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// Degraded returns how many bytes never reached the disk, and why; "" while the disk works.
func (w *Writer) Degraded() (bytes uint64, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault != nil {
		reason = w.fault.Error()
	}
	return w.lost, reason
}

// Close closes the files. Call Finish first.
func (w *Writer) Close() {
	w.Finish()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.segs {
		if w.segs[i].store != nil {
			w.segs[i].store.Close()
		}
		w.segs[i] = segment{}
	}
}
