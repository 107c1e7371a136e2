package outlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Storage is where a segment lies; a file, or memory when the disk is full.
type Storage interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
}

// segment is one half of the log.
type segment struct {
	store Storage
	limit int64  // bytes of store that may be used
	round uint64 // counts up each time a segment is begun; 0 means unused
	base  uint64 // logical offset of its first record
	end   uint64 // logical offset after its last record
	lines count  // that ended before base
	after count  // and before end
	pos   int64  // where the next frame goes
}

// count is a number of lines, if it is known.
type count struct {
	n     uint64
	known bool
}

func (c count) plus(data []byte) count {
	c.n += uint64(bytes.Count(data, []byte{'\n'}))
	return c
}

// orZero is what a Gap says.
func (c count) orZero() uint64 {
	if !c.known {
		return 0
	}
	return c.n
}

func segmentPath(dir string, i int) string {
	return filepath.Join(dir, fmt.Sprintf("output-%d.log", i))
}

func createSegment(dir string, i int, size int64) (Storage, error) {
	f, err := os.OpenFile(segmentPath(dir, i), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := preallocate(f, size); err != nil {
		f.Close()
		os.Remove(f.Name()) // it may hold the last blocks of the disk, which the rest of the launch needs
		return nil, err
	}
	return f, nil
}

// memorySize is what is kept of the output in each half while the disk is full.
const memorySize = 256 << 10

// memory is a segment that lives as long as its process.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m.b)) {
		return 0, io.EOF
	}
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Close() error { return nil }
