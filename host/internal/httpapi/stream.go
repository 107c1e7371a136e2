package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/shared/control"
)

// writeTimeout bounds one write to a client that does not read.
const writeTimeout = 30 * time.Second

// Wire returns an event in the form of the API.
func Wire(e events.Event) control.Event {
	out := control.Event{
		Cursor: e.Cursor, Time: control.At(e.Time), Gateway: e.Gateway, Plugin: e.Plugin, Type: string(e.Type),
		Cause: e.Cause,
	}
	if e.Data != nil {
		data, err := json.Marshal(e.Data)
		if err != nil {
			data, _ = json.Marshal(map[string]string{"error": "bug: cannot encode the data: " + err.Error()})
		}
		out.Data = data
	}
	return out
}

// Follow yields the events after a cursor (see events.Hub.Subscribe) until ctx is done or the hub is closed. Events
// of type control.EventDropped report what a slow reader lost.
func Follow(ctx context.Context, hub *events.Hub, after uint64) iter.Seq[control.Event] {
	return func(yield func(control.Event) bool) {
		f := feed{sub: hub.Subscribe(after)}
		for {
			e, err := f.sub.Next(ctx)
			if err != nil {
				return
			}
			if d, ok := f.lost(); ok && !yield(d) {
				return
			}
			if !yield(Wire(e)) {
				return
			}
		}
	}
}

// feed remembers which losses its reader has been told of.
type feed struct {
	sub    *events.Subscription
	told   uint64
	begun  bool
	cursor uint64
}

// lost returns an event that reports new losses.
func (f *feed) lost() (control.Event, bool) {
	n := f.sub.Dropped() - f.told
	reset := f.sub.Reset() && !f.begun
	f.told, f.begun = f.sub.Dropped(), true
	if n == 0 && !reset {
		return control.Event{}, false
	}
	data, _ := json.Marshal(control.DroppedData{Dropped: n, Reset: reset}) // cannot fail
	return control.Event{Type: control.EventDropped, Data: data}, true
}

// events is GET /v1/events: ?gateway=, ?since=CURSOR or an RFC 3339 time (0: everything in memory; absent: only new
// events), ?follow=0 to end after the existing events, ?status=1 to get the present state first, in an event of its
// own, unless the client resumes (B342). Last-Event-ID takes precedence over since.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	hub, gateway := s.o.Events, q.Get("gateway")
	if gateway != "" {
		if _, ok := s.o.Gateways.Gateway(gateway); !ok {
			r.SetPathValue("name", gateway)
			_, err := s.known(r)
			return err
		}
	}
	last := hub.Last()
	after := last
	since := q.Get("since")
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		since = id
	}
	if since != "" {
		n, err := s.cursorOf(since)
		if err != nil {
			return err
		}
		after = n
	}
	ctx, done := s.stream(r)
	defer done()
	out := newSSE(w)
	out.begin(after, last)
	f := &feed{sub: hub.Subscribe(after)}
	// after the subscription: newer changes come as events
	if q.Get("status") == "1" && r.Header.Get("Last-Event-ID") == "" {
		out.status(s.o.Gateways.Status())
	}
	follow := q.Get("follow") != "0"
	for out.err == nil {
		e, ok := f.sub.TryNext()
		switch {
		case ok:
			out.event(f, e, gateway)
			continue
		case !follow:
			return nil
		}
		out.flush()
		waiting, cancel := context.WithTimeout(ctx, s.o.Heartbeat)
		e, err := f.sub.Next(waiting)
		cancel()
		switch {
		case err == nil:
			out.event(f, e, gateway)
		case ctx.Err() != nil, errors.Is(err, events.ErrClosed):
			return nil
		default:
			out.heartbeat(f)
		}
	}
	return nil
}

func (s *Server) cursorOf(since string) (uint64, error) {
	if n, err := strconv.ParseUint(since, 10, 64); err == nil {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return 0, problem(http.StatusBadRequest, control.CodeBadRequest,
			fmt.Sprintf("%.64q is neither a cursor nor an RFC 3339 time", since))
	}
	return s.o.At(t), nil
}

