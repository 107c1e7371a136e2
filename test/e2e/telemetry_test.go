package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/internal/testhost"
)

// scrape reads /metrics from the host's control socket.
func (s *site) scrape() (status int, text string) {
	s.t.Helper()
	sockets, _ := filepath.Glob(filepath.Join(s.dir, "run", "gatehost", "*", "host.sock"))
	if len(sockets) != 1 {
		s.t.Fatalf("control sockets: %v", sockets)
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", sockets[0])
	}}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatehost/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// sum adds up the series of a metric whose labels have all of the words.
func sum(text, name string, words ...string) float64 {
	total := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		all := true
		for _, w := range words {
			all = all && strings.Contains(rest, w)
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64); err == nil && all {
			total += n
		}
	}
	return total
}

// view is what status tells beyond gatewayStatus.
type view struct {
	Ready     bool `json:"ready"`
	Reconnect *struct {
		Attempts    int     `json:"attempts"`
		Successes   int     `json:"successes"`
		SuccessRate float64 `json:"successRate"`
		LastCause   string  `json:"lastCause"`
	} `json:"reconnect"`
	LastExit *struct {
		Signal string   `json:"signal"`
		Tail   []string `json:"tail"`
	} `json:"lastExit"`
	LaunchID  string `json:"launchId"`
	LastStart struct {
		SpawnToReadyMs *int64 `json:"spawnToReadyMs"`
		Trace          *struct {
			Count   int     `json:"count"`
			TotalMs float64 `json:"totalMs"`
			Slowest []struct {
				Name string  `json:"name"`
				Ms   float64 `json:"ms"`
			} `json:"slowest"`
		} `json:"trace"`
		Stages []struct {
			Name   string `json:"name"`
			Detail string `json:"detail"`
		} `json:"stages"`
	} `json:"lastStart"`
	Health struct {
		State   string   `json:"state"`
		Reasons []string `json:"reasons"`
		Core    struct {
			Transport string `json:"transport"`
			Router    string `json:"router"`
		} `json:"core"`
		Capabilities map[string]struct {
			State string `json:"state"`
		} `json:"capabilities"`
	} `json:"health"`
}

