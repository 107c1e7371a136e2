package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// raw makes a request by hand.
func raw(t *testing.T, s *site, method, path, body string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(timeout(t), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(data)
}

func wantProblem(t *testing.T, err error, status int, code string) *control.Problem {
	t.Helper()
	p, ok := errors.AsType[*control.Problem](err)
	if !ok || p.Status != status || p.Code != code {
		t.Fatalf("error = %#v, want status %d and code %s", err, status, code)
	}
	return p
}

func TestStatusIsWhatTheHostSays(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	st, err := s.client.Status(timeout(t))
	if err != nil || st.Host.PID != 42 || len(st.Gateways) != 1 || st.Gateways[0].State != "running" {
		t.Errorf("%+v, %v", st, err)
	}
	res, body := raw(t, s, "GET", "/v1/status", "")
	if res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", res.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		`"conditions":[]`, `"error":null`, `"lastExit":null`, `"session":null`,
		`"drift":[]`, `"plugins":[]`, `"startedAt":null`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	for _, unknown := range []string{"pid\":0", "uptimeMs", "connectedAt", "version\":\"\""} {
		if strings.Contains(body, unknown) {
			t.Errorf("%s in %s", unknown, body)
		}
	}
	if h, err := s.client.Health(timeout(t)); err != nil || !h.OK || h.Version != "1.2.3" || h.PID != os.Getpid() {
		t.Errorf("health = %+v, %v", h, err)
	}
	if g, err := s.client.Gateway(timeout(t), "main"); err != nil || g.Name != "main" {
		t.Errorf("gateway = %+v, %v", g, err)
	}
}

func TestWhatIsNotThereIsAProblem(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Plugins = &plugins{} })
	_, err := s.client.Gateway(timeout(t), "mian")
	if p := wantProblem(t, err, 404, control.CodeNoSuchGateway); !strings.Contains(p.Hint, "main") {
		t.Errorf("hint = %q", p.Hint)
	}
	_, err = s.client.Start(timeout(t), "x/../y", control.Options{})
	wantProblem(t, err, 404, control.CodeNoSuchGateway)
	_, err = s.client.Plugin(timeout(t), "missing")
	wantProblem(t, err, 404, control.CodeNoSuchPlugin)
	for _, row := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/nowhere", "", 404, "not_found"},
		{"DELETE", "/v1/status", "", 405, "method_not_allowed"},
		{"GET", "/v1/gateways/main/start", "", 405, "method_not_allowed"},
		{"POST", "/v1/gateways/main/start", "{", 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", "[]", 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", "{} {}", 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", `{"waitms": -1}`, 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", `{"unknown": 1}`, 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", `{"now": true}`, 400, "bad_request"},
		{"POST", "/v1/gateways/main/restart", `{"external": true}`, 400, "bad_request"},
		{"POST", "/v1/gateways/main/start", `"` + strings.Repeat("x", 2<<20) + `"`, 413, "too_large"},
		{"POST", "/v1/gateways/main/rpc", "", 400, "bad_request"},
		{"POST", "/v1/gateways/main/doctor", `{"action":"pray"}`, 400, "bad_request"},
		{"GET", "/v1/events?since=yesterday", "", 400, "bad_request"},
		{"GET", "/v1/events?gateway=missing", "", 404, "no_such_gateway"},
	} {
		res, body := raw(t, s, row.method, row.path, row.body)
		var p control.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || res.StatusCode != row.status ||
			p.Status != row.status || p.Code != row.code ||
			res.Header.Get("Content-Type") != "application/problem+json" || p.Title == "" {
			t.Errorf("%s %s %.40s: %d %s", row.method, row.path, row.body, res.StatusCode, body)
		}
	}
}

func TestCommandIsAnsweredWithItsOutcome(t *testing.T) {
	g := &gateways{}
	s := serve(t, g, nil)
	out, err := s.client.Stop(timeout(t), "main", control.Options{Reason: "tea", Now: true, Wait: time.Minute})
	if err != nil || out.Outcome != control.OutcomeApplied || out.Gateway == nil || out.Gateway.Name != "main" {
		t.Fatalf("%+v, %v", out, err)
	}
	if cmd := g.commands[0]; cmd.Action != control.ActionStop || cmd.Reason != "tea" || !cmd.Now ||
		*cmd.WaitMs != 60_000 {
		t.Errorf("command = %+v", cmd)
	}
	if _, body := raw(t, s, "POST", "/v1/gateways/main/restart", ""); !strings.Contains(body, `"outcome":"applied"`) {
		t.Errorf("without a body: %s", body)
	}
}

