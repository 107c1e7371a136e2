package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/metrics"
	"github.com/gatehost/gatehost/host/internal/observe"
)

func scrape(t *testing.T, r *metrics.Recorder) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("status %d, content type %q\n%s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l+"\n") {
			name, _, _ := strings.Cut(l, "{")
			var near []string
			for have := range strings.Lines(text) {
				if strings.HasPrefix(have, strings.Fields(name)[0]) {
					near = append(near, have)
				}
			}
			t.Errorf("there is no\n%s\nbut\n%s", l, strings.Join(near, ""))
		}
	}
}

func everything() metrics.Snapshot {
	return metrics.Snapshot{
		Version: "1.2.3", EventsPublished: 7, EventsUnstored: 2, JournalFaulty: true, LogDropped: 12,
		Gateways: []metrics.Gateway{{
			Name: "main", State: "running", Ready: true, Connected: true,
			Conditions: []string{"drift", "plugin-down", "plugin-down"}, Uptime: 90 * time.Second,
			UncleanEnds: 2, FramesIn: 10, FramesOut: 4, Garbage: 3, LateAnswers: 1, MissedPongs: 5,
			Lines:     []metrics.Lines{{Stream: "stderr", Level: "warn", Count: 11}},
			DroppedBy: map[string]uint64{"token-mismatch": 6}, Repeated: 8, Truncated: 1, LostLines: 9,
			LostBytes: 900, Stored: 20, Unstored: 1,
		}},
		Plugins: []metrics.Plugin{{Name: "doctor", State: "backing-off", Restarts: 3, RSS: 4096}},
	}
}

func TestSnapshotIsShownAtEachScrape(t *testing.T) {
	now := everything()
	r := metrics.New(func() metrics.Snapshot { return now })
	want(t, scrape(t, r),
		`gatehost_build_info{version="1.2.3"} 1`, `gatehost_events_published_total 7`,
		`gatehost_events_unstored_total 2`, `gatehost_journal_faulty 1`,
		`gatehost_host_log_dropped_lines_total 12`,
		`gatehost_gateway_state{gateway="main",state="running"} 1`,
		`gatehost_gateway_state{gateway="main",state="error"} 0`,
		`gatehost_gateway_ready{gateway="main"} 1`, `gatehost_gateway_connected{gateway="main"} 1`,
		`gatehost_gateway_condition{code="drift",gateway="main"} 1`,
		`gatehost_gateway_condition{code="plugin-down",gateway="main"} 1`,
		`gatehost_gateway_uptime_seconds{gateway="main"} 90`, `gatehost_gateway_unclean_ends{gateway="main"} 2`,
		`gatehost_gateway_frames_total{direction="in",gateway="main"} 10`,
		`gatehost_gateway_frames_total{direction="out",gateway="main"} 4`,
		`gatehost_gateway_garbage_frames_total{gateway="main"} 3`,
		`gatehost_gateway_late_answers_total{gateway="main"} 1`,
		`gatehost_gateway_missed_pongs_total{gateway="main"} 5`,
		`gatehost_gateway_output_lines_total{gateway="main",level="warn",stream="stderr"} 11`,
		`gatehost_gateway_output_dropped_lines_total{gateway="main",rule="token-mismatch"} 6`,
		`gatehost_gateway_output_repeated_lines_total{gateway="main"} 8`,
		`gatehost_gateway_output_truncated_lines_total{gateway="main"} 1`,
		`gatehost_gateway_output_lost_lines_total{gateway="main"} 9`,
		`gatehost_gateway_output_lost_bytes_total{gateway="main"} 900`,
		`gatehost_gateway_output_journal_lines_total{gateway="main",outcome="stored"} 20`,
		`gatehost_plugin_state{plugin="doctor",state="backing-off"} 1`,
		`gatehost_plugin_restarts_total{plugin="doctor"} 3`,
		`gatehost_plugin_resident_memory_bytes{plugin="doctor"} 4096`,
	)
	now.Gateways[0].State, now.Gateways[0].Ready = "error", false
	want(t, scrape(t, r), `gatehost_gateway_state{gateway="main",state="error"} 1`,
		`gatehost_gateway_state{gateway="main",state="running"} 0`, `gatehost_gateway_ready{gateway="main"} 0`)
}

