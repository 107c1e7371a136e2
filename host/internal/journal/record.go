package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
)

// version is the version of the header and the lines of a segment.
const version = 1

const timeFormat = "2006-01-02T15:04:05.000Z"

// maxData bounds the data of one event, whatever it is; events are far smaller.
const maxData = 4 << 20

// maxLine bounds a line that is read back; events are far smaller.
const maxLine = 64 << 20

// header is the first line of a segment.
type header struct {
	Journal int              `json:"journal"`
	Series  string           `json:"series,omitempty"` // "" in an earlier layout
	Cursor  uint64           `json:"cursor"`           // of the first event
	Time    time.Time        `json:"time"`
	Host    string           `json:"host,omitempty"`
	Outputs map[string]place `json:"outputs,omitempty"` // by launch
}

// place says how far the output of a launch was read.
type place struct {
	Gateway string `json:"gateway"`
	Cursor  uint64 `json:"cursor"`
	Line    uint64 `json:"line,omitempty"` // number of lines up to Cursor; 0: unknown
	// Showed holds the meanings of the lines up to Cursor, by symptom, with the text of the first line of each.
	Showed map[string]string `json:"showed,omitempty"`
}

// Bounds of what is remembered of one launch's lines.
const (
	maxShowed = 16
	maxSaid   = 1024
)

// after returns the place after a line of the same output.
func (p place) after(gateway string, cursor, line uint64, symptom, text string) place {
	next := place{Gateway: gateway, Cursor: cursor, Line: line, Showed: p.Showed}
	if _, known := p.Showed[symptom]; symptom == "" || known || len(p.Showed) >= maxShowed {
		return next
	}
	next.Showed = maps.Clone(p.Showed)
	if next.Showed == nil {
		next.Showed = map[string]string{}
	}
	next.Showed[symptom] = strings.ToValidUTF8(text[:min(len(text), maxSaid)], "")
	return next
}

// record is an event in the form of a line.
type record struct {
	Cursor  uint64          `json:"cursor"`
	Time    time.Time       `json:"time"`
	Gateway string          `json:"gateway"`
	Plugin  string          `json:"plugin"`
	Type    events.Type     `json:"type"`
	Cause   uint64          `json:"cause"`
	Data    json.RawMessage `json:"data"`
}

// appendEvent encodes e as one line. Cursor and time come first: readers look for them without decoding the rest.
func appendEvent(b []byte, e events.Event) []byte {
	b = append(b, `{"cursor":`...)
	b = strconv.AppendUint(b, e.Cursor, 10)
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, '"')
	if e.Gateway != "" {
		b = appendString(append(b, `,"gateway":`...), e.Gateway)
	}
	if e.Plugin != "" {
		b = appendString(append(b, `,"plugin":`...), e.Plugin)
	}
	b = appendString(append(b, `,"type":`...), string(e.Type))
	if e.Cause != 0 {
		b = strconv.AppendUint(append(b, `,"cause":`...), e.Cause, 10)
	}
	if e.Data != nil {
		data, err := json.Marshal(e.Data) // compact, without line feeds
		if err != nil {
			data = appendString([]byte(`{"error":`), fmt.Sprintf("bug: cannot encode the data: %v", err))
			data = append(data, '}')
		}
		if len(data) > maxData {
			data = fmt.Appendf(nil, `{"cut":true,"bytes":%d}`, len(data))
		}
		b = append(append(b, `,"data":`...), data...)
	}
	return append(b, '}', '\n')
}

func appendString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // cannot happen: a string always encodes
	}
	return append(b, quoted...)
}

// parseEvent reads a line; ok is false when it is not an event.
func parseEvent(line []byte) (events.Event, bool) {
	var r record
	if json.Unmarshal(line, &r) != nil || r.Cursor == 0 || r.Type == "" {
		return events.Event{}, false
	}
	e := events.Event{
		Cursor: r.Cursor, Time: r.Time, Gateway: r.Gateway, Plugin: r.Plugin, Type: r.Type,
		Cause: r.Cause,
	}
	if len(r.Data) > 0 {
		e.Data = r.Data
	}
	return e, true
}

func parseHeader(line []byte) (header, error) {
	var h header
	switch err := json.Unmarshal(line, &h); {
	case err != nil, h.Journal == 0:
		return header{}, fmt.Errorf("it does not begin with the header of a journal")
	case h.Journal > version:
		return header{}, fmt.Errorf(
			"it was written by a newer gatehost (version %d of the journal, this one reads %d)", h.Journal, version)
	}
	return h, nil
}

var (
	cursorPrefix = []byte(`{"cursor":`)
	timePrefix   = []byte(`,"time":"`)
)

// peek reads cursor and time at the beginning of a line; ok is false when it is not an event.
func peek(line []byte) (cursor uint64, at time.Time, ok bool) {
	rest, found := bytes.CutPrefix(line, cursorPrefix)
	if !found {
		return 0, at, false
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	cursor, err := strconv.ParseUint(string(rest[:n]), 10, 64)
	if err != nil {
		return 0, at, false
	}
	rest, found = bytes.CutPrefix(rest[n:], timePrefix)
	if !found || len(rest) < len(timeFormat) {
		return 0, at, false
	}
	at, err = time.Parse(timeFormat, string(rest[:len(timeFormat)]))
	return cursor, at, err == nil
}