func (s *site) view() view {
	s.t.Helper()
	var v view
	if err := json.Unmarshal([]byte(s.must("status", "main", "--json")), &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// theTrace holds that the slowest stage of a start is found where an operator looks.
func theTrace(t *testing.T, s *site, v view) {
	t.Helper()
	if tr := v.LastStart.Trace; tr.TotalMs <= 0 || len(tr.Slowest) == 0 ||
		tr.Slowest[0].Ms < tr.Slowest[len(tr.Slowest)-1].Ms {
		t.Fatalf("trace = %+v", tr)
	}
	detailed := false
	for _, st := range v.LastStart.Stages {
		detailed = detailed || st.Name == "ready" && strings.Contains(st.Detail, v.LastStart.Trace.Slowest[0].Name)
	}
	if explained := s.must("explain", "main"); !detailed ||
		!strings.Contains(explained, v.LastStart.Trace.Slowest[0].Name) {
		t.Errorf("the slowest stage is not in the waterfall %+v\n%s", v.LastStart.Stages, explained)
	}
}

// theTelemetry walks a gateway through a start, a kill and a come-back, and reads what the host tells of it.
func theTelemetry(t *testing.T, gw gateway, traced int) {
	t.Helper()
	traces := gw.quirks().StartupTrace
	s := newSite(t, gw)
	s.run()
	first := s.awaitState("running")
	s.eventually("it is ready, and its start is traced", func() (bool, string) {
		v := s.view()
		text, _ := json.Marshal(v)
		return v.Ready && (!traces || v.LastStart.Trace != nil && v.LastStart.Trace.Count >= traced), string(text)
	})
	v := s.view()
	if v.Health.Core.Transport != "connected" || v.Health.Core.Router != "ready" ||
		v.Health.Capabilities["presence"].State != "healthy" {
		t.Errorf("health = %+v", v.Health)
	}
	if v.LastStart.SpawnToReadyMs == nil || *v.LastStart.SpawnToReadyMs <= 0 || (v.LastStart.Trace != nil) != traces {
		t.Errorf("last start = %+v, it traces: %t", v.LastStart, traces)
	}
	if traces {
		theTrace(t, s, v)
	}
	s.must("health", "main", "--probe")
	if h := s.view().Health; h.State != "healthy" || h.Capabilities["health"].State != "healthy" ||
		h.Capabilities["status"].State != "healthy" {
		t.Errorf("after it was asked: %+v", h)
	}
	s.must("rpc", "main", "status")

	if err := testhost.Signal(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("another process runs", func(g gatewayStatus) bool { return g.State == "running" && g.PID != first.PID })
	s.eventually("the new one is ready", func() (bool, string) { v := s.view(); return v.Ready, v.Health.State })
	v = s.view()
	if r := v.Reconnect; r == nil || r.Attempts < 1 || r.Successes < 1 || r.SuccessRate <= 0 || r.LastCause == "" {
		t.Errorf("reconnects = %+v", r)
	}
	if v.LastExit == nil || v.LastExit.Signal != "SIGKILL" || len(v.LastExit.Tail) == 0 {
		t.Errorf("last exit = %+v", v.LastExit)
	}
	if n := strings.Count(s.must("events", "main", "--json"), `"type":"gateway.exit"`); n != 1 {
		t.Errorf("the end was told %d times", n)
	}
	ended, started := "", ""
	for line := range strings.Lines(s.must("events", "main", "--json")) {
		if strings.Contains(line, `"type":"gateway.state"`) && strings.Contains(line, `"state":"running"`) {
			started = line
		}
		if strings.Contains(line, `"type":"gateway.reconnect"`) && strings.Contains(line, `"outcome":"success"`) {
			ended = line
		}
	}
	for _, want := range []string{`"attempt":`, `"delayMs":`, `"cause":"`, `"successRate":`, `"tookMs":`} {
		if !strings.Contains(ended, want) {
			t.Errorf("%s is not in the event of the attempt: %s", want, ended)
		}
	}
	// B351
	for _, want := range []string{`"start":{"totalMs":`, `"spawnToReadyMs":`, `"readyToConnectMs":`, `"trace":{"count":`} {
		if there := strings.Contains(started, want); there != (traces || !strings.Contains(want, "trace")) {
			t.Errorf("%s is not in the event that ends a start: %s", want, started)
		}
	}

	status, text := s.scrape()
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d\n%s", status, text)
	}
	for _, row := range []struct {
		name  string
		words []string
		atMin float64
	}{
		{"gatehost_gateway_state", []string{`state="running"`}, 1},
		{"gatehost_gateway_ready", nil, 1},
		{"gatehost_gateway_connected", nil, 1},
		{"gatehost_gateway_unclean_ends", nil, 1},
		{"gatehost_gateway_starts_total", []string{`outcome="running"`}, 2},
		{"gatehost_gateway_start_stage_duration_seconds_count", []string{`stage="ready"`}, 2},
		{"gatehost_gateway_spawn_to_ready_seconds_count", nil, 2},
		{"gatehost_gateway_restarts_total", []string{`outcome="executed"`}, 1},
		{"gatehost_gateway_reconnects_total", []string{`outcome="success"`}, 1},
		{"gatehost_gateway_reconnect_delay_seconds_count", nil, 1},
		{"gatehost_gateway_exits_total", []string{`signal="SIGKILL"`, `expected="false"`}, 1},
		{"gatehost_gateway_rpc_calls_total", []string{`method="status"`, `result="ok"`}, 2},
		{"gatehost_gateway_frames_total", []string{`direction="in"`}, 4},
		{"gatehost_gateway_output_lines_total", []string{`level="info"`}, 10},
		{"gatehost_plugin_state", []string{`state="running"`}, 2},
		{"gatehost_plugin_calls_total", []string{`method="Launcher.Launch"`, `result="ok"`}, 2},
		{"gatehost_plugin_resident_memory_bytes", nil, 1 << 20},
		{"gatehost_host_goroutines", nil, 5},
		{"gatehost_host_open_fds", nil, 5},
		{"gatehost_events_published_total", nil, 20},
	} {
		if got := sum(text, row.name, row.words...); got < row.atMin {
			t.Errorf("%s %v = %v, want at least %v", row.name, row.words, got, row.atMin)
		}
	}
	if strings.Contains(text, canary) || strings.Contains(text, s.dir) {
		t.Error("the scrape has a secret, or a path")
	}
	if lines := strings.Count(text, "\n"); lines > 2000 {
		t.Errorf("the scrape has %d lines", lines)
	}
	checkNoToken(t, s)
	s.must("stop", "main")
	if _, text := s.scrape(); sum(text, "gatehost_gateway_state", `state="stopped"`) != 1 ||
		sum(text, "gatehost_gateway_ready") != 0 {
		t.Error("after the stop the scrape says otherwise")
	}
	if n := strings.Count(s.must("events", "main", "--json"), `"type":"gateway.exit"`); n != 2 {
		t.Errorf("two ends were told %d times", n)
	}
	s.shutdown()
}

func TestTelemetryOfTheEmulator(t *testing.T) { theTelemetry(t, emulator(""), 4) }

func TestMetricsCanBeSwitchedOff(t *testing.T) {
	s := newSite(t, emulator(""))
	s.extra = "[metrics]\nenabled = false\n"
	s.run()
	s.awaitState("running")
	if status, text := s.scrape(); status != http.StatusNotFound || !strings.Contains(text, "[metrics]") {
		t.Errorf("/metrics: %d %s", status, text)
	}
	s.shutdown()
}

// TestGatewayThatAnswersNoCallRunsAndIsNotReady: readiness is no condition for running, and what is slow is told by
// name (B279, T104).
func TestGatewayThatAnswersNoCallRunsAndIsNotReady(t *testing.T) {
	s := newSite(t, emulator("no-answers"))
	s.run()
	s.awaitState("running")
	out, _, code := s.cli("health", "main", "--probe", "--json")
	if code != 1 || !strings.Contains(out, `"ready": false`) || !strings.Contains(out, `"error": "timeout"`) {
		t.Errorf("health: exit %d\n%s", code, out)
	}
	got := s.awaitState("running")
	if v := s.view(); v.Ready || v.Health.Capabilities["health"].State != "degraded" ||
		v.Health.Capabilities["status"].State != "degraded" {
		t.Errorf("state %s, ready %t, health %+v", got.State, v.Ready, v.Health)
	}
	s.shutdown()
}

// TestLaunchIsToldWithoutSecretsAndHooksWithInputsRunOnce: what a log tells of a launch (B082, B089), and the cache of
// hooks (B330).
func TestLaunchIsToldWithoutSecretsAndHooksWithInputsRunOnce(t *testing.T) {
	s := newSite(t, emulator(""))
	trace, input := filepath.Join(s.dir, "trace"), filepath.Join(s.dir, "input")
	s.writeFile("input", "one")
	launch := `proxy = "http://user:` + canary + `-of-the-proxy@127.0.0.1:9"
no_proxy = ["localhost", "127.0.0.1"]
skip_channels = true
hooks = [{command = ["sh", "-c", "echo ran >> ` + trace + `"], inputs = ["input"]}]
`
	s.writeConfig(strings.Replace(s.config(), "[gateways.main.launch.env]\n", launch+"[gateways.main.launch.env]\n", 1))
	s.run()
	got := s.awaitState("running")
	told := regexp.MustCompile(`launching the gateway: .*`).FindString(s.stderr.String())
	for _, want := range []string{
		"port=" + itoa(s.port), "program=", "--port " + itoa(s.port), "channels=skipped", "http://redacted@127.0.0.1:9",
		"secrets=",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %q", want, told)
		}
	}
	env, err := os.ReadFile(filepath.Join("/proc", itoa(got.PID), "environ"))
	if err != nil || !strings.Contains(string(env), "https_proxy=http://user:"+canary) ||
		!strings.Contains(string(env), "NO_PROXY=localhost,127.0.0.1\x00") {
		t.Errorf("the gateway has not got its proxies: %v", err)
	}
	ran := func(want int) {
		t.Helper()
		data, _ := os.ReadFile(trace)
		if got := strings.Count(string(data), "ran"); got != want {
			t.Errorf("the hook ran %d times, want %d", got, want)
		}
	}
	s.must("restart", "main")
	ran(1)
	s.writeFile("input", "two")
	s.must("restart", "main")
	ran(2)
	if _, err := os.Stat(input); err != nil {
		t.Fatal(err)
	}
	checkNoToken(t, s)
	s.shutdown()
}

// TestClientWithAWrongTokenIsShown: lines about it may be hidden, that it happens may not (B295).
func TestClientWithAWrongTokenIsShown(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	s.awaitState("running")
	s.connectWithAnotherToken()
	s.await("the condition token-mismatch", func(g gatewayStatus) bool {
		return g.State == "running" && slices.ContainsFunc(g.Conditions,
			func(c condition) bool { return c.Code == "token-mismatch" })
	})
	if _, text := s.scrape(); sum(text, "gatehost_gateway_condition", `code="token-mismatch"`) != 1 {
		t.Error("the condition is not among the metrics")
	}
	s.shutdown()
}

// TestLastExitKeepsTheLinesOfTheProcessThatEnded: the next process writes, too (B297).
func TestLastExitKeepsTheLinesOfTheProcessThatEnded(t *testing.T) {
	s := newSite(t, emulator("count-lines=20"))
	s.run()
	before := s.awaitState("running")
	if err := testhost.Signal(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := s.await("another process runs",
		func(g gatewayStatus) bool { return g.State == "running" && g.PID != before.PID })
	s.eventually("the new one has written more than a tail", func() (bool, string) {
		out := s.must("logs", "main", "-n", "0", "--raw")
		return strings.Count(out, "of "+after.LaunchID) > 40, ""
	})
	x := s.view().LastExit
	if x == nil || len(x.Tail) == 0 {
		t.Fatalf("last exit = %+v", x)
	}
	tail := strings.Join(x.Tail, "\n")
	if !strings.Contains(tail, "of "+before.LaunchID) || strings.Contains(tail, after.LaunchID) {
		t.Errorf("the tail is of another process than %s:\n%s", before.LaunchID, tail)
	}
	s.shutdown()
}
