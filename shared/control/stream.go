package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// EventsQuery says which events to read.
type EventsQuery struct {
	Gateway string // only of this gateway
	// After is the cursor after which to begin; FromStart begins with all that the host has in memory; without both the
	// stream begins with the next event.
	After     uint64
	FromStart bool
	// Since begins with a moment, as far back as the host's journal goes.
	Since time.Time
	// Status begins with an event that has the status; not after a lost connection.
	Status bool
	// Once ends after what is kept instead of waiting for more.
	Once bool
	// Reconnect is how long to wait for a host that went away, each time; 0: not at all.
	Reconnect time.Duration
}

// Events reads events until ctx is done, the caller stops, or there is an error, which is yielded last. After a lost
// connection it resumes after the last event that it got. An event of type EventDropped says that some were lost.
func (c *Client) Events(ctx context.Context, q EventsQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := &eventReader{client: c, query: q}
		r.run(ctx, yield)
	}
}

type eventReader struct {
	client *Client
	query  EventsQuery
	lastID string
	lostAt time.Time // when the connection was lost; zero while there is one
}

func (r *eventReader) run(ctx context.Context, yield func(Event, error) bool) {
	delay := 50 * time.Millisecond
	for {
		res, err := r.open(ctx)
		if err == nil {
			r.lostAt, delay = time.Time{}, 50*time.Millisecond
			stopped := false
			err = r.read(res.Body, func(e Event) bool {
				stopped = !yield(e, nil)
				return !stopped
			})
			_ = res.Body.Close()
			if stopped || err == nil && r.query.Once {
				return
			}
		}
		if ctx.Err() != nil {
			yield(Event{}, context.Cause(ctx))
			return
		}
		if r.lostAt.IsZero() {
			r.lostAt = time.Now()
		}
		if !r.retryable(err) || time.Since(r.lostAt) >= r.query.Reconnect {
			if err == nil {
				err = fmt.Errorf("%w any more", ErrNoHost)
			}
			yield(Event{}, err)
			return
		}
		select {
		case <-time.After(delay):
			delay = min(2*delay, time.Second)
		case <-ctx.Done():
		}
	}
}

// retryable reports whether an error may pass: a refusal does not, a lost connection may.
func (r *eventReader) retryable(err error) bool {
	p, refused := errors.AsType[*Problem](err)
	return !r.query.Once && (!refused || p.Retryable)
}

func (r *eventReader) open(ctx context.Context) (*http.Response, error) {
	v := url.Values{}
	if r.query.Status {
		v.Set("status", "1")
	}
	if r.query.Gateway != "" {
		v.Set("gateway", r.query.Gateway)
	}
	if r.query.Once {
		v.Set("follow", "0")
	}
	switch {
	case !r.query.Since.IsZero():
		v.Set("since", r.query.Since.UTC().Format(time.RFC3339Nano))
	case r.query.FromStart || r.query.After > 0:
		v.Set("since", strconv.FormatUint(r.query.After, 10))
	}
	header := http.Header{"Accept": {"text/event-stream"}}
	if r.lastID != "" {
		header.Set("Last-Event-ID", r.lastID)
	}
	return r.client.send(ctx, http.MethodGet, "/v1/events?"+v.Encode(), nil, header, r.query.Once)
}

// read parses server-sent events. It returns nil at the orderly end of the stream.
func (r *eventReader) read(body io.Reader, yield func(Event) bool) error {
	lines := newLineReader(body)
	var kind string
	var data []byte
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			r.lastID = string(value)
		case "event":
			kind = string(value)
		case "data":
			if len(data)+len(value) > maxAnswer {
				return errors.New("the host sent an event larger than 64 MiB")
			}
			data = append(append(data, value...), '\n')
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		e := Event{Type: kind, Data: json.RawMessage(bytes.TrimSpace(data))}
		if kind != EventDropped {
			e = Event{}
			if err := json.Unmarshal(data, &e); err != nil {
				return fmt.Errorf("cannot understand an event: %w", err)
			}
		}
		kind, data = "", nil
		if !yield(e) {
			return nil
		}
	}
}

// Logs reads lines of a gateway's output: without Follow until their end, otherwise until ctx is done or the caller
// stops. An error is yielded last.
func (c *Client) Logs(ctx context.Context, name string, q LogsQuery) iter.Seq2[LogLine, error] {
	v := url.Values{}
	if q.Follow {
		v.Set("follow", "1")
	}
	if q.Tail > 0 {
		v.Set("n", strconv.Itoa(q.Tail))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Level != "" {
		v.Set("level", q.Level)
	}
	return ndjson[LogLine](ctx, c, http.MethodGet, gatewayPath(name, "logs")+"?"+v.Encode(), nil, !q.Follow)
}

// Doctor asks the doctors of a gateway; the last message is the result. An error is yielded last.
func (c *Client) Doctor(ctx context.Context, name string, req DoctorRequest) iter.Seq2[DoctorMessage, error] {
	return ndjson[DoctorMessage](ctx, c, http.MethodPost, gatewayPath(name, "doctor"), req, true)
}

// StreamProblem is the line of NDJSON that ends a stream that failed after it had begun.
type StreamProblem struct {
	Problem *Problem `json:"problem"`
}

func ndjson[T any](ctx context.Context, c *Client, method, path string, body any, ends bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		res, err := c.send(ctx, method, path, body, http.Header{"Accept": {"application/x-ndjson"}}, ends)
		if err != nil {
			yield(none, err)
			return
		}
		defer res.Body.Close()
		lines := newLineReader(res.Body)
		for {
			line, err := lines.next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.Is(err, ErrSilent):
				yield(none, err)
				return
			case err != nil && ctx.Err() != nil:
				yield(none, context.Cause(ctx))
				return
			case err != nil:
				yield(none, fmt.Errorf("the host's answer broke off: %w", err))
				return
			case len(line) == 0: // a heartbeat
				continue
			}
			var failed StreamProblem
			if bytes.HasPrefix(line, []byte(`{"problem":`)) && json.Unmarshal(line, &failed) == nil &&
				failed.Problem != nil {
				yield(none, failed.Problem)
				return
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				yield(none, fmt.Errorf("cannot understand the host's answer: %w", err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// lineReader splits lines and bounds them.
type lineReader struct{ r *bufio.Reader }

func newLineReader(r io.Reader) lineReader { return lineReader{bufio.NewReaderSize(r, 32<<10)} }

// next returns the next line without its end. A last line without an end is dropped: it may be incomplete.
func (l lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxAnswer:
			return nil, errors.New("the host sent a line larger than 64 MiB")
		}
	}
}
