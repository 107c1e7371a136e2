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

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
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

// TestEveryMethodHasADeadline: a call whose method has no row fails.
func TestEveryMethodHasADeadline(t *testing.T) {
	ours := map[string]bool{}
	for _, m := range pluginhost.MethodTable() {
		ours[m.Name] = true
	}
	for _, service := range []grpc.ServiceDesc{
		pb.LauncherService_ServiceDesc, pb.UnloaderService_ServiceDesc, pb.DoctorService_ServiceDesc, pb.ClassifierService_ServiceDesc,
	} {
		var names []string
		for _, m := range service.Methods {
			names = append(names, m.MethodName)
		}
		for _, s := range service.Streams {
			names = append(names, s.StreamName)
		}
		for _, name := range names {
			if full := "/" + service.ServiceName + "/" + name; !ours[pluginhost.MethodName(full)] {
				t.Errorf("%s has no row", full)
			}
		}
	}
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
