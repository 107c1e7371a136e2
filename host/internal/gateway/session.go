package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/redact"
)

// closeBound is how long the close handshake with a gateway may take.
const closeBound = 3 * time.Second

// sessions opens sessions with the gateway.
type sessions struct {
	core   *core
	calls  calls
	totals *sessionTotals
	// received takes the events that the gateway sent by itself.
	received func(session.Event)
}

func (s sessions) Open(
	ctx context.Context, port int, events engine.SessionEvents,
) (engine.Session, lifecycle.Hello, error) {
	cfg, liveness := s.core.asLaunched(), s.core.conf().Liveness
	token, err := s.core.tokenOf(cfg)
	if err != nil {
		return nil, lifecycle.Hello{}, &engine.Refused{Problem: engine.ProblemOf(err)}
	}
	secret, err := s.core.credentialsFor(cfg, token, s.core.owned())
	if err != nil {
		return nil, lifecycle.Hello{}, err
	}
	redactor, port := s.core.redactor(), cmp.Or(port, cfg.Port)
	rule := s.core.peerRule()
	opened, err := session.Dial(ctx, session.Options{
		URL: secret.scheme() + probe.Address(port) + "/ws", TLS: secret.tls, Token: secret.token,
		Password: secret.password, Device: s.core.env.Device(),
		Peer: s.core.provePeer(rule, port), Launched: rule.ProvesLaunch(),
		Version: s.core.env.Version, Trace: s.core.traceFrames(redactor), Ping: liveness.Ping,
		PongTimeout: liveness.PongTimeout, Log: s.core.log, OnAlive: events.Alive, OnPings: events.Pings,
		OnEvent: func(e session.Event) {
			e = cleanEvent(e, redactor)
			s.calls.health.Event(e.Name)
			s.received(e)
		},
	})
	if err != nil {
		err = cleanError(err, redactor)
		s.core.noteReplaced(ctx, s.core.State().Launch, err)
		return nil, lifecycle.Hello{}, s.core.namedForeign(ctx, port, refused(err))
	}
	open := &openSession{calls: s.calls, s: opened, redactor: redactor, hello: cleanHello(opened.Hello(), redactor)}
	s.totals.opened(open)
	liveness = s.core.conf().Liveness // a reload that ran meanwhile has not seen this session
	opened.SetPing(liveness.Ping, liveness.PongTimeout)
	go func() { // it ends with the session, which the engine closes
		<-opened.Done()
		s.totals.closed(open)
		end := opened.End()
		events.Closed(engine.SessionEnd{Code: end.Code, Announce: announced(end), Expected: end.Expected})
	}()
	h := open.hello
	return open, lifecycle.Hello{Protocol: h.Protocol, Version: h.Version, BootID: h.BootID, ConnID: h.ConnID}, nil
}

func refused(err error) error {
	ce, ok := errors.AsType[*session.ConnectError](err)
	if !ok {
		return err
	}
	return &engine.Refused{
		Retryable: ce.Retryable, RetryAfter: ce.RetryAfter,
		Problem: lifecycle.Problem{Code: ce.Code, Message: ce.Message, Hint: ce.Hint, Fatal: ce.Final},
	}
}

func announced(end session.End) lifecycle.Announce {
	switch {
	case end.Restart:
		return lifecycle.AnnounceRestart
	case end.Shutdown:
		return lifecycle.AnnounceStop
	default:
		return lifecycle.AnnounceNothing
	}
}

// openSession is a session as the engine sees it.
type openSession struct {
	calls    calls
	s        *session.Session
	redactor *redact.Redactor
	hello    session.Hello // clean
	once     sync.Once
}

func (o *openSession) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	began, number, launch := time.Now(), o.calls.health.Session(), o.calls.core.State().Launch
	got, err := o.s.Call(ctx, method, params)
	err = cleanError(err, o.redactor)
	o.calls.called(number, method, time.Since(began), err)
	o.calls.core.noteReplaced(ctx, launch, err)
	switch {
	case errors.Is(err, session.ErrServiceRestart):
		return nil, fmt.Errorf("%w: %w", engine.ErrNotConnected, err)
	case errors.Is(err, session.ErrNotConnected):
		return nil, engine.ErrNotConnected
	case errors.Is(err, session.ErrBusy):
		return nil, fmt.Errorf("%w: %w", engine.ErrNotSent, err)
	}
	return got, err
}

// SetPing changes the interval of the session's pings.
func (o *openSession) SetPing(ping, pongTimeout time.Duration) { o.s.SetPing(ping, pongTimeout) }

func (o *openSession) Stats() engine.SessionStats {
	return engine.SessionStats{Hello: o.hello, Stats: o.s.Stats()}
}

func (o *openSession) Close() {
	o.once.Do(func() {
		go func() { // bounded by closeBound; the engine need not wait for the handshake
			ctx, cancel := context.WithTimeout(context.Background(), closeBound)
			defer cancel()
			o.s.Close(ctx)
		}()
	})
}

// sessionTotals adds up the frames of a gateway over its sessions.
type sessionTotals struct {
	mu   sync.Mutex // guards all below: sessions open and close in their own goroutines
	past session.Stats
	open []*openSession
}

func (t *sessionTotals) opened(s *openSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, s)
}

func (t *sessionTotals) closed(s *openSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.open, s); i >= 0 {
		t.open = slices.Delete(t.open, i, i+1)
		t.past = added(t.past, s.s.Stats())
	}
}

// each calls do with every open session.
func (t *sessionTotals) each(do func(*openSession)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.open {
		do(s)
	}
}

// total returns the counts of all sessions; of each time it returns the newest.
func (t *sessionTotals) total() session.Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.past
	for _, s := range t.open {
		all = added(all, s.s.Stats())
	}
	return all
}

func added(a, b session.Stats) session.Stats {
	newest := func(x, y time.Time) time.Time {
		if x.After(y) {
			return x
		}
		return y
	}
	return session.Stats{
		FramesIn: a.FramesIn + b.FramesIn, FramesOut: a.FramesOut + b.FramesOut, BadFrames: a.BadFrames + b.BadFrames,
		UnexpectedIDs: a.UnexpectedIDs + b.UnexpectedIDs, MissedPongs: a.MissedPongs + b.MissedPongs,
		LastFrameAt: newest(a.LastFrameAt, b.LastFrameAt), LastMissAt: newest(a.LastMissAt, b.LastMissAt),
	}
}
