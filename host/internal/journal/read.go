package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
)

// Reader reads a journal, also while a host writes it. It holds no file open. Safe for concurrent use.
type Reader struct{ dir string }

// NewReader reads the journal in dir; it need not exist.
func NewReader(dir string) Reader { return Reader{dir} }

var segmentName = regexp.MustCompile(`^([0-9]{20})(?:\.(gateway-[a-z0-9][a-z0-9_-]{0,63}))?\.jsonl$`)

type segment struct {
	path  string
	first uint64 // from its name
}

// segments lists the segments of each series in order of their cursors.
func (r Reader) segments() (map[string][]segment, error) {
	entries, err := os.ReadDir(r.dir) // sorted by name, which is by cursor
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read journal: %w", err)
	}
	out := map[string][]segment{}
	for _, e := range entries {
		parts := segmentName.FindStringSubmatch(e.Name())
		if parts == nil || !e.Type().IsRegular() {
			continue
		}
		first, err := strconv.ParseUint(parts[1], 10, 64)
		if err != nil {
			continue // larger than any cursor
		}
		series := cmp.Or(parts[2], facts)
		out[series] = append(out[series], segment{filepath.Join(r.dir, e.Name()), first})
	}
	return out, nil
}

// Oldest returns the first stored cursor; 0 when nothing is stored.
func (r Reader) Oldest() uint64 {
	all, err := r.segments()
	if err != nil {
		return 0
	}
	return oldest(all)
}

func oldest(all map[string][]segment) uint64 {
	var first uint64
	for _, of := range all {
		if first == 0 || of[0].first < first {
			first = of[0].first
		}
	}
	return first
}

// Read returns at most limit events with cursors above after, oldest first.
func (r Reader) Read(after uint64, limit int) ([]events.Event, error) {
	var out []events.Event
	for e, err := range r.Events(after) {
		if err != nil {
			return out, err
		}
		if out = append(out, e); len(out) >= limit {
			break
		}
	}
	return out, nil
}

// Events yields everything above a cursor, oldest first. An error is yielded last; damaged lines are skipped.
func (r Reader) Events(after uint64) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		all, err := r.segments()
		if err != nil {
			yield(events.Event{}, err)
			return
		}
		var heads []*head
		defer func() {
			for _, h := range heads {
				h.stop()
			}
		}()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			h := &head{}
			h.next, h.stop = iter.Pull2(eventsOf(all[name], after))
			heads = append(heads, h)
			h.advance()
		}
		for {
			var first *head
			for _, h := range heads {
				if h.ok && (first == nil || h.err != nil || first.err == nil && h.event.Cursor < first.event.Cursor) {
					first = h
				}
			}
			if first == nil || !yield(first.event, first.err) || first.err != nil {
				return
			}
			first.advance()
		}
	}
}

// head is the next event of a series.
type head struct {
	event events.Event
	err   error
	ok    bool
	next  func() (events.Event, error, bool)
	stop  func()
}

func (h *head) advance() { h.event, h.err, h.ok = h.next() }

