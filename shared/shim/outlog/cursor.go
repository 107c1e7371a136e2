package outlog

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Cursor reads a log, live or left behind. It belongs to one goroutine.
type Cursor struct {
	w     *Writer
	next  uint64 // logical offset that the reader wants next
	round uint64 // of the segment that is read; 0: not chosen yet
	pos   int64  // of the next frame in it
	at    uint64 // logical offset of that frame
	buf   []byte
}

// Batch is what one look at a log gave; it may be empty although there is more.
type Batch struct {
	Gap     *Gap     // lost before Records, nil when nothing is
	Records []Record // their data are valid until the next call
	// Wait is set when there is nothing new: it is closed when there is.
	Wait <-chan struct{}
}

// Read begins to read at a logical offset. What the log does not keep any more is answered as a Gap.
func (w *Writer) Read(from uint64) *Cursor { return &Cursor{w: w, next: from} }

// Next reads on. It answers io.EOF when all was read and no more will come.
func (c *Cursor) Next() (Batch, error) {
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	var b Batch
	s := c.locate(&b)
	if s == nil {
		if w.ended {
			return Batch{}, io.EOF
		}
		b.Wait = w.changed
		return b, nil
	}
	if c.buf == nil {
		c.buf = make([]byte, 2*maxFrame)
	}
	n, err := s.store.ReadAt(c.buf[:min(int64(len(c.buf)), s.pos-c.pos)], c.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0
	}
	if c.scan(c.buf[:n], &b) == 0 { // the disk gave back something else than was written: skip this half
		c.skip(&b, s.end, s.after)
		c.pos, c.at = s.pos, s.end
	}
	return b, nil
}

// locate finds the segment that has the next frame; nil when there is none yet.
func (c *Cursor) locate(b *Batch) *segment {
	for i := range c.w.segs {
		if s := &c.w.segs[i]; c.round != 0 && s.round == c.round && c.pos < s.pos {
			return s
		}
	}
	var best *segment // the oldest that was not read yet and has something that is wanted
	for i := range c.w.segs {
		s := &c.w.segs[i]
		if s.round > c.round && s.end > max(c.next, s.base) && (best == nil || s.round < best.round) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	c.round, c.pos, c.at = best.round, headerSize, best.base
	c.skip(b, best.base, best.lines)
	return best
}

// skip goes on from offset and records what is left out.
func (c *Cursor) skip(b *Batch, offset uint64, lines count) {
	if offset <= c.next {
		return
	}
	if b.Gap == nil {
		b.Gap = &Gap{From: c.next}
	}
	b.Gap.To, b.Gap.ToLine, c.next = offset, lines.orZero(), offset
}

// scan takes whole frames from b and answers how many bytes it took.
func (c *Cursor) scan(raw []byte, b *Batch) int {
	taken := 0
	for {
		r, size, ok := parseFrame(raw[taken:], c.at)
		if !ok {
			return taken
		}
		taken += size
		c.pos += int64(size)
		c.at = r.End()
		if r.End() <= c.next {
			continue
		}
		b.Records = append(b.Records, r.From(max(r.Offset, c.next)))
		c.next = r.End()
	}
}

// Log is the log of a writer that is gone.
type Log struct{ w *Writer }

// Open reads a log whose writer is gone, as far as it was written. Torn and foreign data end a segment, they are no
// error. It is an error when there is no log at all.
func Open(dir string) (*Log, error) {
	w := &Writer{ended: true}
	var first error
	for i := range w.segs {
		f, err := os.Open(segmentPath(dir, i))
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		w.segs[i] = load(f)
	}
	if w.segs[0].store == nil && w.segs[1].store == nil {
		return nil, fmt.Errorf("cannot open output log: %w", first)
	}
	older, newer := &w.segs[0], &w.segs[1]
	if older.round > newer.round {
		older, newer = newer, older
	}
	if newer.base < older.end || newer.round == older.round { // from different logs: only the newer can be believed
		older.round, older.end = 0, older.base
	}
	w.end = max(newer.end, older.end)
	return &Log{w: w}, nil
}

func load(f *os.File) segment {
	s := segment{store: f, pos: headerSize}
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil {
		return s
	}
	round, base, ok := parseHeader(header)
	if !ok || round == 0 || base > 1<<62 {
		return s
	}
	s.round, s.base, s.end = round, base, base
	s.lines.n, s.lines.known = parseLines(header)
	s.after = s.lines
	buf := make([]byte, 2*maxFrame)
	for s.pos < MaxSize {
		n, _ := f.ReadAt(buf, s.pos) // what cannot be read ends the segment, as its end does
		taken := 0
		for {
			r, size, ok := parseFrame(buf[taken:n], s.end)
			if !ok {
				break
			}
			taken += size
			s.end, s.after = r.End(), s.after.plus(r.Data)
		}
		s.pos += int64(taken)
		if taken == 0 {
			break
		}
	}
	return s
}

// End is the logical position after the last byte that was kept.
func (l *Log) End() uint64 { return l.w.end }

// Read begins to read at a logical offset.
func (l *Log) Read(from uint64) *Cursor { return l.w.Read(from) }

// Close closes the files.
func (l *Log) Close() { l.w.Close() }
