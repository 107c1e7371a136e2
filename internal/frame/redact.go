package frame

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// secretKeys are hidden wherever they stand, in any case (B352), besides a few that today's frames carry.
var secretKeys = map[string]bool{
	"token": true, "authorization": true, "apikey": true, "api_key": true, "signature": true, "cookie": true, "set-cookie": true,
	"accesstoken": true, "refreshtoken": true, "devicetoken": true, "password": true, "secret": true, "privatekey": true, "nonce": true,
}

// writesConfig are the methods whose params.raw is a whole configuration, secrets included.
var writesConfig = map[string]bool{"config.set": true, "config.patch": true, "config.apply": true}

// Redact returns a copy of a frame with its secrets hidden. What is no JSON is replaced by its size.
func Redact(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Appendf(nil, `"(%d bytes that are not JSON)"`, len(data))
	}
	if m, ok := v.(map[string]any); ok {
		method, _ := m["method"].(string)
		if params, ok := m["params"].(map[string]any); ok && writesConfig[method] && params["raw"] != nil {
			params["raw"] = Redacted
		}
	}
	if m, ok := v.(map[string]any); ok { // the answer to config.get: raw is the same
		if payload, ok := m["payload"].(map[string]any); ok && payload["hash"] != nil && tells(payload["raw"]) {
			payload["raw"] = Redacted
		}
	}
	out, err := json.Marshal(redact(v))
	if err != nil {
		return []byte(`"(unprintable)"`)
	}
	return out
}

func redact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if secretKeys[strings.ToLower(k)] && tells(x) {
				v[k] = Redacted
				continue
			}
			v[k] = redact(x)
		}
	case []any:
		for i, x := range v {
			v[i] = redact(x)
		}
	}
	return v
}

// tells says whether a value could hold a secret: yes and no, nothing and an empty text do not.
func tells(v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return false
	case string:
		return v != ""
	default:
		return true
	}
}

// Summary is a frame in a few words without any of its content: "req id=1 method=sessions.list", "event chat" (T070).
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
