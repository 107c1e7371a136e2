package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
)

func journalDir(cfg *Config) string { return filepath.Join(cfg.StateDir, "journal") }

// openJournal makes everything that happens from now on outlive the host. It never fails: without a disk the host supervises all
// the same, and says so.
func (h *Host) openJournal() {
	cfg := h.config()
	j, remarks := journal.Open(journalDir(cfg), journal.Options{
		MaxSize: int64(cfg.Journal.MaxSize), MaxFiles: cfg.Journal.MaxFiles, Host: h.version, OnFault: h.journalFault,
	})
	for _, r := range remarks {
		h.log.Warn("journal", "remark", r)
	}
	j.Keep(func(launch string) bool {
		_, err := os.Stat(filepath.Join(h.store.RunDir(), launch))
		return err == nil
	})
	h.journal = j
	h.hub.Persist(j)
	if err := h.store.Reserve(); err != nil {
		h.log.Warn("no room is set aside for a full disk", "error", err)
	}
}

// journalFault is told when the journal cannot be written, and with nil when it can again.
func (h *Host) journalFault(err error) {
	c := control.Condition{Code: "journal-unwritable"}
	if err != nil {
		c.Message = err.Error()
		c.Hint = "events and output are kept in memory only; make room in, or give back, " + journalDir(h.config())
		h.log.Error("cannot keep what happens; supervision goes on", "error", err)
		h.metrics.JournalFault()
	} else {
		h.log.Info("what happens is kept on disk again")
		if err := h.store.Reserve(); err != nil { // given up by a launch while the disk was full
			h.log.Warn("no room is set aside for a full disk", "error", err)
		}
	}
	h.condition(c, err != nil)
}

// condition makes one of the host come, say something else, or go, and tells of it.
func (h *Host) condition(c control.Condition, active bool) {
	if now, changed := h.conditions.set(c, active); changed {
		h.hub.Publish(events.Event{Type: events.HostCondition, Data: control.ConditionData{Condition: now, Active: active}})
	}
}

// at is the cursor after which the events of a moment and later begin; 0 when only memory has any.
func (h *Host) at(t time.Time) uint64 {
	cursor, err := h.journal.At(t)
	if err != nil {
		h.log.Warn("cannot read the journal", "error", err)
		return 0
	}
	return cursor
}

// hostConditions is what is not well with the host itself.
type hostConditions struct {
	mu  sync.Mutex // guards now
	now []control.Condition
}

// set makes a condition come, say what it says now, or go, and reports whether that is a change. It holds since it came, whatever it says.
func (c *hostConditions) set(cond control.Condition, active bool) (control.Condition, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.now, func(have control.Condition) bool { return have.Code == cond.Code })
	switch {
	case active && i < 0:
		cond.Since = control.At(time.Now())
		c.now = append(c.now, cond)
		return cond, true
	case active:
		cond.Since = c.now[i].Since
		changed := cond != c.now[i]
		c.now[i] = cond
		return cond, changed
	case i >= 0:
		gone := c.now[i]
		c.now = slices.Delete(c.now, i, i+1)
		return gone, true
	default:
		return cond, false
	}
}

func (c *hostConditions) list() []control.Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.now)
}

// Logs reads a gateway's output from the journal and memory, and follows it.
func (a api) Logs(ctx context.Context, name string, q control.LogsQuery) iter.Seq2[control.LogLine, error] {
	return func(yield func(control.LogLine, error) bool) {
		if _, err := a.find(name); err != nil {
			yield(control.LogLine{}, err)
			return
		}
		last := a.h.hub.Last()
		for line := range a.h.keptLines(name, q, last) {
			if !yield(line, nil) {
				return
			}
		}
		sub := a.h.hub.Subscribe(last)
		for q.Follow {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if line, ok := logLine(e, name, q); ok && !yield(line, nil) {
				return
			}
		}
	}
}

// maxTail is the most lines that are collected before the first is told; a query for more, or for all, gets them as they are read.
const maxTail = 20_000

// keptLines are those up to a cursor: memory has the newest, the journal all before.
func (h *Host) keptLines(name string, q control.LogsQuery, last uint64) iter.Seq[control.LogLine] {
	return func(yield func(control.LogLine) bool) {
		if q.Tail == 0 || q.Tail > maxTail {
			from := max(h.journal.Oldest(), 2) - 1
			if !q.Since.IsZero() {
				if at, err := h.journal.At(q.Since); err == nil {
					from = max(at, 1)
				}
			}
			for line := range h.linesAfter(from, last, name, q) {
				if !yield(line) {
					return
				}
			}
			return
		}
		complete := h.hub.Complete()
		memory := slices.Collect(h.linesAfter(complete, last, name, q))
		if missing := q.Tail - len(memory); missing > 0 {
			older := q
			older.Tail = missing
			before, err := tailLines(h.journal.Reader, name, older, complete+1)
			if err != nil {
				h.log.Warn("cannot read all of the journal", "error", err)
			}
			memory = append(before, memory...)
		}
		for _, line := range memory[max(0, len(memory)-q.Tail):] {
			if !yield(line) {
				return
			}
		}
	}
}

