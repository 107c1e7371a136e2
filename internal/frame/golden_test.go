package frame_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/internal/frame"
)

var update = flag.Bool("update", false, "write the golden files anew") //nolint:gochecknoglobals // a flag

// TestCapturedFramesReadAsBefore keeps the reading of every captured frame: go test ./internal/frame -update, and
// read the diff.
func TestCapturedFramesReadAsBefore(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "device-auth" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, c := range load(t, name) {
				if c.Dir != "note" {
					fmt.Fprintf(&b, "%s %s\n", c.Dir, reading(c.Frame))
				}
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || string(want) != b.String() {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, b.String(), want)
			}
		})
	}
}

// reading is a frame as we understand it, its secrets hidden.
func reading(data []byte) string {
	f, err := frame.Parse(data)
	if err != nil {
		return err.Error()
	}
	out := frame.Summary(data)
	if f.Seq != 0 {
		out += fmt.Sprintf(" seq=%d", f.Seq)
	}
	if f.Error != nil {
		out += fmt.Sprintf(" code=%s reason=%s retryable=%t after=%v message=%q", f.Error.Code, f.Error.Reason,
			f.Error.Retryable, f.Error.RetryAfter, f.Error.Message)
	}
	if text := string(frame.Redact(data, nil)); len(text) < 1200 {
		out += "\n  " + text
	}
	return out
}
