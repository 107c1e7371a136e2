package outlog

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// Stream is the output that a record came from.
type Stream uint8

// The streams.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// FlagContinues marks a record whose stream's previous record did not end with a line feed: its first bytes belong to a
// line that began before.
const FlagContinues uint8 = 1

// MaxData is the most bytes of one record.
const MaxData = 32 << 10

// Record is what one read from one pipe gave. Order between the two streams is order of arrival.
type Record struct {
	Offset uint64 // logical position of Data[0]
	Time   time.Time
	Stream Stream
	Flags  uint8
	Data   []byte // at most MaxData
}

// End is the position just after r.
func (r Record) End() uint64 { return r.Offset + uint64(len(r.Data)) }

// From cuts off what lies before offset, which must lie within r.
func (r Record) From(offset uint64) Record {
	n := offset - r.Offset
	if n == 0 || n >= uint64(len(r.Data)) {
		return r
	}
	r.Flags &^= FlagContinues
	if r.Data[n-1] != '\n' {
		r.Flags |= FlagContinues
	}
	r.Offset, r.Data = offset, r.Data[n:]
	return r
}

// Gap says that the bytes from From to To are lost.
type Gap struct {
	From, To uint64
	// ToLine is how many lines ended before To since the log began, of both streams together, so that a reader who
	// counts lines knows how many are lost. 0 when that is not known.
	ToLine uint64
}

// Bytes is how many bytes are lost.
func (g Gap) Bytes() uint64 { return g.To - g.From }

const (
	magic       = "GHLOG1\r\n"
	headerSize  = 64
	frameHeader = 28
	maxFrame    = frameHeader + MaxData
)

var table = crc32.MakeTable(crc32.Castagnoli)

// putHeader writes the first bytes of a segment: magic, round, logical offset of its first byte, checksum; then, for
// newer readers only, the lines that ended before it, with a checksum of their own.
func putHeader(b []byte, round, base, lines uint64) {
	clear(b[:headerSize])
	copy(b, magic)
	binary.BigEndian.PutUint64(b[8:], round)
	binary.BigEndian.PutUint64(b[16:], base)
	binary.BigEndian.PutUint32(b[24:], crc32.Checksum(b[:24], table))
	binary.BigEndian.PutUint64(b[32:], lines)
	binary.BigEndian.PutUint32(b[40:], crc32.Checksum(b[:40], table))
}

// parseLines returns the lines that ended before a segment, of a whole header; they are not known in one that an older
// shim wrote.
func parseLines(b []byte) (lines uint64, known bool) {
	if binary.BigEndian.Uint32(b[40:]) != crc32.Checksum(b[:40], table) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[32:]), true
}

func parseHeader(b []byte) (round, base uint64, ok bool) {
	if len(b) < headerSize || string(b[:8]) != magic ||
		binary.BigEndian.Uint32(b[24:]) != crc32.Checksum(b[:24], table) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), true
}

// appendFrame frames r: checksum of all that follows, length, offset, time, stream, flags, two zero bytes, data.
func appendFrame(b []byte, r Record) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Data)))
	b = binary.BigEndian.AppendUint64(b, r.Offset)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixNano()))
	b = append(b, byte(r.Stream), r.Flags, 0, 0)
	b = append(b, r.Data...)
	binary.BigEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], table))
	return b
}

// parseFrame reads the record that must begin at offset. Its data alias b. Not ok: torn, foreign, or an earlier
// round's.
func parseFrame(b []byte, offset uint64) (r Record, size int, ok bool) {
	if len(b) < frameHeader {
		return Record{}, 0, false
	}
	n := binary.BigEndian.Uint32(b[4:])
	if n == 0 || n > MaxData || len(b) < frameHeader+int(n) || binary.BigEndian.Uint64(b[8:]) != offset {
		return Record{}, 0, false
	}
	size = frameHeader + int(n)
	if binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:size], table) {
		return Record{}, 0, false
	}
	return Record{
		Offset: offset,
		Time:   time.Unix(0, int64(binary.BigEndian.Uint64(b[16:]))),
		Stream: Stream(b[24]),
		Flags:  b[25],
		Data:   b[frameHeader:size:size],
	}, size, true
}
