package journal

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
)

// Bounds.
const (
	syncEvery  = time.Second // what a power failure may lose
	retryAfter = time.Second // between two tries to write to a disk that failed
	writeSize  = 256 << 10   // approximate bytes of one write
	burst      = 4           // seconds of MaxRate that a gateway may send at once
)

// Options of a journal; zero fields have defaults.
type Options struct {
	MaxSize  int64  // bytes of one segment; default 32 MiB
	MaxFiles int    // segments of each series that are kept; default 8
	MaxRate  int64  // bytes a second of one gateway's output and events; default 16 MiB
	Host     string // version of the host, for the headers
	// OnFault is called with the error when the disk begins to fail, and with nil when it takes events again. It
	// must not call the journal.
	OnFault func(error)
	// Resume is called before the journal writes again to a disk that failed; while it returns an error the journal
	// takes nothing. It must not call the journal. nil: nothing is asked.
	Resume func() error
}

// Journal writes events. Open makes one; all methods are safe for concurrent use.
//
// It never fails: it counts the events that the disk refuses, and those that a gateway sends above the rate, and
// continues in a new segment when the disk works again.
type Journal struct {
	Reader
	o Options

	mu       sync.Mutex // guards all fields below
	series   map[string]*series
	gateways map[string]*series // those for what a gateway writes and sends
	last     uint64
	outputs  map[string]place
	stored   map[string]uint64 // lines of output, by gateway
	dropped  map[string]uint64
	cut      map[string]uint64 // events of a gateway that are not lines, above the rate
	lost     uint64            // events of any kind
	fault    error
	retry    time.Time
	syncing  *time.Timer // armed while there is something unsynced
	closed   bool
}

// Open continues the journal in dir, or begins one. It always returns a journal; remarks say what was set aside or
// cut off, or does not work at present. Only the holder of the state directory's lock may open it.
func Open(dir string, o Options) (j *Journal, remarks []error) {
	if o.MaxSize <= 0 {
		o.MaxSize = 32 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 8
	}
	if o.MaxRate <= 0 {
		o.MaxRate = 16 << 20
	}
	if o.OnFault == nil {
		o.OnFault = func(error) {}
	}
	if o.Resume == nil {
		o.Resume = func() error { return nil }
	}
	j = &Journal{
		Reader: NewReader(dir), o: o, series: map[string]*series{}, gateways: map[string]*series{},
		outputs: map[string]place{},
		stored:  map[string]uint64{}, dropped: map[string]uint64{}, cut: map[string]uint64{},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return j, []error{fmt.Errorf("cannot make journal directory: %w; events are kept in memory only", err)}
	}
	return j, j.resume()
}

// Append stores events; their cursors must be above Last and in order. It counts what the disk refuses and does not
// try again.
func (j *Journal) Append(batch []events.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	if j.closed || (j.fault != nil && now.Before(j.retry)) {
		j.drop(batch)
		return
	}
	if j.fault != nil && j.o.Resume() != nil {
		j.retry = now.Add(retryAfter)
		j.drop(batch)
		return
	}
	for i, e := range batch {
		if err := j.add(e, now); err != nil {
			j.fail(err)
			j.drop(batch[i+1:])
			return
		}
	}
	for _, s := range j.series {
		if err := j.flush(s); err != nil {
			j.fail(err)
			return
		}
	}
	if j.fault != nil {
		j.fault = nil
		j.o.OnFault(nil)
	}
	if j.syncing == nil {
		j.syncing = time.AfterFunc(syncEvery, j.sync)
	}
}

// add encodes an event into the buffer of its series, and writes the buffer when it is large or the segment is full.
// With an error it has dropped the event.
func (j *Journal) add(e events.Event, now time.Time) error {
	s := j.seriesFor(e)
	n := len(s.buf)
	s.buf = appendEvent(s.buf, e)
	size := int64(len(s.buf) - n)
	if s.name != facts && !s.allows(size, j.o.MaxRate, now) {
		s.buf = s.buf[:n]
		j.excess(e)
		return nil
	}
	if s.file == nil || s.size+int64(len(s.buf)) > j.o.MaxSize {
		line := slices.Clone(s.buf[n:])
		s.buf = s.buf[:n]
		err := j.flush(s)
		if err == nil {
			err = j.rotate(s, e)
		}
		if err != nil {
			j.drop([]events.Event{e})
			return err
		}
		s.buf = append(s.buf, line...)
	}
	s.inBuf = append(s.inBuf, e)
	if len(s.buf) >= writeSize {
		return j.flush(s)
	}
	return nil
}

