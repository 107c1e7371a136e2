package host

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

// port asks the gateway's port.
type port struct{ g *gateway }

func (p port) Holder(ctx context.Context) (lifecycle.Holder, lifecycle.Problem, error) {
	cfg := p.g.conf()
	p.g.launches.probed.Store(cfg)
	holders, err := probe.Holders(ctx, cfg.Port)
	if err != nil {
		return 0, lifecycle.Problem{}, err
	}
	if len(holders) == 0 {
		return lifecycle.HolderNone, lifecycle.Problem{}, nil
	}
	who := holders[0].String()
	if probe.IsGateway(ctx, cfg.Port) {
		return lifecycle.HolderGateway, lifecycle.Problem{
			Code:    "port_conflict",
			Message: fmt.Sprintf("port %d is held by a gateway that this host did not start: %s", cfg.Port, who),
			Hint:    "stop it where it was started, set on_conflict = \"attach\" to supervise its session only, or choose another port",
		}, nil
	}
	return lifecycle.HolderStranger, lifecycle.Problem{
		Code:    "port_conflict",
		Message: fmt.Sprintf("port %d is held by %s, which is no gateway", cfg.Port, who),
		Hint:    fmt.Sprintf("end that process, or set another gateways.%s.port; gatehost does not touch what it did not start", p.g.name),
	}, nil
}

func (p port) Ready(ctx context.Context, port int) lifecycle.Readiness {
	switch probe.ReadyNow(ctx, cmp.Or(port, p.g.asLaunched().Port)) {
	case probe.Ready:
		return lifecycle.ReadinessReady
	case probe.Open:
		return lifecycle.ReadinessOpen
	case probe.Starting:
		return lifecycle.ReadinessStarting
	case probe.Closed:
		return lifecycle.ReadinessClosed
	default:
		return lifecycle.ReadinessClosed
	}
}

// closeBound is how long a polite goodbye to a gateway may take.
const closeBound = 3 * time.Second

// sessions opens sessions with the gateway.
type sessions struct{ g *gateway }

func (s sessions) Open(ctx context.Context, port int, events engine.SessionEvents) (engine.Session, lifecycle.Hello, error) {
	cfg, liveness := s.g.asLaunched(), s.g.conf().Liveness
	token, err := s.g.tokenOf(cfg)
	if err != nil {
		return nil, lifecycle.Hello{}, &engine.Refused{Problem: engine.ProblemOf(err)}
	}
	opened, err := session.Dial(ctx, session.Options{
		URL: "ws://" + probe.Address(cmp.Or(port, cfg.Port)) + "/ws", Token: token, Device: s.g.host.device(), Version: s.g.host.version,
		Trace: s.g.traceFrames(), Ping: liveness.Ping, PongTimeout: liveness.PongTimeout, Log: s.g.log, OnAlive: events.Alive,
		OnEvent: func(e session.Event) {
			s.g.health.Event(e.Name)
			s.g.watch.gatewayEvent(e)
		},
	})
	if err != nil {
		return nil, lifecycle.Hello{}, refused(err)
	}
	open := &openSession{g: s.g, s: opened}
	s.g.frames.opened(open)
	liveness = s.g.conf().Liveness // a reload may not have seen this session yet
	opened.SetPing(liveness.Ping, liveness.PongTimeout)
	go func() { // ends with the session, which the engine closes
		<-opened.Done()
		s.g.frames.closed(open)
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
	g    *gateway
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
