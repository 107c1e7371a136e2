package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/internal/atomicfile"
)

// Bounds.
const (
	syncEvery  = time.Second // what a power failure may lose
	retryAfter = time.Second // between two tries to write to a disk that failed
	writeSize  = 256 << 10   // approximate bytes of one write
)

// Options of a journal; zero fields have defaults.
type Options struct {
	MaxSize  int64  // bytes of one segment; default 32 MiB
	MaxFiles int    // segments that are kept; default 8
	Host     string // version of the host, for the headers
	// OnFault is called with the error when the disk begins to fail, and with nil when it takes events again. It
	// must not call the journal.
	OnFault func(error)
}

// Journal writes events. Open makes one; all methods are safe for concurrent use.
//
// It never fails: it counts the events that the disk refuses, and continues in a new segment when the disk works
// again.
type Journal struct {
	Reader
	o Options

	mu      sync.Mutex // guards all fields below
	file    *os.File   // nil: the next Append begins a segment
	size    int64
	last    uint64
	outputs map[string]place
	stored  map[string]uint64 // lines of output, by gateway
	dropped map[string]uint64
	lost    uint64 // events of any kind
	fault   error
	retry   time.Time
	syncing *time.Timer // armed while there is something unsynced
	closed  bool
	buf     []byte
	inBuf   []events.Event // what buf holds
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
	if o.OnFault == nil {
		o.OnFault = func(error) {}
	}
	j = &Journal{
		Reader: NewReader(dir), o: o, outputs: map[string]place{}, stored: map[string]uint64{},
		dropped: map[string]uint64{},
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return j, []error{fmt.Errorf("cannot make journal directory: %w; events are kept in memory only", err)}
	}
	return j, j.resume()
}

// resume continues with the newest segment that it can read.
func (j *Journal) resume() (remarks []error) {
	for {
		all, err := j.Reader.segments()
		if err != nil {
			return append(remarks, err)
		}
		if len(all) == 0 {
			return remarks
		}
		newest := all[len(all)-1]
		end, err := j.load(newest)
		switch {
		case err != nil:
			aside := fmt.Sprintf("%s.broken-%d", newest.path, time.Now().UnixNano())
			if renamed := os.Rename(newest.path, aside); renamed != nil {
				j.last = max(j.last, newest.first) // cursors must not repeat
				return append(remarks,
					fmt.Errorf("cannot use journal file %s (%w), and cannot set it aside: %w", newest.path, err,
						renamed))
			}
			j.last = max(j.last, newest.first)
			remarks = append(remarks,
				fmt.Errorf("journal file %s was set aside as %s: %w", newest.path, filepath.Base(aside), err))
			continue
		default:
			return append(remarks, j.takeUp(newest, end)...)
		}
	}
}

// load reads a segment's places and last cursor; end is where its last complete line ends.
func (j *Journal) load(s segment) (end int64, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := newLines(f)
	first, err := lines.next()
	if err != nil {
		return 0, errors.New("it has no header")
	}
	h, err := parseHeader(first)
	if err != nil {
		return 0, err
	}
	maps.Copy(j.outputs, h.Outputs)
	j.last = max(j.last, max(h.Cursor, 1)-1)
	end = lines.read
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		end = lines.read
		j.learn(line)
	}
}

// learn takes the cursor of a line, and the place in an output that it describes.
func (j *Journal) learn(line []byte) {
	cursor, _, ok := peek(line)
	if !ok {
		return
	}
	j.last = max(j.last, cursor)
	if !bytes.Contains(line, outputType) {
		return
	}
	var l struct {
		Gateway string `json:"gateway"`
		Data    struct {
			LaunchID string `json:"launchId"`
			Cursor   uint64 `json:"cursor"`
			Line     uint64 `json:"line"`
			Symptom  string `json:"symptom"`
			Text     string `json:"text"`
		} `json:"data"`
	}
	if json.Unmarshal(line, &l) != nil || l.Data.LaunchID == "" {
		return
	}
	if p := j.outputs[l.Data.LaunchID]; l.Data.Cursor >= p.Cursor {
		j.outputs[l.Data.LaunchID] = p.after(l.Gateway, l.Data.Cursor, l.Data.Line, l.Data.Symptom, l.Data.Text)
	}
}

var outputType = []byte(`"type":"` + string(events.GatewayOutput) + `"`)

// takeUp opens the newest segment to append to it. It cuts off a half line at the end.
func (j *Journal) takeUp(s segment, end int64) []error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return []error{fmt.Errorf("cannot continue the journal: %w", err)} // the first event tries a new segment
	}
	info, err := f.Stat()
	if err == nil && info.Size() > end {
		err = f.Truncate(end)
	}
	if err != nil {
		return []error{fmt.Errorf("cannot continue journal file %s: %w", s.path, err), f.Close()}
	}
	j.file, j.size = f, end
	return nil
}

