package observe

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/stories.golden")

// TestFactsOfStoriesComeInOrder compares the facts of each story, what they say and their order, with a golden file:
// the order is that of the events that readers see.
func TestFactsOfStoriesComeInOrder(t *testing.T) {
	var out strings.Builder
	stories(func(name string, tell func(m *machine)) {
		fmt.Fprintf(&out, "== %s\n", name)
		var r Record
		r.settings.ReconnectAttempts = 2
		var m *machine
		m = newMachine(t, func(c Change) {
			next, facts := r.Step(c)
			r = next
			for _, f := range facts {
				data, err := json.Marshal(f)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%s %s\n", strings.TrimPrefix(fmt.Sprintf("%T", f), "observe."), data)
			}
			m.now = m.now.Add(100 * time.Millisecond)
		})
		tell(m)
	})
	file := filepath.Join("testdata", "stories.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil { //nolint:gosec // test data
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil { //nolint:gosec // test data
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		got := filepath.Join(t.ArtifactDir(), "stories.golden")
		_ = os.WriteFile(got, []byte(out.String()), 0o600)
		t.Errorf("the facts have changed: diff %s %s; rewrite with -update when that is meant", file, got)
	}
}
