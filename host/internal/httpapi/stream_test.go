package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

func publish(h *events.Hub, n int) {
	for i := range n {
		h.Publish(events.Event{
			Type: events.GatewayState, Gateway: "main",
			Data: control.StateData{State: "starting", Attempt: i + 1},
		})
	}
}

func TestEventsThatAreKeptAreReadOnce(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	publish(s.hub, 3)
	s.hub.Publish(events.Event{Type: events.HostStarted})
	var types []string
	var last control.Event
	for e, err := range s.client.Events(timeout(t), control.EventsQuery{FromStart: true, Once: true}) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
		last = e
	}
	if strings.Join(types, " ") != "gateway.state gateway.state gateway.state host.started" ||
		last.Cursor != s.hub.Last() || last.Time.IsZero() {
		t.Errorf("types = %v, last = %+v", types, last)
	}
	n := 0
	for e, err := range s.client.Events(timeout(t), control.EventsQuery{FromStart: true, Once: true, Gateway: "main"}) {
		if err != nil || string(e.Data) == "" || e.Gateway != "main" {
			t.Errorf("%+v, %v", e, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d events of main, want 3", n)
	}
}

func TestEventsResumeWithoutAGapAfterTheConnectionIsLost(t *testing.T) {
	g := &gateways{}
	hub := events.NewHub(events.Options{})
	first := serve(t, g, func(o *httpapi.Options) { o.Events = hub })
	got := make(chan control.Event, 100)
	finished := make(chan error, 1)
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	go func() {
		for e, err := range first.client.Events(ctx, control.EventsQuery{FromStart: true, Reconnect: patience}) {
			if err != nil {
				finished <- err
				return
			}
			got <- e
		}
	}()
	publish(hub, 2)
	<-got
	<-got
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	publish(hub, 2) // no client is connected
	l, err := httpapi.Listen(first.socket)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, httpapi.New(httpapi.Options{Gateways: g, Events: hub, Log: nullLog(), IsPlugin: noPlugin}), l)
	publish(hub, 2)
	for i := range 4 {
		select {
		case e := <-got:
			if want := hub.Last() - 3 + uint64(i); e.Cursor != want {
				t.Errorf("cursor %d, want %d", e.Cursor, want)
			}
		case <-time.After(patience):
			t.Fatal("no event after the connection was lost")
		}
	}
	cancel()
	if err := <-finished; !errors.Is(err, context.Canceled) {
		t.Errorf("the end: %v", err)
	}
	_ = stop()
}

// TestReaderIsToldFirstHowThingsStand is B342.
func TestReaderIsToldFirstHowThingsStand(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	publish(s.hub, 2)
	var types []string
	for e, err := range s.client.Events(timeout(t), control.EventsQuery{FromStart: true, Once: true, Status: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if types = append(types, e.Type); e.Type != control.EventStatus {
			continue
		}
		var st control.Status
		if err := json.Unmarshal(e.Data, &st); err != nil || len(st.Gateways) == 0 || st.Gateways[0].Name != "main" ||
			e.Cursor != 0 {
			t.Errorf("%+v, %v, cursor %d", st, err, e.Cursor)
		}
	}
	if got := strings.Join(types, " "); got != "status gateway.state gateway.state" {
		t.Errorf("events = %s", got)
	}
	req, err := http.NewRequestWithContext(timeout(t), "GET", "http://x/v1/events?status=1&follow=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "1") // a browser that comes back knows it
	unix := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
	}}
	res, err := unix.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || bytes.Contains(body, []byte("event: status")) {
		t.Errorf("a resumption: %v\n%s", err, body)
	}
}

func TestReaderIsToldWhatItLost(t *testing.T) {
	hub := events.NewHub(events.Options{Keep: 5})
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Events = hub })
	begin := hub.Last()
	publish(hub, 12)
	var first *control.Event
	n := 0
	for e, err := range s.client.Events(timeout(t), control.EventsQuery{After: begin + 1, Once: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = &e
		}
		n++
	}
	if n != 6 || first.Type != control.EventDropped || string(first.Data) != `{"dropped":6}` {
		t.Errorf("%d events, the first is %+v", n, first)
	}
	for e, err := range s.client.Events(timeout(t), control.EventsQuery{After: 7, Once: true}) { // of an earlier host
		if err != nil || e.Type != control.EventDropped || string(e.Data) != `{"dropped":0,"reset":true}` {
			t.Errorf("%+v %s, %v", e, e.Data, err)
		}
		break
	}
}

func TestEventsEndWithTheHostWhenNoClientReconnects(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Heartbeat = 5 * time.Millisecond })
	finished := make(chan error, 1)
	seen := make(chan struct{})
	go func() {
		var last error
		for e, err := range s.client.Events(timeout(t), control.EventsQuery{FromStart: true}) {
			if last = err; err == nil && e.Type == "host.started" {
				close(seen)
			}
		}
		finished <- last
	}()
	s.hub.Publish(events.Event{Type: events.HostStarted})
	<-seen
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := <-finished; !errors.Is(err, control.ErrNoHost) {
		t.Errorf("the end: %v", err)
	}
}

