package shim

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehost/gatehost/shared/shim/outlog"
)

// MaxLine is the most bytes of a line that are kept; what comes after is dropped and the line marked.
const MaxLine = 64 << 10

// Line is one line of one stream.
type Line struct {
	// Offset is the logical position just after the line's last byte. It grows strictly in order of delivery and is the
	// cursor to go on from. A line without an end, at the end of the output, counts as one position longer than the
	// output (stderr: two), so that this holds for it as well.
	Offset    uint64
	Time      time.Time // when its end was read
	Stream    outlog.Stream
	Text      string // valid UTF-8, without LF or CRLF; may be empty
	Truncated bool   // too long, or its beginning is lost
	Partial   bool   // the output ended without ending the line
}

// LineReader cuts records into lines, each stream by itself. The zero value is ready. Feed it from the start of what is
// kept, not from a cursor: a line may have begun long before it ended.
type LineReader struct {
	streams [2]unfinished
	last    uint64 // offset of the last line
}

type unfinished struct {
	text []byte // at most MaxLine+1
	over bool   // bytes were dropped
	lost bool   // the beginning of the line is lost
	seen bool   // bytes of this stream came since the start or the last gap
	time time.Time
}

// Record takes one record and calls emit for each line that it ends. Records of unknown streams are ignored.
func (l *LineReader) Record(r outlog.Record, emit func(Line) error) error {
	if r.Stream != outlog.Stdout && r.Stream != outlog.Stderr {
		return nil
	}
	u := &l.streams[r.Stream-1]
	if !u.seen && r.Flags&outlog.FlagContinues != 0 {
		u.lost = true
	}
	u.seen, u.time = true, r.Time
	data, offset := r.Data, r.Offset
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			u.add(data)
			return nil
		}
		u.add(data[:i])
		offset += uint64(i + 1)
		data = data[i+1:]
		if err := emit(l.line(r.Stream, offset, false)); err != nil {
			return err
		}
	}
	return nil
}

func (u *unfinished) add(b []byte) {
	if room := MaxLine + 1 - len(u.text); len(b) > room {
		b, u.over = b[:room], true
	}
	u.text = append(u.text, b...)
}

// line returns what was collected of a stream.
func (l *LineReader) line(stream outlog.Stream, offset uint64, partial bool) Line {
	u := &l.streams[stream-1]
	text := u.text
	if !partial && !u.over && len(text) > 0 && text[len(text)-1] == '\r' {
		text = text[:len(text)-1]
	}
	over := u.over || len(text) > MaxLine
	if over {
		text = cutRune(text[:MaxLine])
	}
	line := Line{
		Offset: offset, Time: u.time, Stream: stream, Text: validText(text), Truncated: over ||
			u.lost, Partial: partial,
	}
	if cap(u.text) > 4<<10 { // one long line must not hold memory for ever
		u.text = nil
	}
	u.text, u.over, u.lost = u.text[:0], false, false
	l.last = offset
	return line
}

// Gap forgets the unfinished lines: their ends are lost. What comes next in a line that began before is marked.
func (l *LineReader) Gap() {
	l.streams = [2]unfinished{}
}

// Flush emits the unfinished lines at the end of the output, stdout first.
func (l *LineReader) Flush(end uint64, emit func(Line) error) error {
	for _, stream := range []outlog.Stream{outlog.Stdout, outlog.Stderr} {
		if u := l.streams[stream-1]; len(u.text) == 0 && !u.over {
			continue
		}
		if err := emit(l.line(stream, end+uint64(stream), true)); err != nil {
			return err
		}
	}
	return nil
}

// CutLines turns a sink of lines into a sink for Output(ctx, 0, ...): it passes only lines after cursor. So over any
// number of reads, each from the last line's Offset, no line comes twice and none is missing; what is lost is a Gap.
func CutLines(cursor uint64, sink func(Item) error) func(Item) error {
	var reader LineReader
	emit := func(line Line) error {
		if line.Offset <= cursor {
			return nil
		}
		return sink(line)
	}
	return func(item Item) error {
		switch item := item.(type) {
		case Record:
			return reader.Record(item.Record, emit)
		case Gap:
			reader.Gap()
			if item.To <= cursor {
				return nil
			}
			item.From = max(item.From, cursor)
			return sink(item)
		case End:
			if !item.Running {
				if err := reader.Flush(item.EndOffset, emit); err != nil {
					return err
				}
			}
			item.EndCursor = max(item.EndOffset, reader.last)
			return sink(item)
		default:
			return sink(item)
		}
	}
}

// cutRune drops the incomplete last letter of text that was cut.
func cutRune(b []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if utf8.RuneStart(b[len(b)-i]) {
			if !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// validText replaces each maximal part of a broken letter by U+FFFD, as browsers and Node do (Unicode 3.9, table 3-8);
// Go's own ToValidUTF8 makes one of a whole run.
func validText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size <= 1 {
			size = brokenPrefix(b)
		}
		s.WriteRune(r)
		b = b[size:]
	}
	return s.String()
}

// brokenPrefix returns how many bytes of b begin a letter that could have been complete, at least 1.
func brokenPrefix(b []byte) int {
	for n := min(3, len(b)); n > 1; n-- {
		if !utf8.FullRune(b[:n]) { // only more bytes could tell: all of these are one letter's beginning
			return n
		}
	}
	return 1
}
