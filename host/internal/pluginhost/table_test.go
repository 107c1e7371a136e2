package pluginhost_test

import (
	"bufio"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
)

var (
	columns = regexp.MustCompile(` {2,}`)
	seconds = regexp.MustCompile(`(\d+) s`)
)

// TestDeadlinesAndIdempotenceAreThoseOfTheContract reads the table in the comments of base.proto.
func TestDeadlinesAndIdempotenceAreThoseOfTheContract(t *testing.T) {
	f, err := os.Open("../../../shared/proto/gatehost/plugin/v1alpha1/base.proto")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	ours := map[string]pluginhost.MethodRow{}
	for _, m := range pluginhost.MethodTable() {
		ours[m.Name] = m
	}
	rows := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cells := columns.Split(strings.TrimPrefix(lines.Text(), "//"), -1)
		if len(cells) != 6 || !strings.Contains(cells[1], ".") {
			continue
		}
		name, deadline, idempotent := cells[1], cells[2], cells[3]
		if deadline == "start_timeout" {
			continue // of the supervisor, as a whole
		}
		rows++
		want := time.Duration(0)
		if m := seconds.FindStringSubmatch(deadline); m != nil && !strings.HasPrefix(deadline, "none") {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			want = time.Duration(n) * time.Second
		}
		got, ok := ours[name]
		delete(ours, name)
		if !ok || got.Deadline != want || got.Idempotent != (idempotent == "yes") {
			t.Errorf("%s: the contract says %q, %q; the code %+v", name, deadline, idempotent, got)
		}
	}
	if rows < 16 || len(ours) != 0 {
		t.Errorf("%d rows read; not in the contract: %v", rows, ours)
	}
}
