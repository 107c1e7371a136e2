package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// TestRoomOfAClosedConnectionIsOne: the other connections of the process still count.
func TestRoomOfAClosedConnectionIsOne(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range 64 {
		open = append(open, connect(t, s))
	}
	_ = open[0].Close()
	eventually(t, "room for one", func() bool {
		_, err := s.client.Status(timeout(t))
		return err == nil // it keeps its connection: the room is used
	})
	if res, body := raw(t, s, "GET", "/v1/status", ""); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("room for another: %d %s", res.StatusCode, body)
	}
}

// TestFewAreToldWhyTheyAreRefused: being told costs a descriptor until a request comes, for a second at most. Others
// are closed at once.
func TestFewAreToldWhyTheyAreRefused(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.IsPlugin = func(int, int) bool { return true } })
	closedAtOnce := func() (n int) {
		soon := time.Now().Add(700 * time.Millisecond) // before the second of the first one is over
		var all []net.Conn
		for range 40 {
			all = append(all, connect(t, s))
		}
		for _, c := range all {
			if err := c.SetReadDeadline(soon); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				n++
			}
			_ = c.Close()
		}
		return n
	}
	for range 20 { // a busy machine may not accept them in that time
		if n := closedAtOnce(); n > 0 {
			return
		}
	}
	t.Error("none of 40 silent connections was closed at once")
}

// replies is a host whose gateway answers a command as told.
type replies struct {
	*gateways
	outcome control.Outcome
	err     error
	took    time.Duration
}

func (r replies) Do(context.Context, string, control.Command) (control.Outcome, error) {
	time.Sleep(r.took) // what it takes
	return r.outcome, r.err
}

func TestOutcomeSaysHowLongItTook(t *testing.T) {
	for _, row := range []struct {
		said   int64
		took   time.Duration
		atMost int64
	}{{7_000_000, 0, 7_000_000}, {0, 20 * time.Millisecond, patience.Milliseconds()}} {
		g := replies{&gateways{}, control.Outcome{Outcome: control.OutcomeApplied, TookMs: row.said}, nil, row.took}
		s := serve(t, g.gateways, func(o *httpapi.Options) { o.Gateways = g })
		out, err := s.client.Start(timeout(t), "main", control.Options{})
		if err != nil || out.TookMs < max(row.said, row.took.Milliseconds()) || out.TookMs > row.atMost {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

// TestErrorsOfPortsHaveAStatusAndACode: what a port says is kept, and what it does not say is derived.
func TestErrorsOfPortsHaveAStatusAndACode(t *testing.T) {
	retryable := fault.New(fault.Unavailable, "busy")
	retryable.Retryable = true
	for name, row := range map[string]struct {
		err    error
		status int
		code   string
		retry  bool
	}{
		"no code":            {errors.New("odd"), 500, "internal", false},
		"a deadline":         {fmt.Errorf("odd: %w", context.DeadlineExceeded), 504, control.CodeTimedOut, false},
		"a cancel":           {fmt.Errorf("odd: %w", context.Canceled), 503, "cancelled", false},
		"a code":             {fault.New(fault.Conflict, "odd"), 409, "conflict", false},
		"a code of a cause":  {fault.Wrap(fault.Conflict, "odd", context.DeadlineExceeded), 409, "conflict", false},
		"one to try again":   {retryable, 503, "unavailable", true},
		"an internal one":    {fault.Wrap(fault.Internal, "odd", context.DeadlineExceeded), 504, control.CodeTimedOut, false},
		"an internal cancel": {fault.Wrap(fault.Internal, "odd", context.Canceled), 503, "cancelled", false},
	} {
		g := replies{gateways: &gateways{}, err: row.err}
		s := serve(t, g.gateways, func(o *httpapi.Options) { o.Gateways = g })
		_, err := s.client.Start(timeout(t), "main", control.Options{})
		if p := wantProblem(t, err, row.status, row.code); p.Retryable != row.retry || p.Detail != row.err.Error() {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRPCInFlightIsToldThatTheHostStops(t *testing.T) {
	began := make(chan struct{})
	g := &gateways{RPCFunc: func(ctx context.Context, _ control.RPCRequest) (json.RawMessage, error) {
		close(began)
		<-ctx.Done()
		return nil, errors.New("the session was closed")
	}}
	s := serve(t, g, nil)
	done := make(chan error, 1) // 1: the request does not wait for the test
	go func() {
		_, err := s.client.RPC(timeout(t), "main", control.RPCRequest{Method: "m"})
		done <- err
	}()
	<-began
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	wantProblem(t, <-done, 503, control.CodeHostRestarting)
}

// waits is a doctor that works until its context ends, or until it is told to go on.
type waits struct {
	began  chan struct{}
	before int // messages before that
	goOn   chan struct{}
	after  int // messages after that
	done   chan struct{}
}

func (d waits) Doctor(ctx context.Context, _ string, _ control.DoctorRequest) iter.Seq2[control.DoctorMessage, error] {
	return func(yield func(control.DoctorMessage, error) bool) {
		say := func(n int) bool {
			for range n {
				if !yield(control.DoctorMessage{Type: control.DoctorProgressMessage, Progress: "looking"}, nil) {
					return false
				}
			}
			return true
		}
		if !say(d.before) {
			return
		}
		close(d.began)
		select {
		case <-d.goOn:
		case <-ctx.Done():
			yield(control.DoctorMessage{}, errors.New("the doctor was interrupted"))
			return
		}
		if say(d.after) {
			close(d.done)
		}
	}
}

// TestDoctorInFlightIsToldThatTheHostStops, before its first line and after it.
func TestDoctorInFlightIsToldThatTheHostStops(t *testing.T) {
	for _, before := range []int{0, 1} {
		d := waits{began: make(chan struct{}), before: before}
		s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Doctors = d })
		done := make(chan error, 1) // 1: the request does not wait for the test
		go func() {
			var last error
			for _, err := range s.client.Doctor(timeout(t), "main", control.DoctorRequest{Action: control.DoctorDiagnose}) {
				last = err
			}
			done <- last
		}()
		<-d.began
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		wantProblem(t, <-done, 503, control.CodeHostRestarting)
	}
}

// TestRepairGoesOnAfterWritesHaveFailed: all of what it says is taken from it.
func TestRepairGoesOnAfterWritesHaveFailed(t *testing.T) {
	d := waits{
		began: make(chan struct{}), before: 1, goOn: make(chan struct{}), after: 1000, done: make(chan struct{}),
	}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Doctors, o.Drain = d, patience })
	for range s.client.Doctor(timeout(t), "main", control.DoctorRequest{Action: control.DoctorRepair}) {
		break
	}
	s.client.Close()
	close(d.goOn)
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Error("the repair was given up")
	}
}

func TestFollowedLogsSayThatTheHostStops(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Output = output{lines: []control.LogLine{{Text: "one"}}} })
	seen, done := make(chan struct{}), make(chan error, 1) // 1: the request does not wait for the test
	go func() {
		var last error
		for _, err := range s.client.Logs(timeout(t), "main", control.LogsQuery{Follow: true}) {
			if last = err; err == nil {
				close(seen)
			}
		}
		done <- last
	}()
	<-seen
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	wantProblem(t, <-done, 503, control.CodeHostRestarting)
}

