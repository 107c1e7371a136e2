package control

import (
	"fmt"
	"time"
)

// Time is a moment whose JSON is RFC 3339 in UTC, to the millisecond. Use it with omitzero.
type Time struct{ time.Time }

// At makes a Time.
func At(t time.Time) Time { return Time{t.UTC()} }

// MarshalJSON writes the moment; the zero one is null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// UnmarshalJSON takes any RFC 3339 time, and null.
func (t *Time) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*t = Time{}
		return nil
	}
	parsed, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(data))
	if err != nil {
		return fmt.Errorf("not an RFC 3339 time: %.64q", data)
	}
	*t = Time{parsed.UTC()}
	return nil
}

// Ms makes the value of a field whose name ends in Ms.
func Ms(d time.Duration) *int64 {
	ms := d.Milliseconds()
	return &ms
}
