package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/internal/atomicfile"
)

// facts is the series of what the host found out itself. Each gateway has a series of its own, of what it wrote and
// sent: how much that is, the gateway decides, and it must not push out anything else.
const (
	facts         = "facts"
	gatewaySeries = "gateway-" // and its name
)

// plainName are the names of gateways that can be part of a file's name.
var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// seriesFor returns the series of an event.
func (j *Journal) seriesFor(e events.Event) *series {
	if !e.IsForeign() {
		return j.seriesOf(facts)
	}
	s := j.gateways[e.Gateway]
	if s == nil {
		name := facts // of a name that no configuration has
		if plainName.MatchString(e.Gateway) {
			name = gatewaySeries + e.Gateway
		}
		s = j.seriesOf(name)
		j.gateways[e.Gateway] = s
	}
	return s
}

// fileName returns the name of a segment. Those of the facts have the names of an earlier layout, which had no series.
func fileName(series string, first uint64) string {
	if series == facts {
		return fmt.Sprintf("%020d.jsonl", first)
	}
	return fmt.Sprintf("%020d.%s.jsonl", first, series)
}

// series is one sequence of segments; the journal's lock guards it.
type series struct {
	name  string
	file  *os.File // nil: the next event begins a segment
	size  int64
	dirty bool // written and not synced
	buf   []byte
	inBuf []events.Event // what buf holds

	allowance int64 // bytes that may come now
	counted   time.Time
}

func (j *Journal) seriesOf(name string) *series {
	s := j.series[name]
	if s == nil {
		s = &series{name: name, allowance: burst * j.o.MaxRate}
		j.series[name] = s
	}
	return s
}

// allows reports whether size bytes more are within the rate, and counts them.
func (s *series) allows(size, rate int64, now time.Time) bool {
	// less than a byte is not counted yet: otherwise many small steps would add up to nothing
	if more := int64(min(now.Sub(s.counted).Seconds(), burst) * float64(rate)); more > 0 {
		s.allowance, s.counted = min(burst*rate, s.allowance+more), now
	}
	if size > s.allowance {
		return false
	}
	s.allowance -= size
	return true
}

func (s *series) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// flush writes what buf holds. When only a part was written, the lines of that part count as stored and the half
// line is removed.
func (j *Journal) flush(s *series) error {
	if len(s.buf) == 0 {
		return nil
	}
	n, err := s.file.Write(s.buf)
	whole := bytes.LastIndexByte(s.buf[:n], '\n') + 1
	lines := bytes.Count(s.buf[:whole], []byte("\n"))
	for _, e := range s.inBuf[:lines] {
		j.store(e)
	}
	s.size += int64(whole)
	s.dirty = true
	if err != nil {
		j.drop(s.inBuf[lines:])
		err = errors.Join(err, s.file.Truncate(s.size))
	}
	s.buf, s.inBuf = s.buf[:0], s.inBuf[:0]
	return err
}

// rotate begins the segment of a series whose first event is e, and removes the oldest segments above the limit.
func (j *Journal) rotate(s *series, e events.Event) error {
	if s.file != nil {
		err := errors.Join(s.file.Sync(), s.file.Close())
		s.file = nil
		if err != nil {
			return err
		}
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil { // it may have been removed
		return err
	}
	head, err := json.Marshal(header{
		Journal: version, Series: s.name, Cursor: e.Cursor, Time: e.Time.UTC(), Host: j.o.Host, Outputs: j.outputs,
	})
	if err != nil {
		return err
	}
	path := filepath.Join(j.dir, fileName(s.name, e.Cursor))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(head, '\n')); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	s.file, s.size = f, int64(len(head)+1)
	_ = atomicfile.SyncDir(j.dir) // where a directory cannot be synced there is nothing to do about it
	return j.trim(s)
}

func (j *Journal) trim(of *series) error {
	all, err := j.Reader.segments()
	if err != nil {
		return err
	}
	mine := all[of.name]
	for _, s := range mine[:max(0, len(mine)-j.o.MaxFiles)] {
		if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
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
