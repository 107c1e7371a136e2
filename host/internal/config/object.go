package config

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// object turns a table that only a plugin understands into a JSON object. Dates and times become RFC 3339 strings,
// as far as they were given: "2026-05-27T07:32:00Z", "2026-05-27T07:32:00", "2026-05-27", "07:32:00".
func (d *decoder) object(v *json.RawMessage, raw any, key []string) {
	m, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(key, "a table", raw)
		return
	}
	before := len(d.faults)
	value := d.plain(m, key)
	if len(d.faults) > before {
		return
	}
	data, err := json.Marshal(value)
	if err != nil {
		d.fault(key, "", "cannot be passed on: %v", err)
		return
	}
	*v = data
}

func (d *decoder) plain(raw any, key []string) any {
	switch v := raw.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[k] = d.plain(v[k], under(key, k))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.plain(v[i], under(key, strconv.Itoa(i)))
		}
		return out
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = d.plain(v[i], under(key, strconv.Itoa(i)))
		}
		return out
	case time.Time:
		return formatTime(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			d.fault(key, "", "nan and inf cannot be passed on")
			return nil
		}
		return v
	default:
		return v
	}
}

// formatTime recognizes the zones by which the toml package marks times without a zone.
func formatTime(t time.Time) string {
	switch t.Location().String() {
	case "datetime-local":
		return t.Format("2006-01-02T15:04:05.999999999")
	case "date-local":
		return t.Format(time.DateOnly)
	case "time-local":
		return t.Format("15:04:05.999999999")
	default:
		return t.Format(time.RFC3339Nano)
	}
}
