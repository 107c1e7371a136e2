package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/events"
	"github.com/gatehost/gatehost/shared/control"
)

// Options of a server. All ports are needed, except Metrics.
type Options struct {
	Gateways Gateways
	Events   *events.Hub
	Log      hclog.Logger
	Output   Output
	Services Services
	Doctors  Doctors
	Configs  Configs
	Plugins  Plugins
	Health   Health
	Config   Configuration
	Metrics  http.Handler // nil: they are switched off
	Version  string       // of the host
	// At returns the cursor before the first event of a moment; 0: unknown, all events in memory.
	At func(time.Time) uint64
	// IsPlugin reports whether a process, or its process group, is a plugin: plugins get no answer.
	IsPlugin func(pid, pgid int) bool

	Idle      time.Duration // a command without a bound is given up after this long without an event; default 10 min
	Drain     time.Duration // requests in flight get this long when the host stops; default 5 s
	Heartbeat time.Duration // of streams of events; default 15 s
	Refusal   time.Duration // how long a command that no client waits for can still be refused; default 100 ms
	Body      time.Duration // how long a client may take to send the body of a request; default 10 s
}

// errStopping is the cause that cancels requests when the host stops.
var errStopping = errors.New("the host is shutting down")

// Server is the control API. Use New, then Serve once.
type Server struct {
	o       Options
	handler http.Handler

	streams, requests context.Context //nolint:containedctx // the lives of two classes of requests, ended by Serve
	endStreams, end   context.CancelCauseFunc
	operations        sync.WaitGroup // requests, and what outlives them
}

// New makes a server.
func New(o Options) *Server {
	orDefault(&o.Idle, 10*time.Minute)
	orDefault(&o.Drain, 5*time.Second)
	orDefault(&o.Heartbeat, 15*time.Second)
	orDefault(&o.Refusal, 100*time.Millisecond)
	orDefault(&o.Body, 10*time.Second)
	s := &Server{o: o}
	s.requests, s.end = context.WithCancelCause(context.Background())
	s.streams, s.endStreams = context.WithCancelCause(s.requests)
	s.handler = s.guard(s.routes())
	return s
}

func orDefault(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// Serve answers on l until ctx is done. Then streams end at once; other requests have Options.Drain to finish and
// get host_restarting after that. It closes l and waits for everything that it started.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return s.requests },
		ConnContext:       withPeer,
		ErrorLog:          s.o.Log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	served := make(chan error, 1) // 1: Serve's goroutine never waits
	go func() { served <- srv.Serve(newDoor(l, s)) }()
	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("cannot serve the control API: %w", err)
	case <-ctx.Done():
	}
	s.shutdown(srv) //nolint:contextcheck // ctx is done: this is what comes after
	return err
}

func (s *Server) shutdown(srv *http.Server) {
	s.endStreams(errStopping)
	bounded := func(d time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		return srv.Shutdown(ctx)
	}
	if bounded(s.o.Drain) != nil {
		s.end(errStopping)
		if bounded(2*time.Second) != nil {
			_ = srv.Close()
		}
	}
	s.end(errStopping)
	s.operations.Wait()
}

// guard wraps every route: it recovers panics, checks the peer, and bounds the time in which a body must come.
func (s *Server) guard(next http.Handler) http.Handler {
	uid := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.operations.Add(1)
		defer s.operations.Done()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				s.o.Log.Error("control request panicked", "path", r.URL.Path, "error", fmt.Sprint(p))
				if rec.wrote {
					panic(http.ErrAbortHandler) // half an answer must not look like a whole one
				}
				writeProblem(rec,
					problem(http.StatusInternalServerError, control.CodeInternal, "bug: the request panicked"))
			}
		}()
		if r.ContentLength != 0 { // there is a body, or one of unknown length; readBody removes the deadline
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.o.Body))
		}
		if p := s.refuse(r, uid); p != nil {
			writeProblem(rec, p)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) refuse(r *http.Request, uid int) *control.Problem {
	who, ok := r.Context().Value(peerKey{}).(peer)
	switch {
	case !ok || who.err != nil:
		s.o.Log.Warn("control request refused", "reason", "unknown peer", "error", who.err)
		return problem(http.StatusForbidden, control.CodeForbidden, "cannot find out who asks")
	case who.uid != uid && who.uid != 0:
		s.o.Log.Warn("control request refused", "reason", "another user", "uid", who.uid, "pid", who.pid)
		p := problem(http.StatusForbidden, control.CodeForbidden, "this host belongs to another user")
		p.Hint = "run the command as the user that runs the host"
		return p
	case who.pid > 0 && s.o.IsPlugin(who.pid, who.pgid):
		return s.refusePlugin(who)
	default:
		return nil
	}
}

func (s *Server) refusePlugin(who peer) *control.Problem {
	s.o.Log.Warn("control request refused", "reason", "a plugin", "pid", who.pid)
	return problem(http.StatusForbidden, control.CodeForbidden, "plugins may not use the control API")
}

// recorder records whether an answer was begun.
type recorder struct {
	http.ResponseWriter
	wrote bool
}

func (r *recorder) WriteHeader(status int) {
	r.wrote = true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
