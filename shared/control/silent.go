package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// ErrSilent is the error when a host accepts connections and does not answer: it was stopped (Ctrl-Z, SIGSTOP), hangs,
// or the machine has no time for it. What was asked of it may still be done later.
var ErrSilent = errors.New("does not answer")

const (
	// quiet is how long a request may be without an answer before the host is asked whether it is there.
	quiet = 5 * time.Second
	// answerBound is how long a host has to say that it is there, and to accept a connection.
	answerBound = 5 * time.Second
	// dialAgain is how often a socket whose queue of connections is full is tried.
	dialAgain = 100 * time.Millisecond
)

// peer is the host that accepted the last connection.
type peer struct {
	socket string
	pid    int // 0: unknown
}

// dialOne connects to one socket. A host that accepts nothing for answerBound is silent.
func (c *Client) dialOne(ctx context.Context, socket string) (net.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, c.answerBound)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(bounded, "unix", socket)
		switch {
		case err == nil:
			c.host.Store(&peer{socket: socket, pid: peerPID(conn)})
			return conn, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case bounded.Err() != nil:
			return nil, fmt.Errorf("the host on %s %w", socket, ErrSilent)
		case !errors.Is(err, syscall.EAGAIN):
			return nil, err
		}
		select {
		case <-time.After(dialAgain):
		case <-bounded.Done():
		}
	}
}

// silent says which host does not answer.
func (c *Client) silent() error {
	p := c.host.Load()
	switch {
	case p == nil:
		return fmt.Errorf("the host %w", ErrSilent)
	case p.pid > 0:
		return fmt.Errorf("the host (pid %d) %w on %s", p.pid, ErrSilent, p.socket)
	default:
		return fmt.Errorf("the host on %s %w", p.socket, ErrSilent)
	}
}

// watch asks the host again and again, beside a request that takes its time, whether it is there, and ends the request
// with ErrSilent when it says nothing. The returned function ends the watch.
func (c *Client) watch(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(c.quiet)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !c.isThere(ctx) && ctx.Err() == nil {
				end(c.silent())
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		watching.Wait()
	})
}

// isThere reports whether the host answers; an error that is no silence is left to the request itself.
func (c *Client) isThere(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.answerBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatehost/healthz", nil)
	if err != nil {
		return true
	}
	res, err := c.http.Do(req)
	if err == nil {
		_ = res.Body.Close()
		return true
	}
	return ctx.Err() == nil && !errors.Is(err, ErrSilent)
}

// watchedBody ends the watch of a request with its body.
type watchedBody struct {
	io.ReadCloser
	end func()
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}
