package pluginhost_test

import (
	"bufio"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/plugin"
)

var (
	columns = regexp.MustCompile(` {2,}`)
	seconds = regexp.MustCompile(`(\d+) s`)
)

// TestDeadlinesAndIdempotenceAreThoseOfTheContract reads the tables in the comments of both versions.
func TestDeadlinesAndIdempotenceAreThoseOfTheContract(t *testing.T) {
	ours := map[string]pluginhost.MethodRow{}
	for _, m := range pluginhost.MethodTable() {
		ours[m.Name] = m
	}
	seen := map[string]bool{}
	for path, least := range map[string]int{"v1alpha1/base.proto": 16, "v1alpha2/doctor.proto": 4} {
		rows := contractRows(t, path)
		if len(rows) < least {
			t.Errorf("%s: %d rows read", path, len(rows))
		}
		for _, want := range rows {
			got, ok := ours[want.Name]
			seen[want.Name] = true
			if !ok || got != want {
				t.Errorf("%s: the contract says %+v, the code %+v", path, want, got)
			}
		}
	}
	for name := range ours {
		if !seen[name] {
			t.Errorf("not in the contract: %s", name)
		}
	}
}

func contractRows(t *testing.T, path string) []pluginhost.MethodRow {
	t.Helper()
	f, err := os.Open("../../../shared/proto/gatehost/plugin/" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []pluginhost.MethodRow
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cells := columns.Split(strings.TrimPrefix(lines.Text(), "//"), -1)
		if len(cells) != 6 || !strings.Contains(cells[1], ".") || cells[2] == "start_timeout" { // of the supervisor, as a whole
			continue
		}
		row := pluginhost.MethodRow{Name: cells[1], Idempotent: cells[3] == "yes"}
		if m := seconds.FindStringSubmatch(cells[2]); m != nil && !strings.HasPrefix(cells[2], "none") {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			row.Deadline = time.Duration(n) * time.Second
		}
		out = append(out, row)
	}
	return out
}

// TestVersionsAreThoseOfTheContract reads the table of kinds and versions in the comments of base.proto.
func TestVersionsAreThoseOfTheContract(t *testing.T) {
	text, err := os.ReadFile("../../../shared/proto/gatehost/plugin/v1alpha1/base.proto")
	if err != nil {
		t.Fatal(err)
	}
	got := map[plugin.Kind]pluginhost.Versions{}
	for _, row := range regexp.MustCompile(`(?m)^// {3}([a-z]+) +(\d+) +v1alpha`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseUint(row[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		kind, version := plugin.Kind(row[1]), uint32(n)
		if before, known := got[kind]; !known {
			got[kind] = pluginhost.Versions{Min: version, Max: version}
		} else if version == before.Max+1 {
			got[kind] = pluginhost.Versions{Min: before.Min, Max: version}
		}
	}
	if !maps.Equal(got, pluginhost.Speaks()) {
		t.Errorf("the contract says %v, the host speaks %v", got, pluginhost.Speaks())
	}
	for _, k := range plugin.Kinds() {
		if _, known := got[k]; !known {
			t.Errorf("nothing is said of %s", k)
		}
	}
}
