package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// flooded is the counts of a gateway's output.
type flooded struct {
	Read         int `json:"read"`
	Classified   int `json:"classified"`
	Unclassified int `json:"unclassified"`
	Stored       int `json:"stored"`
	Dropped      int `json:"dropped"`
	LostLines    int `json:"lostLines"`
	Gaps         int `json:"gaps"`
}

func (s *site) flooded() (f flooded, ok bool) {
	s.t.Helper()
	out, _, code := s.cli("status", "--json")
	var st struct {
		Gateways []struct {
			Output *flooded `json:"output"`
		} `json:"gateways"`
	}
	if code != 0 || json.Unmarshal([]byte(out), &st) != nil || len(st.Gateways) != 1 || st.Gateways[0].Output == nil {
		return f, false
	}
	return *st.Gateways[0].Output, true
}

// TestFloodIsTakenAndCounted: a million lines of 100 bytes as fast as the gateway can write. It is not held up, the
// host stays small, and every line is accounted for.
func TestFloodIsTakenAndCounted(t *testing.T) {
	const lines, most = 1_000_000, 300 << 10 // kB
	s := newSite(t, emulator("flood-stderr="+strconv.Itoa(lines)))
	s.extra = "[log]\nlevel = \"error\"\n" // the flood is of warnings, and the terminal is this test's memory
	s.run()
	g := s.awaitState("running")
	host := s.host.Process.Pid
	began, rss := time.Now(), 0
	s.must("rpc", "main", "health") // in the middle of it
	count := filepath.Join(s.dir, "oc", "tmp", "emulator-count-"+g.LaunchID)
	s.eventually("the gateway has written all of it", func() (bool, string) {
		rss = max(rss, rssOf(t, host))
		data, err := os.ReadFile(count)
		return err == nil && len(data) > 0, fmt.Sprint(err)
	})
	wrote := time.Since(began)
	s.must("rpc", "main", "health")
	var got flooded
	s.eventually("the counts add up to what the gateway wrote", func() (bool, string) {
		rss = max(rss, rssOf(t, host))
		data, _ := os.ReadFile(count)
		written, _ := strconv.Atoi(string(data))
		f, ok := s.flooded()
		got = f
		adds := f.Read+f.LostLines == written && f.Classified+f.Unclassified == f.Read && f.Stored+f.Dropped == f.Read
		return ok && written > lines && adds, fmt.Sprintf("written %d, counted %+v", written, f)
	})
	t.Logf("written in about %v, counted after %v; the host took at most %d MB: %+v", wrote.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond), rss>>10, got)
	if rss > most {
		t.Errorf("the host took %d MB, want at most %d", rss>>10, most>>10)
	}
	if (got.LostLines > 0) != (got.Gaps > 0) {
		t.Errorf("lost lines and gaps do not agree: %+v", got)
	}
	out := s.must("logs", "main", "--raw", "-n", "1000")
	i := strings.LastIndex(out, "flood: ended after")
	if i < 0 {
		t.Fatalf("the end of the flood is not among the last lines")
	}
	ended, _, _ := strings.Cut(out[i:], "\n")
	t.Log(ended)
	var n, ms, slowest int
	_, err := fmt.Sscanf(ended, "flood: ended after %d lines in %d ms, the slowest took %d ms", &n, &ms, &slowest)
	if err != nil || n != lines {
		t.Fatalf("%q: %v", ended, err)
	}
	if slowest > 10_000 { // a reader that stands still: a pipe write to a live one takes far less
		t.Errorf("a write of the gateway took %d ms", slowest)
	}
	s.must("stop", "main")
	s.shutdown()
}

// rssOf is the memory of a process in kB.
func rssOf(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