// eventsOf yields the events of one series above a cursor, oldest first, and an error last.
func eventsOf(all []segment, after uint64) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		begin := 0
		for i, s := range all {
			if s.first <= after+1 {
				begin = i
			}
		}
		for _, s := range all[begin:] {
			more, err := s.each(func(cursor uint64, _ time.Time) bool { return cursor > after },
				func(line []byte) bool {
					e, ok := parseEvent(line)
					if !ok || e.Cursor <= after {
						return true
					}
					after = e.Cursor
					return yield(e, nil)
				})
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				yield(events.Event{}, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// At returns the cursor before the first event of a moment.
func (r Reader) At(t time.Time) (uint64, error) {
	all, err := r.segments()
	if err != nil || len(all) == 0 {
		return 0, err
	}
	last := max(oldest(all), 1) - 1
	for _, of := range all {
		before, err := lastBefore(of, t.Truncate(time.Millisecond)) // times are stored in milliseconds
		if err != nil {
			return last, err
		}
		last = max(last, before)
	}
	return last, nil
}

// lastBefore returns the cursor of the last event of a series before a moment; 0 when there is none.
func lastBefore(all []segment, cut time.Time) (last uint64, err error) {
	begin := 0
	for i, s := range all {
		if at, ok := s.began(); ok && at.Before(cut) {
			begin = i
		}
	}
	_, err = all[begin].each(func(_ uint64, at time.Time) bool { return !at.Before(cut) }, func(line []byte) bool {
		cursor, at, ok := peek(line)
		if ok && at.Before(cut) {
			last = cursor
		}
		return !ok || at.Before(cut)
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // removed meanwhile: the segments after it are younger
	}
	return last, err
}

// began returns the time of a segment's first event.
func (s segment) began() (at time.Time, ok bool) {
	_, _ = s.each(nil, func(line []byte) bool { // what cannot be read has not begun
		_, at, ok = peek(line)
		return !ok
	})
	return at, ok
}

// Tail returns the newest n events that match, oldest first; 0 means all. match sees the line before it is decoded.
// Of the gateways, only the named one's series is read; "" means all.
func (r Reader) Tail(
	gateway string, n int, match func(line []byte) bool, want func(events.Event) bool,
) ([]events.Event, error) {
	all, err := r.segments()
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(all))
	slices.Reverse(names) // facts last: lines of output are elsewhere, and what is older than n of them is not read
	var out []events.Event
	for _, name := range names {
		if gateway != "" && name != facts && name != gatewaySeries+gateway {
			continue
		}
		for _, s := range slices.Backward(all[name]) {
			var after uint64
			if n > 0 && len(out) >= n {
				after = out[0].Cursor
			}
			here, err := s.tail(n, match, want, after)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			out = newest(n, out, here)
			if n > 0 && len(out) >= n && s.first <= out[0].Cursor {
				break // the segments before it are older than all that was found
			}
		}
	}
	return out, nil
}

// newest returns the newest n of two lists of events, oldest first; 0 means all.
func newest(n int, a, b []events.Event) []events.Event {
	if len(b) == 0 {
		return a
	}
	both := slices.Concat(a, b)
	slices.SortFunc(both, func(a, b events.Event) int { return cmp.Compare(a.Cursor, b.Cursor) })
	if n > 0 && len(both) > n {
		both = both[len(both)-n:]
	}
	return both
}

// tail returns the newest n events of a segment above a cursor that match, oldest first; 0 means all.
func (s segment) tail(
	n int, match func(line []byte) bool, want func(events.Event) bool, after uint64,
) (here []events.Event, err error) {
	_, err = s.each(func(cursor uint64, _ time.Time) bool { return cursor > after }, func(line []byte) bool {
		if !match(line) {
			return true
		}
		if e, ok := parseEvent(line); ok && want(e) {
			here = append(here, e)
			if n > 0 && len(here) > 2*n {
				here = append(here[:0], here[len(here)-n:]...)
			}
		}
		return true
	})
	return here, err
}

// each calls use with the complete lines of a segment after its header, beginning near the first line for which
// wanted is true; wanted must be monotone, nil begins at the first line. It returns false when use ended it. A
// file that is no segment has no lines.
func (s segment) each(wanted func(cursor uint64, at time.Time) bool, use func(line []byte) bool) (bool, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return true, fmt.Errorf("cannot read journal: %w", err)
	}
	defer f.Close()
	lines := newLines(f)
	first, err := lines.next()
	if err != nil {
		return true, nil //nolint:nilerr // not even a header: it was just begun, or cut off
	}
	if _, err := parseHeader(first); err != nil {
		return true, nil //nolint:nilerr // not ours to read; Open says so
	}
	begin := lines.read
	if wanted != nil {
		info, err := f.Stat()
		if err != nil {
			return true, fmt.Errorf("cannot read journal: %w", err)
		}
		begin = seek(f, begin, info.Size(), wanted)
	}
	if _, err := f.Seek(begin, io.SeekStart); err != nil {
		return true, fmt.Errorf("cannot read journal: %w", err)
	}
	lines = newLines(f)
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return true, fmt.Errorf("cannot read journal %s: %w", s.path, err)
		case !use(line):
			return false, nil
		}
	}
}

// window is the number of bytes that are read without further search.
const window = 64 << 10

// seek returns the beginning of a line before, or at, the first wanted one, within a window. from must be the
// beginning of a line.
func seek(f io.ReaderAt, from, to int64, wanted func(uint64, time.Time) bool) int64 {
	for to-from > window {
		mid := from + (to-from)/2
		at, cursor, when, ok := lineAfter(f, mid, to)
		if ok && !wanted(cursor, when) {
			from = at
		} else {
			to = mid
		}
	}
	return from
}

// lineAfter finds the first event that begins after offset and before to.
func lineAfter(f io.ReaderAt, offset, to int64) (at int64, cursor uint64, when time.Time, ok bool) {
	lines := newLines(io.NewSectionReader(f, offset, to-offset))
	if _, err := lines.next(); err != nil { // the rest of a line
		return 0, 0, when, false
	}
	for {
		at = offset + lines.read
		line, err := lines.next()
		if err != nil {
			return 0, 0, when, false
		}
		if cursor, when, ok = peek(line); ok {
			return at, cursor, when, true
		}
	}
}

// lines reads complete lines; it does not return a last line without an end.
type lines struct {
	r    *bufio.Reader
	read int64
	long []byte
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, window)} }

// next returns a line that is valid until the next call. It skips a line longer than maxLine.
func (l *lines) next() ([]byte, error) {
	l.long = l.long[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.read += int64(len(part))
		if err == nil && len(l.long) == 0 {
			return bytes.TrimSuffix(part, []byte("\n")), nil
		}
		if len(l.long) <= maxLine {
			l.long = append(l.long, part...)
		}
		switch {
		case err == nil && len(l.long) > maxLine:
			l.long = l.long[:0]
		case err == nil:
			return bytes.TrimSuffix(l.long, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