// store records an event that is in its file now.
func (j *Journal) store(e events.Event) {
	j.last = max(j.last, e.Cursor)
	if e.Type != events.GatewayOutput {
		return
	}
	if e.IsLine() {
		j.stored[e.Gateway]++
	}
	if l, ok := e.Data.(events.Line); ok {
		launch, cursor, line := l.OutputPlace()
		symptom, text := l.Showed()
		j.outputs[launch] = j.outputs[launch].after(e.Gateway, cursor, line, symptom, text)
	}
}

func (j *Journal) drop(batch []events.Event) {
	j.lost += uint64(len(batch))
	for _, e := range batch {
		if e.IsLine() {
			j.dropped[e.Gateway]++
		}
	}
}

// excess counts an event of a gateway that sends more than the rate allows.
func (j *Journal) excess(e events.Event) {
	j.drop([]events.Event{e})
	if e.Type != events.GatewayOutput {
		j.cut[e.Gateway]++
	}
}

// fail gives up all segments for now, and drops what is not written.
func (j *Journal) fail(err error) {
	known := j.fault != nil
	j.fault, j.retry = fmt.Errorf("cannot write journal: %w", err), time.Now().Add(retryAfter)
	for _, s := range j.series {
		j.drop(s.inBuf)
		s.buf, s.inBuf = s.buf[:0], s.inBuf[:0]
		s.close() // whatever it returns, the fault is known
	}
	if !known {
		j.o.OnFault(j.fault)
	}
}

// sync runs in a goroutine of its own: a slow disk must not hold up readers.
func (j *Journal) sync() {
	j.mu.Lock()
	j.syncing = nil
	var written []*series
	var files []*os.File
	for _, s := range j.series {
		if s.dirty && s.file != nil {
			s.dirty = false
			written, files = append(written, s), append(files, s.file)
		}
	}
	j.mu.Unlock()
	for i, f := range files {
		err := f.Sync()
		if errors.Is(err, os.ErrClosed) {
			continue
		}
		lost := err == nil && !stillNamed(f)
		j.mu.Lock()
		switch s := written[i]; {
		case s.file != f:
		case err != nil:
			j.fail(err)
		case lost: // it was removed: new events go to a new one
			s.close()
		}
		j.mu.Unlock()
	}
}

// Last returns the newest stored cursor; 0 when nothing is stored.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Output returns the place up to which the output of a launch is stored, 0 when none of it is, and the number of
// lines up to there.
func (j *Journal) Output(launch string) (cursor, line uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.outputs[launch]
	return p.Cursor, p.Line
}

// Showed returns the meanings of the stored lines of a launch, with the text of the first line of each meaning,
// including lines that an earlier host stored. Unlike the place, a meaning may come from a line that was removed
// with its segment.
func (j *Journal) Showed(launch string) map[string]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.outputs[launch].Showed)
}

// Forget drops a launch whose output has ended.
func (j *Journal) Forget(launch string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.outputs, launch)
}

// Stats are counts since Open, by gateway.
type Stats struct {
	Stored, Dropped map[string]uint64 // lines of output
	Fault           error             // why the disk takes nothing now; nil when it does
	// Excess counts the events of a gateway, besides lines, that it sent above the rate.
	Excess map[string]uint64
	Lost   uint64 // events of any kind that are not in the journal
}

// Stats returns the counts so far.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{
		Stored: maps.Clone(j.stored), Dropped: maps.Clone(j.dropped), Excess: maps.Clone(j.cut), Fault: j.fault,
		Lost: j.lost,
	}
}

// Close syncs and closes the journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	if j.syncing != nil {
		j.syncing.Stop()
	}
	var err error
	for _, s := range j.series {
		if s.file != nil {
			err = errors.Join(err, s.file.Sync(), s.file.Close())
			s.file = nil
		}
	}
	if err != nil {
		return fmt.Errorf("cannot close journal: %w", err)
	}
	return nil
}

// Keep forgets each launch for which alive is false: those that ended while no host ran.
func (j *Journal) Keep(alive func(launch string) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.outputs, func(launch string, _ place) bool { return !alive(launch) })
}