func TestLogsAreLinesUntilTheirEnd(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) {
		o.Output = output{lines: []control.LogLine{{Text: "one", Level: "info"}, {Text: "two\n{\"problem\":1}"}}}
	})
	var texts []string
	for l, err := range s.client.Logs(timeout(t), "main",
		control.LogsQuery{Tail: 5, Level: "info", Since: time.Now()}) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, l.Text)
	}
	if len(texts) != 2 || texts[0] != "one" || texts[1] != "two\n{\"problem\":1}" {
		t.Errorf("texts = %q", texts)
	}
	ctx, cancel := context.WithCancel(timeout(t))
	defer cancel()
	n := 0
	for _, err := range s.client.Logs(ctx, "main", control.LogsQuery{Follow: true}) {
		if n++; n == 2 {
			cancel()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the end: %v", err)
		}
	}
	if n < 2 {
		t.Errorf("%d lines", n)
	}
	for _, err := range s.client.Logs(timeout(t), "missing", control.LogsQuery{}) {
		wantProblem(t, err, 404, control.CodeNoSuchGateway)
	}
}

func TestFollowedLogsEndWithTheHost(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Output = output{lines: []control.LogLine{{Text: "one"}}} })
	finished := make(chan error, 1)
	seen := make(chan struct{})
	go func() {
		var last error
		for _, err := range s.client.Logs(timeout(t), "main", control.LogsQuery{Follow: true}) {
			if last = err; err == nil {
				close(seen)
			}
		}
		finished <- last
	}()
	<-seen
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-finished:
	case <-time.After(patience):
		t.Error("the stream goes on")
	}
}

func TestDoctorsWorkIsStreamedAndItsFailureIsTheLastLine(t *testing.T) {
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Doctors = doctors{} })
	var types []string
	for m, err := range s.client.Doctor(timeout(t), "main", control.DoctorRequest{Action: control.DoctorRepair}) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, m.Type)
	}
	if strings.Join(types, " ") != "progress result" {
		t.Errorf("types = %v", types)
	}
	var last error
	for _, err := range s.client.Doctor(timeout(t), "main",
		control.DoctorRequest{Action: control.DoctorRepair, DryRun: true}) {
		last = err
	}
	wantProblem(t, last, 502, string(fault.PluginGone))
	for _, err := range s.client.Doctor(timeout(t), "main", control.DoctorRequest{Action: control.DoctorUndo}) {
		if p := wantProblem(t, err, 409, string(fault.FailedPrecondition)); p.Hint != "repair first" {
			t.Errorf("hint = %q", p.Hint)
		}
	}
}

func TestRepairOutlivesItsClient(t *testing.T) {
	d := doctors{goOn: make(chan struct{}), done: make(chan struct{})}
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.Doctors, o.Drain = d, patience })
	for m, err := range s.client.Doctor(timeout(t), "main", control.DoctorRequest{Action: control.DoctorRepair}) {
		if err != nil || m.Progress == "" {
			t.Errorf("%+v, %v", m, err)
		}
		break // and go away
	}
	close(d.goOn)
	select {
	case <-d.done:
	case <-time.After(patience):
		t.Error("the repair was given up")
	}
}

func TestFollowTellsTheHostsOwnReaders(t *testing.T) {
	hub := events.NewHub(events.Options{Keep: 5})
	begin := hub.Last()
	publish(hub, 12)
	hub.Close()
	var types []string
	for e := range httpapi.Follow(t.Context(), hub, begin+1) {
		types = append(types, e.Type)
	}
	if len(types) != 6 || types[0] != control.EventDropped {
		t.Errorf("types = %v", types)
	}
}

func TestNamesOfEventsAreTheSameOnBothSides(t *testing.T) {
	for host, client := range map[events.Type]string{
		events.GatewayState: control.EventGatewayState, events.GatewayCondition: control.EventGatewayCondition,
		events.GatewayExit: control.EventGatewayExit, events.GatewaySessionOpened: control.EventGatewaySessionOpened,
		events.GatewaySessionLost: control.EventGatewaySessionLost, events.GatewayEvent: control.EventGatewayEvent,
		events.GatewayChatMessage:    control.EventGatewayChatMessage,
		events.GatewayChannelStatus:  control.EventGatewayChannelStatus,
		events.GatewayNotification:   control.EventGatewayNotification,
		events.GatewayMessage:        control.EventGatewayMessage,
		events.GatewayOutput:         control.EventGatewayOutput,
		events.GatewayDoctorFinding:  control.EventGatewayDoctorFinding,
		events.GatewayDoctorPlan:     control.EventGatewayDoctorPlan,
		events.GatewayDoctorProgress: control.EventGatewayDoctorProgress,
		events.GatewayDoctorFinished: control.EventGatewayDoctorFinished,
		events.GatewayReconnect:      control.EventGatewayReconnect,
		events.GatewayReady:          control.EventGatewayReady, events.GatewayCommand: control.EventGatewayCommand,
		events.HostCondition: control.EventHostCondition,
		events.PluginState:   control.EventPluginState, events.ConfigReloaded: control.EventConfigReloaded,
		events.HostStarted: control.EventHostStarted, events.HostStopping: control.EventHostStopping,
	} {
		if string(host) != client {
			t.Errorf("%s here, %s there", host, client)
		}
	}
}