// tell tells each kind of fact once, or a little more.
func tell(r *metrics.Recorder) {
	code := 78
	r.StartEnded("main",
		observe.Waterfall{
			Outcome: "running", Total: 6 * time.Second,
			Stages: []observe.Stage{{Name: "ready", Took: 4 * time.Second}},
		}, 5*time.Second)
	r.StartEnded("main", observe.Waterfall{Outcome: "error", Total: time.Second}, 0)
	r.Restart("main", "exited", metrics.Executed)
	r.Restart("main", "command", metrics.Suppressed)
	r.Command("main", "restart", "deferred")
	r.Reconnect("main", "process", "silent", "success")
	r.ReconnectDelay("main", 2*time.Second)
	r.Call("main", "health", metrics.OK, 30*time.Millisecond)
	r.Call("main", "health", metrics.Timeout, 30*time.Second)
	r.SessionLost("main", 1012)
	r.Exit("main", &code, "", false)
	r.Exit("main", nil, "SIGKILL", true)
	r.Repair("main", "repaired")
	r.PluginCall("utility", "Launcher.Launch", metrics.OK, 20*time.Millisecond, false)
	r.PluginCall("utility", "Launcher.Output", metrics.Disconnected, time.Hour, true)
	r.JournalFault()
}

func TestFactsAreCounted(t *testing.T) {
	r := metrics.New(func() metrics.Snapshot { return metrics.Snapshot{} })
	tell(r)
	text := scrape(t, r)
	want(t, text,
		`gatehost_gateway_starts_total{gateway="main",outcome="running"} 1`,
		`gatehost_gateway_starts_total{gateway="main",outcome="error"} 1`,
		`gatehost_gateway_start_duration_seconds_bucket{gateway="main",outcome="running",le="5"} 0`,
		`gatehost_gateway_start_duration_seconds_bucket{gateway="main",outcome="running",le="7.5"} 1`,
		`gatehost_gateway_start_stage_duration_seconds_sum{gateway="main",stage="ready"} 4`,
		`gatehost_gateway_spawn_to_ready_seconds_sum{gateway="main"} 5`,
		`gatehost_gateway_restarts_total{cause="exited",gateway="main",outcome="executed"} 1`,
		`gatehost_gateway_restarts_total{cause="command",gateway="main",outcome="suppressed"} 1`,
		`gatehost_gateway_commands_total{action="restart",gateway="main",outcome="deferred"} 1`,
		`gatehost_gateway_reconnects_total{cause="silent",gateway="main",kind="process",outcome="success"} 1`,
		`gatehost_gateway_reconnect_delay_seconds_sum{gateway="main"} 2`,
		`gatehost_gateway_rpc_calls_total{gateway="main",method="health",result="timeout"} 1`,
		`gatehost_gateway_rpc_duration_seconds_count{gateway="main"} 2`,
		`gatehost_gateway_sessions_lost_total{code="1012",gateway="main"} 1`,
		`gatehost_gateway_exits_total{code="78",expected="false",gateway="main",signal="none"} 1`,
		`gatehost_gateway_exits_total{code="none",expected="true",gateway="main",signal="SIGKILL"} 1`,
		`gatehost_gateway_repairs_total{gateway="main",outcome="repaired"} 1`,
		`gatehost_plugin_calls_total{method="Launcher.Output",plugin="utility",result="disconnected"} 1`,
		`gatehost_journal_faults_total 1`,
	)
	if strings.Contains(text, `gatehost_plugin_call_duration_seconds_count{method="Launcher.Output"`) {
		t.Error("a stream counts with its duration")
	}
}

