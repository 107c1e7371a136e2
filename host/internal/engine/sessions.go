package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
)

// openSession dials beside the loop. The owner gets an opened session before any of its reports, so that a close never
// comes before its open.
func (e *Engine) openSession(ctx context.Context, eff lifecycle.OpenSession) {
	opCtx, cancel := context.WithTimeout(ctx, sessionDeadline)
	e.ops[eff.Op] = cancel
	e.tasks.Go(func() {
		defer cancel()
		handed := make(chan struct{})
		defer close(handed)
		s, hello, err := e.dial(opCtx, eff.Port, e.sessionEvents(ctx, eff.Session, handed))
		if err != nil {
			e.send(ctx, lifecycle.Answer{Op: eff.Op, Report: refusal(eff, err)})
			return
		}
		opened := lifecycle.Answer{Op: eff.Op, Report: lifecycle.SessionOpened{Session: eff.Session, Hello: hello}}
		if !e.deliver(ctx, message{in: opened, session: s}) {
			s.Close() // the owner is gone
		}
	})
}

func (e *Engine) sessionEvents(ctx context.Context, id lifecycle.SessionID, handed <-chan struct{}) SessionEvents {
	alive := coalesce(aliveEvery)
	return SessionEvents{
		Alive: func() {
			<-handed
			if alive(time.Now()) {
				e.send(ctx, lifecycle.SessionAlive{Session: id})
			}
		},
		Pings: func() {
			<-handed
			e.deliver(ctx, message{sight: observe.Pings{Session: id}}) // the owner reads the figures
		},
		Closed: func(end SessionEnd) {
			<-handed
			e.send(ctx, lifecycle.SessionClosed{
				Session: id, Code: end.Code, Announce: end.Announce, Expected: end.Expected,
			})
		},
	}
}

// dial turns a panic of the port into an error.
func (e *Engine) dial(ctx context.Context, port int, events SessionEvents) (s Session, h lifecycle.Hello, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bug in the host: opening a session panicked: %v", r)
		}
	}()
	return e.ports.Sessions.Open(ctx, port, events)
}

func refusal(eff lifecycle.OpenSession, err error) lifecycle.SessionRefused {
	r := lifecycle.SessionRefused{Session: eff.Session}
	if refused, ok := errors.AsType[*Refused](err); ok {
		r.Retryable, r.RetryAfter, r.Problem = refused.Retryable, refused.RetryAfter, refused.Problem
		return r
	}
	r.Problem = ProblemOf(err)
	return r
}

func (e *Engine) verifySession(ctx context.Context, eff lifecycle.VerifySession) {
	s, method := e.sessions[eff.Session], e.ports.VerifyMethod
	e.run(ctx, eff.Op, e.ports.VerifyTimeout, eff, func(ctx context.Context) lifecycle.Report {
		if s == nil {
			return lifecycle.Verified{Session: eff.Session}
		}
		_, err := s.Call(ctx, method, json.RawMessage("{}"))
		// Any answer is a sign of life, also a refusal: only a gateway that does not answer is dead.
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return lifecycle.Verified{Session: eff.Session, Why: lifecycle.VerifyTimeout}
		case errors.Is(err, context.Canceled), errors.Is(err, ErrNotConnected), errors.Is(err, ErrNotSent):
			return lifecycle.Verified{Session: eff.Session, Why: lifecycle.VerifyFailed}
		default:
			return lifecycle.Verified{Session: eff.Session, Alive: true}
		}
	})
}

func (e *Engine) closeSession(id lifecycle.SessionID) {
	if s, ok := e.sessions[id]; ok {
		delete(e.sessions, id)
		s.Close()
	}
}

// pings reads how many pings the session left unanswered. The owner reads it when it takes the message: figures in the
// message could arrive in another order than they were made in, since a pong and a missed one are seen by two goroutines.
func (e *Engine) pings(p observe.Pings) observe.Pings {
	if s, ok := e.sessions[p.Session]; ok {
		st := s.Stats()
		p.Unanswered, p.LastFrameAt = st.Unanswered, st.LastFrameAt
	}
	return p
}

// track updates the table of open sessions before a step.
func (e *Engine) track(m message) {
	if opened, ok := lifecycle.ReportOf[lifecycle.SessionOpened](m.in); ok {
		e.sessions[opened.Session] = m.session
	}
	if in, ok := m.in.(lifecycle.SessionClosed); ok {
		delete(e.sessions, in.Session)
	}
}

// publishSession makes calls go through the present session.
func (e *Engine) publishSession() {
	s, ok := e.sessions[e.state.Session]
	if !ok {
		e.session.Store(nil)
		return
	}
	e.session.Store(&s)
}
