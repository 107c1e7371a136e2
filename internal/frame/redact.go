package frame

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gatehost/gatehost/internal/redact"
)

// writesConfig are the methods whose params.raw is a whole configuration, secrets included.
var writesConfig = map[string]bool{"config.set": true, "config.patch": true, "config.apply": true}

// Redact returns a copy of a frame, or of an event's payload, with its secrets hidden: by their names, and the values
// that known knows (nil: none). What is no JSON is replaced by its size.
func Redact(data []byte, known *redact.Redactor) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Appendf(nil, `"(%d bytes that are not JSON)"`, len(data))
	}
	if m, ok := v.(map[string]any); ok {
		method, _ := m["method"].(string)
		if params, ok := m["params"].(map[string]any); ok && writesConfig[method] && params["raw"] != nil {
			params["raw"] = redact.Mark
		}
	}
	if m, ok := v.(map[string]any); ok { // the answer to config.get: raw is the same
		if payload, ok := m["payload"].(map[string]any); ok && payload["hash"] != nil && payload["raw"] != nil {
			payload["raw"] = redact.Mark
		}
	}
	out, err := json.Marshal(known.Value(v))
	if err != nil {
		return []byte(`"(unprintable)"`)
	}
	return out
}

// Summary describes a frame in a few words without any of its content: "req id=1 method=sessions.list", "event
// chat" (T070).
func Summary(data []byte) string {
	f, err := Parse(data)
	if err != nil {
		return fmt.Sprintf("unreadable, %d bytes", len(data))
	}
	switch f.Kind {
	case Request:
		return fmt.Sprintf("req id=%s method=%s", cut(f.ID, 64), cut(f.Method, 64))
	case Response:
		return fmt.Sprintf("res id=%s ok=%t", cut(f.ID, 64), f.OK)
	case Event:
		return "event " + cut(f.Name, 64)
	default:
		return "other"
	}
}