// TestDelayOfARequestArrives is B240.
func TestDelayOfARequestArrives(t *testing.T) {
	g := &gateways{}
	s := serve(t, g, nil)
	if _, err := s.client.Restart(timeout(t), "main", control.Options{Delay: 8 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Reload(timeout(t), "main", control.Options{Debounce: true}); err != nil {
		t.Fatal(err)
	}
	if c := g.commands; c[0].DelayMs != 8000 || c[0].Debounce || c[1].DelayMs != 0 || !c[1].Debounce {
		t.Errorf("commands = %+v", c)
	}
}

func TestCommandOutlivesItsClient(t *testing.T) {
	g := &gateways{DoBlocks: make(chan struct{})}
	s := serve(t, g, nil)
	ctx, cancel := context.WithCancel(timeout(t))
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Start(ctx, "main", control.Options{})
		done <- err
	}()
	eventually(t, "the command", func() bool { n, _ := g.counts(); return n == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the client's error = %v", err)
	}
	close(g.DoBlocks)
	eventually(t, "the end of the command", func() bool { _, n := g.counts(); return n == 1 })
}

func TestWaitIsBoundedByWhatTheClientSays(t *testing.T) {
	g := &gateways{DoBlocks: make(chan struct{})}
	s := serve(t, g, nil)
	_, err := s.client.Start(timeout(t), "main", control.Options{Wait: 10 * time.Millisecond})
	wantProblem(t, err, 504, control.CodeTimedOut)
	out, err := s.client.Start(timeout(t), "main", control.Options{NoWait: true})
	if err != nil || out.Outcome != control.OutcomeAccepted {
		t.Errorf("without waiting: %+v, %v", out, err)
	}
	close(g.DoBlocks)
}

func TestCommandThatIsNotWaitedForCanStillBeRefused(t *testing.T) {
	g := &gateways{DoErr: fault.New(fault.Unsupported, "cannot reload").WithHint("restart it")}
	s := serve(t, g, func(o *httpapi.Options) { o.Refusal = patience })
	_, err := s.client.Reload(timeout(t), "main", control.Options{NoWait: true})
	if p := wantProblem(t, err, 501, control.CodeNotImplemented); p.Hint != "restart it" {
		t.Errorf("hint = %q", p.Hint)
	}
}

func TestWaitWithoutABoundLastsAsLongAsThereIsProgress(t *testing.T) {
	g := &gateways{DoBlocks: make(chan struct{})}
	s := serve(t, g, func(o *httpapi.Options) { o.Idle = 2 * time.Second })
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Start(timeout(t), "main", control.Options{})
		done <- err
	}()
	began := time.Now()
	for time.Since(began) < 3*time.Second { // longer than Idle
		s.hub.Publish(events.Event{Type: events.GatewayState, Gateway: "main"})
		select {
		case err := <-done:
			t.Fatalf("given up in spite of progress: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	select { // nothing happens any more
	case err := <-done:
		wantProblem(t, err, 504, control.CodeTimedOut)
	case <-time.After(patience):
		t.Error("it waits without progress")
	}
	close(g.DoBlocks)
}

func TestHostThatStopsTellsRequestsInFlight(t *testing.T) {
	g := &gateways{DoBlocks: make(chan struct{})}
	s := serve(t, g, nil)
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Start(timeout(t), "main", control.Options{})
		done <- err
	}()
	eventually(t, "the command", func() bool { n, _ := g.counts(); return n == 1 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if p := wantProblem(t, <-done, 503, control.CodeHostRestarting); !p.Retryable {
		t.Error("not retryable")
	}
	if _, err := os.Lstat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := s.client.Status(timeout(t)); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestRPCGivesPayloadRefusalOrProblem(t *testing.T) {
	g := &gateways{}
	s := serve(t, g, nil)
	call := func(timeoutMs int64) (json.RawMessage, error) {
		return s.client.RPC(timeout(t), "main",
			control.RPCRequest{Method: "m", Params: json.RawMessage(`{"a":1}`), TimeoutMs: timeoutMs})
	}
	g.RPCFunc = func(_ context.Context, req control.RPCRequest) (json.RawMessage, error) { return req.Params, nil }
	if got, err := call(0); err != nil || string(got) != `{"a":1}` {
		t.Errorf("%s, %v", got, err)
	}
	g.RPCFunc = func(context.Context, control.RPCRequest) (json.RawMessage, error) { return nil, nil }
	if got, err := call(0); err != nil || string(got) != `null` {
		t.Errorf("%s, %v", got, err)
	}
	g.RPCFunc = func(context.Context, control.RPCRequest) (json.RawMessage, error) {
		return nil, &control.RPCError{
			Code: "INVALID_REQUEST", Message: "no", Details: json.RawMessage(`{"x":2}`),
			Retryable: true,
		}
	}
	_, err := call(0)
	if refused, ok := errors.AsType[*control.RPCError](err); !ok || refused.Code != "INVALID_REQUEST" ||
		string(refused.Details) != `{"x":2}` || !refused.Retryable {
		t.Errorf("refusal = %#v", err)
	}
	g.RPCFunc = func(context.Context, control.RPCRequest) (json.RawMessage, error) {
		return nil, fault.New(fault.Unavailable, "Gateway not connected")
	}
	_, err = call(0)
	wantProblem(t, err, 503, "unavailable")
	g.RPCFunc = func(ctx context.Context, _ control.RPCRequest) (json.RawMessage, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	_, err = call(20)
	wantProblem(t, err, 504, control.CodeTimedOut)
}

func TestPanicsAreProblemsAndTheServerLives(t *testing.T) {
	g := &gateways{
		DoPanics: true,
		RPCFunc:  func(context.Context, control.RPCRequest) (json.RawMessage, error) { panic("as told") },
	}
	s := serve(t, g, nil)
	_, err := s.client.Start(timeout(t), "main", control.Options{})
	wantProblem(t, err, 500, control.CodeInternal)
	_, err = s.client.RPC(timeout(t), "main", control.RPCRequest{Method: "m"})
	wantProblem(t, err, 500, control.CodeInternal)
	if _, err := s.client.Status(timeout(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestPluginsAreRefused(t *testing.T) {
	var pid, pgid int
	s := serve(t, &gateways{}, func(o *httpapi.Options) {
		o.IsPlugin = func(p, g int) bool { pid, pgid = p, g; return true }
	})
	_, err := s.client.Status(timeout(t))
	wantProblem(t, err, 403, control.CodeForbidden)
	if pid != os.Getpid() || pgid == 0 {
		t.Errorf("asked about pid %d, group %d; ours is %d", pid, pgid, os.Getpid())
	}
}

func TestPluginsAreListedAndRestarted(t *testing.T) {
	p := &plugins{}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Plugins = p })
	if l, err := s.client.Plugins(timeout(t)); err != nil || len(l) != 1 || l[0].Name != "doctor" {
		t.Errorf("%+v, %v", l, err)
	}
	if got, err := s.client.RestartPlugin(timeout(t), "doctor"); err != nil || got.Restarts != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSocketIsClosedToOthers(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	for path, want := range map[string]os.FileMode{s.socket: 0o600, filepath.Dir(s.socket): 0o700} {
		if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(s.socket))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the socket: %v, %v", entries, err)
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if _, err := httpapi.Listen(filepath.Join(dir, "host.sock")); !errors.Is(err, fault.ErrPermissionDenied) ||
		fault.HintOf(err) == "" {
		t.Errorf("in a directory for everybody: %v", err)
	}
}

func TestSocketIsReplacedOnlyWhenNoHostAnswers(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	if _, err := httpapi.Listen(s.socket); !errors.Is(err, fault.ErrConflict) ||
		!strings.Contains(err.Error(), "another host answers on "+s.socket) {
		t.Errorf("on a live socket: %v", err)
	}
	if _, err := s.client.Status(timeout(t)); err != nil {
		t.Errorf("the live one was harmed: %v", err)
	}
	dir := shortDir(t)
	stale := filepath.Join(dir, "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	l, err := httpapi.Listen(stale)
	if err != nil {
		t.Fatalf("on a stale socket: %v", err)
	}
	stop := start(t, httpapi.New(httpapi.Options{
		Gateways: &gateways{}, Events: events.NewHub(events.Options{}), Log: hclog.NewNullLogger(), IsPlugin: noPlugin,
	}), l)
	c := control.New(stale)
	defer c.Close()
	if _, err := c.Health(timeout(t)); err != nil {
		t.Errorf("on the replaced socket: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := httpapi.Listen(file); err == nil {
		t.Error("a file was taken for a stale socket")
	}
	if data, _ := os.ReadFile(file); !bytes.Equal(data, []byte("precious")) {
		t.Error("the file was harmed")
	}
	if _, err := httpapi.Listen(filepath.Join(dir, strings.Repeat("x", 200))); err == nil ||
		!strings.Contains(err.Error(), "bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}

func TestClosedListenerLeavesASuccessorAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := httpapi.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := httpapi.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket: %v", err)
	}
}

type healthy struct{ probed []bool }

func (h *healthy) Health(_ context.Context, _ string, probe bool) (control.HealthCheck, error) {
	h.probed = append(h.probed, probe)
	return control.HealthCheck{OK: true, Health: &control.GatewayHealth{State: control.HealthDegraded}}, nil
}

func TestMetricsAreServedOnlyWhenTheyAreSwitchedOn(t *testing.T) {
	off := serve(t, &gateways{}, nil)
	res, body := raw(t, off, "GET", "/metrics", "")
	if res.StatusCode != http.StatusNotFound || !strings.Contains(body, "[metrics]") {
		t.Errorf("switched off: %d %s", res.StatusCode, body)
	}
	on := serve(t, &gateways{}, func(o *httpapi.Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, "gatehost_x 1\n")
		})
	})
	if res, body := raw(t, on, "GET", "/metrics", ""); res.StatusCode != http.StatusOK || body != "gatehost_x 1\n" {
		t.Errorf("switched on: %d %q", res.StatusCode, body)
	}
	if res, _ := raw(t, on, "POST", "/metrics", ""); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

func TestHealthIsAskedForOnDemand(t *testing.T) {
	h := &healthy{}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Health = h })
	for _, probe := range []bool{false, true} {
		got, err := s.client.GatewayHealth(timeout(t), "main", probe)
		if err != nil || !got.OK || got.Health.State != control.HealthDegraded || h.probed[len(h.probed)-1] != probe {
			t.Errorf("probe %t: %+v, %v, asked with %v", probe, got, err, h.probed)
		}
	}
	_, err := s.client.GatewayHealth(timeout(t), "missing", false)
	wantProblem(t, err, http.StatusNotFound, control.CodeNoSuchGateway)
	if res, _ := raw(t, s, "GET", "/v1/gateways/main/health?probe=maybe", ""); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a probe that is neither: %d", res.StatusCode)
	}
}

// TestBodyThatDoesNotComeEndsTheRequest: a client that sends half a body, or none, holds no connection of the host.
func TestBodyThatDoesNotComeEndsTheRequest(t *testing.T) {
	const bound = 100 * time.Millisecond
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Body = bound })
	for name, request := range map[string]string{
		"half a body":             "POST /v1/gateways/main/stop HTTP/1.1\r\nContent-Length: 100\r\n",
		"a chunk that never ends": "POST /v1/gateways/main/stop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"a body that is not read": "GET /v1/status HTTP/1.1\r\nContent-Length: 100\r\n",
		"of no route":             "POST /v1/nothing HTTP/1.1\r\nContent-Length: 100\r\n",
	} {
		c, err := (&net.Dialer{}).DialContext(timeout(t), "unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := "{"
		if strings.Contains(request, "chunked") {
			begun = "5\r\n{"
		}
		if _, err := io.WriteString(c, request+"Host: x\r\n\r\n"+begun); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		answer, err := io.ReadAll(c) // to its end: the host closes the connection
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%s: %v, answer %.80q", name, err, answer)
		}
		if name == "half a body" && !strings.Contains(string(answer), " 408 ") {
			t.Errorf("%s: answer %.300q", name, answer)
		}
	}
}

// TestAnswerMayTakeLongerThanTheBody: the deadline of the body is none of the request.
func TestAnswerMayTakeLongerThanTheBody(t *testing.T) {
	const bound = 50 * time.Millisecond
	g := &gateways{RPCFunc: func(ctx context.Context, _ control.RPCRequest) (json.RawMessage, error) {
		select {
		case <-time.After(4 * bound):
			return json.RawMessage(`1`), nil
		case <-ctx.Done(): // what a client that is gone does
			return nil, context.Cause(ctx)
		}
	}}
	s := serve(t, g, func(o *httpapi.Options) { o.Body = bound })
	if got, err := s.client.RPC(timeout(t), "main", control.RPCRequest{Method: "health"}); err != nil ||
		string(got) != "1" {
		t.Errorf("%s, %v", got, err)
	}
}