// linesAfter are the lines between two cursors that a query wants.
func (h *Host) linesAfter(after, last uint64, name string, q control.LogsQuery) iter.Seq[control.LogLine] {
	return func(yield func(control.LogLine) bool) {
		sub := h.hub.Subscribe(after)
		for e, ok := sub.TryNext(); ok && e.Cursor <= last; e, ok = sub.TryNext() {
			if line, ok := logLine(e, name, q); ok && !yield(line) {
				return
			}
		}
	}
}

// tailLines are the newest lines of a journal before a cursor that a query wants.
func tailLines(r journal.Reader, name string, q control.LogsQuery, before uint64) ([]control.LogLine, error) {
	typed := []byte(`"type":"` + string(events.GatewayOutput) + `"`)
	found, err := r.Tail(q.Tail, func(line []byte) bool { return bytes.Contains(line, typed) }, func(e events.Event) bool {
		_, ok := logLine(e, name, q)
		return ok && e.Cursor < before
	})
	lines := make([]control.LogLine, 0, len(found))
	for _, e := range found {
		line, _ := logLine(e, name, q)
		lines = append(lines, line)
	}
	return lines, err
}

// logLine is a line of a gateway's output as a query wants it. A query for a level leaves out what is hidden and what is quieter.
func logLine(e events.Event, name string, q control.LogsQuery) (control.LogLine, bool) {
	if e.Gateway != name || e.Time.Before(q.Since) {
		return control.LogLine{}, false
	}
	line, ok := logLineOf(e)
	if !ok || q.Level != "" && (line.Hidden || levelOf(line.Level) < levelOf(q.Level)) {
		return control.LogLine{}, false
	}
	return line, true
}

func levelOf(word string) classifier.Level {
	switch word {
	case "drop":
		return classifier.LevelDrop
	case "debug":
		return classifier.LevelDebug
	case "info":
		return classifier.LevelInfo
	case "error":
		return classifier.LevelError
	default:
		return classifier.LevelWarn
	}
}

// History reads what hosts of a configuration have written down; no host need be running.
type History struct {
	cfg *Config
	r   journal.Reader
}

// OpenHistory finds the journal of a configuration. A journal that does not exist has no events.
func OpenHistory(cfg *Config) *History { return &History{cfg, journal.NewReader(journalDir(cfg))} }

// Dir is where it is.
func (h *History) Dir() string { return journalDir(h.cfg) }

// Empty reports whether nothing was ever written down.
func (h *History) Empty() bool { return h.r.Oldest() == 0 }

// ErrNoGateway is returned for a gateway that the configuration does not have.
var ErrNoGateway = errors.New("there is no such gateway")

func (h *History) known(gateway string) error {
	if _, ok := h.cfg.Gateways[gateway]; !ok && gateway != "" {
		return fmt.Errorf("%w: %q is not in %s", ErrNoGateway, gateway, h.cfg.Path)
	}
	return nil
}

// Events yields the events of a gateway, "" means all, after a cursor and not before a moment; both may be zero. An error is
// yielded last.
func (h *History) Events(gateway string, after uint64, since time.Time) iter.Seq2[control.Event, error] {
	return func(yield func(control.Event, error) bool) {
		err := h.known(gateway)
		if err == nil && !since.IsZero() {
			var from uint64
			from, err = h.r.At(since)
			after = max(after, from)
		}
		if err != nil {
			yield(control.Event{}, err)
			return
		}
		for e, err := range h.r.Events(after) {
			switch {
			case err != nil:
				yield(control.Event{}, err)
				return
			case gateway != "" && e.Gateway != gateway, e.Time.Before(since.Truncate(time.Millisecond)):
			case !yield(httpapi.Wire(e), nil):
				return
			}
		}
	}
}

// Logs answers lines of a gateway's output as a query wants them; Follow has no meaning.
func (h *History) Logs(gateway string, q control.LogsQuery) ([]control.LogLine, error) {
	if err := h.known(gateway); err != nil {
		return nil, err
	}
	return tailLines(h.r, gateway, q, ^uint64(0))
}
