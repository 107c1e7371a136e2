package pluginhost

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehost/gatehost/shared/fault"
)

// NewStream makes a call with a stream of answers, which begins with its request: that says how long it may take. A
// stream that can be resumed goes on in the next process when its own ends, is replaced or falls silent, so its reader
// sees one stream. A stream in both directions ends with its process; each of its exchanges has the method's deadline.
// The end of ctx ends the call.
func (c conn) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, path string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	k, err := c.call(path, opts)
	if err != nil {
		return nil, err
	}
	s := &stream{call: k, ctx: ctx, desc: desc}
	if !desc.ClientStreams {
		fault.Hear(opts, s.over)
		return s, nil
	}
	fault.Hear(opts, s.exchanged)
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// stream is a call with a stream of answers. Used by one goroutine, which sends and then receives.
type stream struct {
	grpc.ClientStream // on the process of at; nil until there is one
	*call

	ctx  context.Context //nolint:containedctx // the caller's, as in gRPC
	desc *grpc.StreamDesc
	req  any // of a stream in one direction
	at   *attempt
	sent time.Time // when the exchange under way began, on a stream in both directions
}

// open opens the stream on the current process.
func (s *stream) open() error {
	g, err := s.generation(s.ctx)
	if err != nil {
		return err
	}
	at := s.begin(s.ctx, g, s.req)
	context.AfterFunc(at.ctx, func() { // whatever the client does then
		at.release()
		if s.ctx.Err() != nil && !s.desc.ClientStreams {
			at.report(context.Cause(s.ctx))
		}
	})
	s.at = at
	if s.ClientStream, err = g.conn.NewStream(at.ctx, s.desc, s.path, s.opts...); err != nil {
		return s.failed(err)
	}
	if s.desc.ClientStreams {
		return nil
	}
	err = s.ClientStream.SendMsg(s.req)
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // else it has ended already: RecvMsg says how
		return s.failed(err)
	}
	return nil
}

// failed ends the attempt.
func (s *stream) failed(err error) error {
	err = s.at.explain(err)
	s.at.release()
	if s.desc.ClientStreams {
		return err // its client says of each exchange how it ended
	}
	s.at.report(err)
	return s.s.boundary(s.method, err)
}

// SendMsg sends the request, which opens the stream, or the next message of a stream in both directions.
func (s *stream) SendMsg(m any) error {
	if s.desc.ClientStreams {
		s.sent = time.Now()
		defer s.bound(s.at.limit, errLate)()
		err := s.ClientStream.SendMsg(m)
		if err != nil && !errors.Is(err, io.EOF) { // else it has ended already: RecvMsg says how
			err = s.failed(err)
		}
		return err
	}
	s.req = m
	return s.resumed(s.open())
}

// RecvMsg receives the next answer, of whichever process.
func (s *stream) RecvMsg(m any) error {
	for {
		err := s.receive(m)
		if err == nil && s.resume != nil {
			s.resume(s.req, m)
		}
		if err == nil || errors.Is(err, io.EOF) {
			return err
		}
		if err := s.resumed(s.failed(err)); err != nil {
			return err
		}
	}
}

// receive waits for an answer, but not for ever where the contract promises one.
func (s *stream) receive(m any) error {
	switch {
	case s.desc.ClientStreams:
		left := s.at.limit - time.Since(s.sent)
		defer s.bound(left, errLate)()
	case s.resume != nil: // it has heartbeats
		defer s.bound(s.s.opts.Timing.OutputSilence, errSilent)()
	}
	return s.ClientStream.RecvMsg(m)
}

// bound ends the attempt after d, unless what it returns is called before.
func (s *stream) bound(d time.Duration, cause error) (done func()) {
	timer := time.AfterFunc(d, func() { s.at.cancel(cause) })
	return func() { timer.Stop() }
}

// resumed opens the stream again after it failed, if the next process can go on with it. It returns the error that stays.
func (s *stream) resumed(err error) error {
	for s.resume != nil && isGone(err) && s.ctx.Err() == nil {
		if !errors.Is(err, errMoved) { // else the next process is there already
			s.pause()
		}
		err = s.open()
	}
	return err
}

// pause waits until the process is no longer the current one. One that lives and refuses must not make us spin.
func (s *stream) pause() {
	ctx, cancel := context.WithTimeout(s.ctx, s.s.opts.Timing.BackoffBase/4)
	defer cancel()
	s.s.current.awaitLeave(ctx, s.at.g)
}

// over is called when the client has ended the call.
func (s *stream) over(err error) {
	if s.at == nil {
		return // it never began
	}
	s.at.release()
	s.at.report(err)
}

// exchanged is called when the client has what it asked for by its last message, or failed to get it.
func (s *stream) exchanged(err error) {
	s.at.tell(s.sent, err)
	if err != nil {
		notify(s.s.suspect)
	}
}
