package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/shared/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is a deadline that only a hang reaches.
const patience = 20 * time.Second

func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// host is a client of a host that answers with h.
func host(t *testing.T, h http.HandlerFunc) *control.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	c := control.New(filepath.Join(dir, "no-host"), filepath.Join(dir, "s"))
	t.Cleanup(func() {
		c.Close()
		_ = srv.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return c
}

func TestUnknownIsAbsentOrNullAndListsAreNeverNull(t *testing.T) {
	got, err := json.Marshal(control.Status{Gateways: []control.Gateway{{
		Name: "main", LastExit: &control.Exit{Signal: "SIGKILL"}, Session: &control.Session{Protocol: 4},
		LastStart: &control.Start{},
	}}, Plugins: []control.Plugin{{Name: "doctor"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"host":{"version":"","pid":0,"startedAt":null,"stateDir":"","conditions":[]},"gateways":[{"name":"main"` +
		`,"state":"","ready":false,"conditions":[],` +
		`"owner":"","port":0,"reconnectAttempts":0,"restarts":0,"adopted":false,"drift":[],"error":null,` +
		`"lastExit":{"signal":"SIGKILL","tail":[]},"session":{"protocol":4,"scopes":[]},"lastStart":{"stages":[]},` +
		`"launcher":"","doctors":[],"classifiers":[],"unload":[]}],"plugins":[{"name":"doctor","services":[],"state":""` +
		`,"restarts":0,"asks":[],"refused":[]}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTimesAreInUTCAndComeBack(t *testing.T) {
	at := time.Date(2026, 5, 27, 9, 32, 1, 234_000_000, time.FixedZone("x", 2*3600))
	data, err := json.Marshal(control.Time{Time: at})
	if err != nil || string(data) != `"2026-05-27T07:32:01.234Z"` {
		t.Errorf("%s, %v", data, err)
	}
	var back control.Time
	if err := json.Unmarshal(data, &back); err != nil || !back.Equal(at) {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), &back); err == nil {
		t.Error("yesterday is a time")
	}
	if err := json.Unmarshal([]byte(`null`), &back); err != nil || !back.IsZero() {
		t.Errorf("null: %v, %v", back, err)
	}
}

func TestFieldsOfAnExitEventStandBesideEachOther(t *testing.T) {
	code := 1
	data, err := json.Marshal(control.ExitData{Exit: control.Exit{Code: &code}, PID: 7, Expected: true})
	if err != nil || string(data) != `{"code":1,"tail":[],"pid":7,"expected":true}` {
		t.Errorf("%s, %v", data, err)
	}
	var back control.ExitData
	if err := json.Unmarshal(data, &back); err != nil || back.PID != 7 || *back.Code != 1 {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestNobodyOnTheSocketIsErrNoHost(t *testing.T) {
	c := control.New(filepath.Join(t.TempDir(), "s"))
	defer c.Close()
	if _, err := c.Status(timeout(t)); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("Status: %v", err)
	}
	for _, err := range c.Events(timeout(t), control.EventsQuery{Reconnect: 20 * time.Millisecond}) {
		if !errors.Is(err, control.ErrNoHost) {
			t.Errorf("Events: %v", err)
		}
	}
	for _, err := range c.Logs(timeout(t), "main", control.LogsQuery{}) {
		if !errors.Is(err, control.ErrNoHost) {
			t.Errorf("Logs: %v", err)
		}
	}
	if _, err := control.New().Health(timeout(t)); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("without a socket: %v", err)
	}
}

func TestAnswersThatAreNoAnswersAreErrors(t *testing.T) {
	for _, row := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"not JSON", "cannot understand", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }},
		{"cut off", "broke off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}},
		{
			"an error without a problem", "Bad Gateway",
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		},
		{"a problem that is none", "Conflict", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(409)
			fmt.Fprint(w, "[]")
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := host(t, row.answer)
			if _, err := c.Status(timeout(t)); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v, want %q in it", err, row.want)
			}
		})
	}
}

func TestStreamsThatBreakOffEndWithAnError(t *testing.T) {
	c := host(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/events") {
			fmt.Fprint(w, "id: 5\nevent: x\ndata: {\"cursor\":5,\ndata: \"type\":\"x\"}\n\ndata: half")
		} else {
			fmt.Fprint(w, "{\"text\":\"one\"}\n\n{\"text\":\"ha")
		}
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	events, lines := 0, 0
	var err error
	for e, itsErr := range c.Events(timeout(t), control.EventsQuery{Once: true}) {
		if err = itsErr; err == nil {
			events++
			if e.Cursor != 5 || e.Type != "x" {
				t.Errorf("event = %+v", e)
			}
		}
	}
	if events != 1 || err == nil {
		t.Errorf("%d events, then %v", events, err)
	}
	for l, itsErr := range c.Logs(timeout(t), "main", control.LogsQuery{}) {
		if err = itsErr; err == nil {
			lines++
			if l.Text != "one" {
				t.Errorf("line = %+v", l)
			}
		}
	}
	if lines != 1 || err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("%d lines, then %v", lines, err)
	}
}

func TestCancelledCallsReturnTheCause(t *testing.T) {
	release := make(chan struct{})
	c := host(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := c.Status(ctx); err == nil || err.Error() != "enough" {
		t.Errorf("error = %v", err)
	}
}

func TestNamesCannotLeaveTheirPlaceInThePath(t *testing.T) {
	var got string
	c := host(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.EscapedPath()
		fmt.Fprint(w, "{}")
	})
	if _, err := c.Start(timeout(t), "../../x?y#z", control.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := "/v1/gateways/..%2F..%2Fx%3Fy%23z/start"; got != want {
		t.Errorf("path = %s, want %s", got, want)
	}
}
