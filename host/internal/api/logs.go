package api

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"slices"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/gateway"
	"github.com/gatehost/gatehost/host/internal/journal"
	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/control"
)

// Logs yields lines of a gateway's output from the journal and from memory, and new ones when the query follows.
func (s *Service) Logs(ctx context.Context, name string, q control.LogsQuery) iter.Seq2[control.LogLine, error] {
	return func(yield func(control.LogLine, error) bool) {
		if _, err := s.find(name); err != nil {
			yield(control.LogLine{}, err)
			return
		}
		last := s.o.Hub.Last()
		for line := range s.keptLines(name, q, last) {
			if !yield(line, nil) {
				return
			}
		}
		sub := s.o.Hub.Subscribe(last)
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

// maxTail is the largest number of lines that are collected before the first is yielded. A query for more, or for all,
// gets each line as it is read.
const maxTail = 20_000

// keptLines yields the lines up to a cursor: memory has the newest, the journal has all before them.
func (s *Service) keptLines(name string, q control.LogsQuery, last uint64) iter.Seq[control.LogLine] {
	return func(yield func(control.LogLine) bool) {
		if q.Tail == 0 || q.Tail > maxTail {
			from := max(s.o.Journal.Oldest(), 2) - 1
			if !q.Since.IsZero() {
				if at, err := s.o.Journal.At(q.Since); err == nil {
					from = max(at, 1)
				}
			}
			for line := range s.linesAfter(from, last, name, q) {
				if !yield(line) {
					return
				}
			}
			return
		}
		complete := s.o.Hub.Complete()
		memory := slices.Collect(s.linesAfter(complete, last, name, q))
		if missing := q.Tail - len(memory); missing > 0 {
			older := q
			older.Tail = missing
			before, err := TailLines(s.o.Journal.Reader, name, older, complete+1)
			if err != nil {
				s.o.Log.Warn("cannot read all of the journal", "error", err)
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

// linesAfter yields the lines between two cursors that a query selects.
func (s *Service) linesAfter(after, last uint64, name string, q control.LogsQuery) iter.Seq[control.LogLine] {
	return func(yield func(control.LogLine) bool) {
		sub := s.o.Hub.Subscribe(after)
		for e, ok := sub.TryNext(); ok && e.Cursor <= last; e, ok = sub.TryNext() {
			if line, ok := logLine(e, name, q); ok && !yield(line) {
				return
			}
		}
	}
}

// TailLines returns the newest lines of a journal before a cursor that a query selects, the oldest of them first. With
// an error it returns those that it could read.
func TailLines(r journal.Reader, name string, q control.LogsQuery, before uint64) ([]control.LogLine, error) {
	typed := []byte(`"type":"` + string(events.GatewayOutput) + `"`)
	isLine := func(line []byte) bool { return bytes.Contains(line, typed) }
	found, err := r.Tail(name, q.Tail, isLine, func(e events.Event) bool {
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

// logLine returns an event as a line of a gateway's output; false when the query does not select it. A query for a
// level leaves out hidden lines and lines of a lower level.
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

// logLineOf returns the line of an event, which is new or was read from the journal.
func logLineOf(e events.Event) (control.LogLine, bool) {
	if e.Type != events.GatewayOutput {
		return control.LogLine{}, false
	}
	switch data := e.Data.(type) {
	case gateway.OutputLine:
		return data.LogLine, true
	case json.RawMessage:
		var l control.LogLine
		return l, json.Unmarshal(data, &l) == nil
	default:
		return control.LogLine{}, false
	}
}