func TestStreamWithoutALineIsAStream(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Output = output{} })
	res, body := raw(t, s, "GET", "/v1/gateways/main/logs", "")
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/x-ndjson" || body != "" {
		t.Errorf("%d %q %q", res.StatusCode, res.Header.Get("Content-Type"), body)
	}
}

// TestChangesAreLoggedWithTheirCaller, and reading is not.
func TestChangesAreLoggedWithTheirCaller(t *testing.T) {
	var text lockedText
	s := serve(t, &gateways{}, func(o *httpapi.Options) {
		o.Log = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: &text})
	})
	if _, err := s.client.Status(timeout(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Start(timeout(t), "main", control.Options{}); err != nil {
		t.Fatal(err)
	}
	got := text.String()
	want := fmt.Sprintf("control request: method=POST path=/v1/gateways/main/start pid=%d uid=%d", os.Getpid(),
		os.Getuid())
	if !strings.Contains(got, want) || strings.Count(got, "control request:") != 1 {
		t.Errorf("the log has no %q:\n%s", want, got)
	}
}

type lockedText struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type noPlugins struct{ plugins }

func (noPlugins) Plugins() []control.Plugin { return nil }

func TestUnknownPluginIsToldTheOthers(t *testing.T) {
	for want, p := range map[string]httpapi.Plugins{"there is doctor": &plugins{}, "": &noPlugins{}} {
		s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Plugins = p })
		_, err := s.client.Plugin(timeout(t), "missing")
		if got := wantProblem(t, err, 404, control.CodeNoSuchPlugin); got.Hint != want {
			t.Errorf("hint = %q, want %q", got.Hint, want)
		}
	}
}

// TestHalfARequestEndsWithTheHost: its connection is closed.
func TestHalfARequestEndsWithTheHost(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	c := connect(t, s)
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Status(timeout(t)); err != nil { // the other connection is accepted, too
		t.Fatal(err)
	}
	s.client.Close()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is still open: %d, %v", n, err)
	}
}

// stream begins a stream of events by hand.
func stream(t *testing.T, s *site, query string) *bufio.Reader {
	t.Helper()
	c := connect(t, s)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "GET /v1/events?%s HTTP/1.0\r\nHost: x\r\n\r\n", query); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%+v, %v", res, err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return bufio.NewReader(res.Body)
}

func TestStreamOfEventsEndsWithTheHub(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	r := stream(t, s, "")
	s.hub.Close()
	if text, err := io.ReadAll(r); err != nil || strings.Contains(string(text), "still here") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestReaderKnowsWhereItIs: a reader of new events is told where they begin, one of old events is not, and one that
// waits is told how far it has come, also by events that are not for it.
func TestReaderKnowsWhereItIs(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Heartbeat = 10 * time.Millisecond })
	publish(s.hub, 2)
	here := fmt.Sprintf("id: %d\n\n", s.hub.Last())
	if _, body := raw(t, s, "GET", "/v1/events?follow=0", ""); body != here {
		t.Errorf("new events: %q, want %q", body, here)
	}
	if _, body := raw(t, s, "GET", "/v1/events?follow=0&since=0", ""); strings.HasPrefix(body, here) ||
		!strings.Contains(body, "gateway.state") {
		t.Errorf("old events: %q", body)
	}
	r := stream(t, s, "gateway=main")
	next := func() (block string) {
		t.Helper()
		for !strings.HasSuffix(block, "\n\n") {
			line, err := r.ReadString('\n')
			if block += line; err != nil {
				t.Fatalf("%q, %v", block, err)
			}
		}
		return block
	}
	if got := next(); got != here {
		t.Errorf("it begins with %q, want %q", got, here)
	}
	if got := next(); got != ": still here\n\n" {
		t.Errorf("before any event: %q", got)
	}
	s.hub.Publish(events.Event{Type: events.HostStarted})
	want := fmt.Sprintf("id: %d\n: still here\n\n", s.hub.Last())
	for range 1000 {
		switch got := next(); got {
		case want:
			return
		case ": still here\n\n":
		default:
			t.Fatalf("after an event of the host: %q", got)
		}
	}
	t.Errorf("never %q", want)
}