// stream returns the context of a streaming answer: it ends with its client and, at once, with the host.
func (s *Server) stream(r *http.Request) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(s.streams, func() { cancel(errStopping) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// sse writes server-sent events; after an error it writes nothing.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func newSSE(w http.ResponseWriter) *sse {
	return &sse{w: w, control: http.NewResponseController(w)}
}

func (o *sse) begin(after, last uint64) {
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	o.w.WriteHeader(http.StatusOK)
	if after >= last { // so that a reader that is cut off before its first event resumes without a gap
		o.write(fmt.Appendf(nil, "id: %d\n\n", last))
	}
	o.flush()
}

func (o *sse) write(b []byte) {
	if o.err == nil {
		_ = o.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not possible in some tests
		_, o.err = o.w.Write(b)
	}
}

func (o *sse) flush() {
	if o.err == nil {
		o.err = o.control.Flush()
	}
}

func (o *sse) event(f *feed, e events.Event, gateway string) {
	if d, ok := f.lost(); ok {
		o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", d.Type, d.Data))
	}
	f.cursor = e.Cursor
	if gateway != "" && e.Gateway != gateway {
		return
	}
	data, err := json.Marshal(Wire(e))
	if err != nil {
		o.err = err
		return
	}
	o.write(slices.Concat(fmt.Appendf(nil, "id: %d\nevent: %s\ndata: ", e.Cursor, e.Type), bytes.TrimSpace(data),
		[]byte("\n\n")))
}

// status has no id: a reader cannot resume from it.
func (o *sse) status(st control.Status) {
	data, err := json.Marshal(st)
	if err == nil {
		data, err = json.Marshal(control.Event{Type: control.EventStatus, Time: control.At(time.Now()), Data: data})
	}
	if err != nil {
		o.err = err
		return
	}
	o.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", control.EventStatus, bytes.TrimSpace(data)))
}

// heartbeat keeps the connection alive and the reader's cursor current while events of other gateways are skipped.
func (o *sse) heartbeat(f *feed) {
	if f.cursor > 0 {
		o.write(fmt.Appendf(nil, "id: %d\n", f.cursor))
	}
	o.write([]byte(": still here\n\n"))
}

// logs is GET .../logs: ?follow=1, ?n=, ?since=RFC3339, ?level=.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	q := control.LogsQuery{}
	v := r.URL.Query()
	q.Follow = v.Get("follow") == "1" || v.Get("follow") == "true"
	if n := v.Get("n"); n != "" {
		if q.Tail, err = strconv.Atoi(n); err != nil || q.Tail < 0 {
			return problem(http.StatusBadRequest, control.CodeBadRequest, "n is not a number of lines")
		}
	}
	if since := v.Get("since"); since != "" {
		if q.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return problem(http.StatusBadRequest, control.CodeBadRequest, "since is not an RFC 3339 time")
		}
	}
	if q.Level = v.Get("level"); q.Level != "" &&
		!slices.Contains([]string{"debug", "info", "warn", "error"}, q.Level) {
		return problem(http.StatusBadRequest, control.CodeBadRequest, "level is none of debug, info, warn, error")
	}
	ctx, done := s.stream(r)
	defer done()
	return ndjson(ctx, w, r, s.o.Output.Logs(ctx, name, q))
}

// doctor is POST .../doctor. A repair continues to its end when the client disconnects.
func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	name, err := s.known(r)
	if err != nil {
		return err
	}
	var req control.DoctorRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	if !slices.Contains([]string{
		control.DoctorDiagnose, control.DoctorRepair, control.DoctorUndo,
		control.DoctorHistory,
	}, req.Action) {
		return problem(http.StatusBadRequest, control.CodeBadRequest,
			"action is none of diagnose, repair, undo, history")
	}
	ctx := r.Context()
	if req.Action != control.DoctorDiagnose && req.Action != control.DoctorHistory && !req.DryRun {
		ctx = s.requests
	}
	//nolint:contextcheck // a repair outlives its request on purpose
	return ndjson(ctx, w, r, s.o.Doctors.Doctor(ctx, name, req))
}

// ndjson writes one line for each value. An error before the first line is a problem of its own, a later one is the
// last line. When the client is gone but ctx is not done, it reads the rest and discards it.
func ndjson[T any](ctx context.Context, w http.ResponseWriter, r *http.Request, seq iter.Seq2[T, error]) error {
	rc := http.NewResponseController(w)
	begun, gone := false, false
	begin := func() {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		begun = true
	}
	line := func(v any) {
		data, err := json.Marshal(v)
		if err != nil {
			data, _ = json.Marshal(control.StreamProblem{Problem: problemOf(err)})
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not possible in some tests
		if _, err = w.Write(append(data, '\n')); err == nil {
			err = rc.Flush()
		}
		gone = gone || err != nil
	}
	for v, err := range seq {
		switch {
		case err != nil && !begun:
			return ended(r, err)
		case err != nil:
			line(control.StreamProblem{Problem: problemOf(ended(r, err))})
			return nil
		}
		if gone {
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		if !begun {
			begin()
		}
		line(v)
		if gone && ctx == r.Context() {
			return nil
		}
	}
	if !begun {
		begin()
	}
	return nil
}