// TestLabelsAreBounded: whatever comes from outside, the number of series stays small, and no text becomes a label.
func TestLabelsAreBounded(t *testing.T) {
	dropped := map[string]uint64{"a line with words": 1, strings.Repeat("x", 80): 2}
	for i := range 1000 {
		dropped[fmt.Sprintf("rule-%d", i)] = 1
	}
	r := metrics.New(func() metrics.Snapshot {
		return metrics.Snapshot{
			Gateways: []metrics.Gateway{{
				Name: "main", DroppedBy: dropped,
				Conditions: []string{"some text", "more\ntext"},
			}},
		}
	})
	for i := range 1000 {
		code := i - 100
		r.Restart("main", fmt.Sprintf("cause-%d", i), metrics.Executed)
		r.Call("main", fmt.Sprintf("secret-method-%d", i), metrics.OK, 0)
		r.SessionLost("main", i*10)
		r.Exit("main", &code, "", false)
		r.Exit("main", nil, fmt.Sprintf("SIG%d", i), false)
		r.StartEnded("main",
			observe.Waterfall{Outcome: "running", Stages: []observe.Stage{{Name: fmt.Sprintf("stage %d", i)}}}, 0)
	}
	first := scrape(t, r)
	for _, bad := range []string{"some text", "more", "words", "xxxx", "secret-method", "SIG9", "stage 1"} {
		if strings.Contains(first, bad) {
			t.Errorf("%q is in the scrape", bad)
		}
	}
	series := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^(gatehost_[a-z_]+)`).FindAllString(first, -1) {
		series[m]++
	}
	for name, n := range series {
		if n > 300 {
			t.Errorf("%s has %d series", name, n)
		}
	}
	total := 0
	for _, m := range regexp.MustCompile(
		`(?m)^gatehost_gateway_output_dropped_lines_total.* (\d+)$`).FindAllStringSubmatch(first, -1) {
		n := 0
		_, _ = fmt.Sscan(m[1], &n)
		total += n
	}
	if total != 1003 {
		t.Errorf("dropped lines in all = %d, want 1003: what is beyond the bounds counts as other", total)
	}
	if again := scrape(t, r); strings.Count(again, "\n") != strings.Count(first, "\n") {
		t.Error("the second scrape has other series than the first")
	}
}

func TestNamesAndHelpFollowTheConventions(t *testing.T) {
	r := metrics.New(func() metrics.Snapshot {
		return metrics.Snapshot{
			Gateways: []metrics.Gateway{{Name: "main"}},
			Plugins:  []metrics.Plugin{{Name: "p", RSS: 1}},
		}
	})
	r.Restart("main", "x", metrics.Executed)
	types := regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	text := scrape(t, r)
	for _, m := range types.FindAllStringSubmatch(text, -1) {
		name, kind := m[1], m[2]
		switch {
		case !strings.HasPrefix(name, "gatehost_"):
			t.Errorf("%s has not our prefix", name)
		case kind == "counter" && !strings.HasSuffix(name, "_total"), kind != "counter" &&
			strings.HasSuffix(name, "_total"):
			t.Errorf("%s is a %s", name, kind)
		case kind == "histogram" && !strings.HasSuffix(name, "_seconds"):
			t.Errorf("%s has no unit", name)
		case !strings.Contains(text, "# HELP "+name+" "):
			t.Errorf("%s has no help", name)
		}
	}
}

func TestDocumentHasEveryMetricAndNoOther(t *testing.T) {
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (gatehost_[a-z_]+) \| (\w+) \|`).FindAllStringSubmatch(string(text),
		-1) {
		written[m[1]] = m[2]
	}
	r := metrics.New(everything)
	tell(r)
	shown := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(scrape(t, r), -1) {
		shown[m[1]] = m[2]
	}
	for name, kind := range shown {
		if written[name] != kind {
			t.Errorf("%s is a %s, and docs/metrics.md says %q", name, kind, written[name])
		}
	}
	for name := range written {
		if shown[name] == "" {
			t.Errorf("docs/metrics.md has %s, which does not exist", name)
		}
	}
}
