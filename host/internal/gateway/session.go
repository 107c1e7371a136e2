package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/probe"
	"github.com/gatehost/gatehost/host/internal/session"
)

// closeBound is how long a polite goodbye to a gateway may take.
const closeBound = 3 * time.Second

// sessions opens sessions with the gateway.
type sessions struct{ g *Gateway }

func (s sessions) Open(ctx context.Context, port int, events engine.SessionEvents) (engine.Session, lifecycle.Hello, error) {
	cfg, liveness := s.g.asLaunched(), s.g.conf().Liveness
	token, err := s.g.tokenOf(cfg)
	if err != nil {
		return nil, lifecycle.Hello{}, &engine.Refused{Problem: engine.ProblemOf(err)}
	}
	redactor := s.g.redactor()
	opened, err := session.Dial(ctx, session.Options{
		URL: "ws://" + probe.Address(cmp.Or(port, cfg.Port)) + "/ws", Token: token, Device: s.g.env.Device(), Version: s.g.env.Version,
		Trace: s.g.traceFrames(redactor), Ping: liveness.Ping, PongTimeout: liveness.PongTimeout, Log: s.g.log, OnAlive: events.Alive, OnPings: events.Pings,
		OnEvent: func(e session.Event) {
			s.g.health.Event(e.Name)
			s.g.received(e, redactor)
		},
	})
	if err != nil {
		return nil, lifecycle.Hello{}, refused(err)
	}
	open := &openSession{g: s.g, s: opened}
	s.g.sessions.opened(open)
	liveness = s.g.conf().Liveness // a reload may not have seen this session yet
	opened.SetPing(liveness.Ping, liveness.PongTimeout)
	go func() { // ends with the session, which the engine closes
		<-opened.Done()
		s.g.sessions.closed(open)
		end := opened.End()
		events.Closed(engine.SessionEnd{Code: end.Code, Announce: announced(end), Expected: end.Expected})
	}()
	h := opened.Hello()
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
	g    *Gateway
	s    *session.Session
	once sync.Once
}

func (o *openSession) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	began, number := time.Now(), o.g.health.Session()
	got, err := o.s.Call(ctx, method, params)
	o.g.called(number, method, time.Since(began), err)
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

// SetPing changes the pace of its pings.
func (o *openSession) SetPing(ping, pongTimeout time.Duration) { o.s.SetPing(ping, pongTimeout) }

func (o *openSession) Stats() engine.SessionStats {
	return engine.SessionStats{Hello: o.s.Hello(), Stats: o.s.Stats()}
}

func (o *openSession) Close() {
	o.once.Do(func() {
		go func() { // bounded by closeBound; the engine need not wait for a goodbye
			ctx, cancel := context.WithTimeout(context.Background(), closeBound)
			defer cancel()
			o.s.Close(ctx)
		}()
	})
}