// Append stores events; their cursors must be above Last and in order. It counts what the disk refuses and does not
// try again.
func (j *Journal) Append(batch []events.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed || (j.fault != nil && time.Now().Before(j.retry)) {
		j.drop(batch)
		return
	}
	for i, e := range batch {
		n := len(j.buf)
		j.buf = appendEvent(j.buf, e)
		j.inBuf = append(j.inBuf, e)
		if j.file == nil || j.size+int64(len(j.buf)) > j.o.MaxSize {
			line := slices.Clone(j.buf[n:])
			j.buf, j.inBuf = j.buf[:n], j.inBuf[:len(j.inBuf)-1]
			err := j.flush()
			if err == nil {
				err = j.rotate(e)
			}
			if err != nil {
				j.fail(err)
				j.drop(batch[i:])
				return
			}
			j.buf, j.inBuf = append(j.buf, line...), append(j.inBuf, e)
		}
		if len(j.buf) >= writeSize {
			if err := j.flush(); err != nil {
				j.fail(err)
				j.drop(batch[i+1:])
				return
			}
		}
	}
	if err := j.flush(); err != nil {
		j.fail(err)
		return
	}
	if j.fault != nil {
		j.fault = nil
		j.o.OnFault(nil)
	}
	if j.syncing == nil {
		j.syncing = time.AfterFunc(syncEvery, j.sync)
	}
}

// flush writes what buf holds. When only a part was written, the lines of that part count as stored and the half
// line is removed.
func (j *Journal) flush() error {
	if len(j.buf) == 0 {
		return nil
	}
	n, err := j.file.Write(j.buf)
	whole := bytes.LastIndexByte(j.buf[:n], '\n') + 1
	lines := bytes.Count(j.buf[:whole], []byte("\n"))
	for _, e := range j.inBuf[:lines] {
		j.store(e)
	}
	j.size += int64(whole)
	if err != nil {
		j.drop(j.inBuf[lines:])
		err = errors.Join(err, j.file.Truncate(j.size))
	}
	j.buf, j.inBuf = j.buf[:0], j.inBuf[:0]
	return err
}

// store records an event that is in the file now.
func (j *Journal) store(e events.Event) {
	j.last = e.Cursor
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

// fail gives up the segment for now.
func (j *Journal) fail(err error) {
	known := j.fault != nil
	j.fault, j.retry = fmt.Errorf("cannot write journal: %w", err), time.Now().Add(retryAfter)
	if j.file != nil {
		_ = j.file.Close() // whatever Close returns, the fault is known
		j.file = nil
	}
	if !known {
		j.o.OnFault(j.fault)
	}
}

// rotate begins the segment whose first event is e, and removes the oldest segments above the limit.
func (j *Journal) rotate(e events.Event) error {
	if j.file != nil {
		err := errors.Join(j.file.Sync(), j.file.Close())
		j.file = nil
		if err != nil {
			return err
		}
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil { // it may have been removed
		return err
	}
	head, err := json.Marshal(header{
		Journal: version, Cursor: e.Cursor, Time: e.Time.UTC(), Host: j.o.Host,
		Outputs: j.outputs,
	})
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, fmt.Sprintf("%020d.jsonl", e.Cursor))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(head, '\n')); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	j.file, j.size = f, int64(len(head)+1)
	_ = atomicfile.SyncDir(j.dir) // where a directory cannot be synced there is nothing to do about it
	return j.trim()
}

func (j *Journal) trim() error {
	all, err := j.Reader.segments()
	if err != nil {
		return err
	}
	for _, s := range all[:max(0, len(all)-j.o.MaxFiles)] {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sync runs in a goroutine of its own: a slow disk must not hold up readers.
func (j *Journal) sync() {
	j.mu.Lock()
	j.syncing = nil
	f := j.file
	j.mu.Unlock()
	if f == nil {
		return
	}
	err := f.Sync()
	if errors.Is(err, os.ErrClosed) {
		return
	}
	lost := err == nil && !stillNamed(f)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.file != f:
	case err != nil:
		j.fail(err)
	case lost: // it was removed: new events go to a new one
		_ = j.file.Close()
		j.file = nil
	}
}

// stillNamed reports whether the file of f still exists under its name.
func stillNamed(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(open, named)
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
	Lost            uint64            // events of any kind that the disk refused
}

// Stats returns the counts so far.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Stored: maps.Clone(j.stored), Dropped: maps.Clone(j.dropped), Fault: j.fault, Lost: j.lost}
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
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.file = nil
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
