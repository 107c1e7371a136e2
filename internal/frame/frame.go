package frame

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the kind of a frame.
type Kind int

// The kinds. Responses and notifications of JSON-RPC 2.0 are read as Response and Event (B178, B179).
const (
	Request Kind = iota + 1
	Response
	Event
	Other // an object that is none of these
)

// Frame is one parsed frame. Which fields are set depends on Kind.
type Frame struct {
	Kind    Kind
	ID      string          // Request, Response
	Method  string          // Request
	Params  json.RawMessage // Request
	OK      bool            // Response
	Payload json.RawMessage // Response, Event; nil is null (B158)
	Error   *Error          // Response that is not OK
	Name    string          // Event
	Seq     int64           // Event; 0 when it has none
	JSONRPC bool
}

// Error is a gateway's error. Decide on Reason, never on Code alone: Code is INVALID_REQUEST for nearly everything.
type Error struct {
	Code       string
	Message    string
	Retryable  bool
	RetryAfter time.Duration // bounded, see MaxRetryAfter
	Details    json.RawMessage
	Reason     string // details.code, else details.reason, else ""
}

// Error returns the gateway's text.
func (e *Error) Error() string {
	if e.Message == "" {
		return "the gateway refused without a message (" + e.Code + ")"
	}
	return e.Message
}

// MaxRetryAfter bounds the wait that a gateway may ask for.
const MaxRetryAfter = 30 * time.Second

// ErrNotAFrame is wrapped by every error of Parse.
var ErrNotAFrame = errors.New("not a frame")

type wire struct {
	Type    string          `json:"type"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	OK      *bool           `json:"ok"`
	Payload json.RawMessage `json:"payload"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
	Event   string          `json:"event"`
	Seq     json.RawMessage `json:"seq"`
	JSONRPC string          `json:"jsonrpc"`
}

// Parse reads one frame of any form. It never panics, keeps no reference to data, and its errors show nothing of
// it.
func Parse(data []byte) (Frame, error) {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return Frame{}, fmt.Errorf("%w: it is not a JSON object", ErrNotAFrame)
	}
	var w wire
	if err := json.Unmarshal(trimmed, &w); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Frame{}, fmt.Errorf("%w: %q has the wrong type", ErrNotAFrame, wrong.Field)
		}
		return Frame{}, fmt.Errorf("%w: it is not valid JSON", ErrNotAFrame)
	}
	switch {
	case w.Type == "res":
		return response(w), nil
	case w.Type == "event":
		return Frame{Kind: Event, Name: w.Event, Payload: null(w.Payload), Seq: seq(w.Seq)}, nil
	case w.Type == "req":
		return Frame{Kind: Request, ID: id(w.ID), Method: w.Method, Params: null(w.Params)}, nil
	case w.JSONRPC == "2.0" && len(w.ID) > 0 && string(w.ID) != "null" && (w.Result != nil || w.Error != nil):
		f := response(w)
		f.JSONRPC, f.Payload = true, null(w.Result)
		return f, nil
	case w.JSONRPC == "2.0" && w.Method != "" && len(w.ID) == 0:
		return Frame{Kind: Event, Name: w.Method, Payload: null(w.Params), JSONRPC: true}, nil
	default:
		return Frame{Kind: Other}, nil
	}
}

func response(w wire) Frame {
	f := Frame{Kind: Response, ID: id(w.ID), Payload: null(w.Payload)}
	hasError := len(w.Error) > 0 && string(w.Error) != "null"
	f.OK = !hasError && (w.OK == nil || *w.OK) // B157
	if !f.OK {
		f.Error = parseError(w.Error)
	}
	return f
}

// id returns an id as text; a number keeps its digits, so that id 0 is an id (B178).
func id(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func seq(raw json.RawMessage) int64 {
	var n int64
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}

func null(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return bytes.Clone(raw)
}

func parseError(raw json.RawMessage) *Error {
	e := &Error{}
	var w struct {
		Code         json.RawMessage `json:"code"`
		Message      string          `json:"message"`
		Retryable    bool            `json:"retryable"`
		RetryAfterMs float64         `json:"retryAfterMs"`
		Details      json.RawMessage `json:"details"`
	}
	if err := json.Unmarshal(raw, &w); err != nil { // a text, a number, or parts of a wrong type
		e.Code, e.Message = "UNKNOWN", cut(string(raw), 4096)
		if len(raw) == 0 {
			e.Message = "Unknown error"
		}
		return e
	}
	e.Code, e.Message, e.Retryable, e.Details = id(w.Code), cut(w.Message, 4096), w.Retryable, null(w.Details)
	if ms := min(w.RetryAfterMs, float64(MaxRetryAfter.Milliseconds())); ms > 0 { // false for NaN, too
		e.RetryAfter = time.Duration(ms * float64(time.Millisecond))
	}
	var d struct {
		Code   string `json:"code"`
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(w.Details, &d) // details have any form: what does not fit is absent
	if e.Reason = d.Code; e.Reason == "" {
		e.Reason = d.Reason
	}
	return e
}

func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// NewRequest builds a request frame (B150).
func NewRequest(id, method string, params json.RawMessage) ([]byte, error) {
	out := struct {
		Type   string          `json:"type"`
		ID     string          `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params,omitempty"`
	}{"req", id, method, params}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("cannot build request %s: %w", method, err)
	}
	return data, nil
}
