package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrNoHost is the error when no host answers on the socket.
var ErrNoHost = errors.New("no host answers")

const (
	maxAnswer  = 64 << 20 // bytes of one answer, one event or one line; a gateway's frames are smaller
	maxProblem = 1 << 20
)

// Client talks to one host. Safe for concurrent use. Errors: *Problem when the host refused or failed, ErrNoHost when
// there is no host, *RPCError from RPC, otherwise the connection's error.
type Client struct {
	sockets []string
	http    *http.Client
	host    atomic.Pointer[peer] // nil before the first connection

	quiet, answerBound time.Duration
}

// New makes a client for the first socket on which a host answers. It connects with the first call.
func New(sockets ...string) *Client {
	c := &Client{sockets: sockets, quiet: quiet, answerBound: answerBound}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression: true,
		IdleConnTimeout:    10 * time.Second,
	}}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var first error
	for _, socket := range c.sockets {
		conn, err := c.dialOne(ctx, socket)
		switch {
		case err == nil, ctx.Err() != nil, errors.Is(err, ErrSilent):
			return conn, err
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
			err = fmt.Errorf("%w on %s", ErrNoHost, socket)
		default:
			err = fmt.Errorf("cannot reach the host on %s: %w", socket, rootOf(err))
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("%w: no socket is known", ErrNoHost)
	}
	return nil, first
}

// rootOf removes "dial unix PATH", which the message has already.
func rootOf(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Health asks whether the host is there.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return call[Health](ctx, c, http.MethodGet, "/healthz", nil)
}

// Status returns the status of everything.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Gateway returns the status of one gateway.
func (c *Client) Gateway(ctx context.Context, name string) (Gateway, error) {
	return call[Gateway](ctx, c, http.MethodGet, gatewayPath(name, ""), nil)
}

// GatewayHealth asks a gateway for its health now; with probe it is given more time, and the router is asked, too.
func (c *Client) GatewayHealth(ctx context.Context, name string, probe bool) (HealthCheck, error) {
	path := gatewayPath(name, "health")
	if probe {
		path += "?probe=1"
	}
	return call[HealthCheck](ctx, c, http.MethodGet, path, nil)
}

// Options of a command; the zero value waits as long as there is progress.
type Options struct {
	Reason string
	Wait   time.Duration // bound of the wait; 0: as long as there is progress
	NoWait bool
	Now    bool // stop only
	Drain  bool // stop only
	// External is for stop, see Command.
	External bool
	Force    bool // restart only, see Command
	// Debounce and Delay are for restart and reload, see Command.
	Debounce bool
	Delay    time.Duration
}

// Start brings a gateway up.
func (c *Client) Start(ctx context.Context, name string, o Options) (Outcome, error) {
	return c.Do(ctx, name, ActionStart, o)
}

// Stop brings a gateway down.
func (c *Client) Stop(ctx context.Context, name string, o Options) (Outcome, error) {
	return c.Do(ctx, name, ActionStop, o)
}

// Restart replaces a gateway's process.
func (c *Client) Restart(ctx context.Context, name string, o Options) (Outcome, error) {
	return c.Do(ctx, name, ActionRestart, o)
}

// Reload makes a gateway read its configuration again.
func (c *Client) Reload(ctx context.Context, name string, o Options) (Outcome, error) {
	return c.Do(ctx, name, ActionReload, o)
}

// Do sends any command and waits for its outcome. Cancelling ctx ends the wait, not the operation.
func (c *Client) Do(ctx context.Context, name string, a Action, o Options) (Outcome, error) {
	cmd := Command{
		Reason: o.Reason, Now: o.Now, Drain: o.Drain, External: o.External, Force: o.Force, Debounce: o.Debounce,
		DelayMs: o.Delay.Milliseconds(),
	}
	switch {
	case o.NoWait:
		cmd.WaitMs = new(int64)
	case o.Wait > 0:
		cmd.WaitMs = Ms(max(o.Wait, time.Millisecond))
	}
	return call[Outcome](ctx, c, http.MethodPost, gatewayPath(name, string(a)), cmd)
}

// RPC calls a method of a gateway. If the gateway refuses, the error is an *RPCError.
func (c *Client) RPC(ctx context.Context, name string, req RPCRequest) (json.RawMessage, error) {
	res, err := call[RPCResponse](ctx, c, http.MethodPost, gatewayPath(name, "rpc"), req)
	switch {
	case err != nil:
		return nil, err
	case res.Error != nil:
		return nil, res.Error
	default:
		return res.Payload, nil
	}
}

// Plugins lists all plugins.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	res, err := call[Plugins](ctx, c, http.MethodGet, "/v1/plugins", nil)
	return res.Plugins, err
}

// Plugin returns one plugin.
func (c *Client) Plugin(ctx context.Context, name string) (Plugin, error) {
	return call[Plugin](ctx, c, http.MethodGet, "/v1/plugins/"+url.PathEscape(name), nil)
}

// RestartPlugin replaces a plugin's process.
func (c *Client) RestartPlugin(ctx context.Context, name string) (Plugin, error) {
	return call[Plugin](ctx, c, http.MethodPost, "/v1/plugins/"+url.PathEscape(name)+"/restart", struct{}{})
}

// ReloadConfig makes the host read its configuration again, and waits for the result. Cancelling ctx ends the wait
// only. A *Problem with CodeBadConfig has the faults of the file; nothing was changed then.
func (c *Client) ReloadConfig(ctx context.Context, req ReloadRequest) (Reload, error) {
	return call[Reload](ctx, c, http.MethodPost, "/v1/config/reload", req)
}

func gatewayPath(name, verb string) string {
	p := "/v1/gateways/" + url.PathEscape(name)
	if verb != "" {
		p += "/" + verb
	}
	return p
}

func call[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	res, err := c.send(ctx, method, path, body, nil, true)
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case errors.Is(err, ErrSilent):
		return out, err
	case err != nil:
		return out, fmt.Errorf("the host's answer broke off: %w", err)
	case len(data) > maxAnswer:
		return out, errors.New("the host's answer is larger than 64 MiB")
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("cannot understand the host's answer: %w", err)
	}
	return out, nil
}

// send makes a request; an answer without success becomes an error. A host that says nothing at all ends it with
// ErrSilent: until the answer begins, and with ends, for an answer that has an end, until it was read and closed.
func (c *Client) send(
	ctx context.Context, method, path string, body any, header http.Header, ends bool,
) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("cannot encode the request: %w", err)
		}
		reader = bytes.NewReader(data)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, method, "http://gatehost"+path, reader)
	if err != nil {
		cancel(nil)
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	unwatch := c.watch(ctx, cancel)
	res, err := c.http.Do(req)
	if err != nil {
		unwatch()
		defer cancel(nil)
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // its text has a made-up address
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if !ends {
		unwatch()
	}
	res.Body = &watchedBody{ReadCloser: res.Body, end: func() {
		unwatch()
		cancel(nil)
	}}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, problemOf(res)
}

func problemOf(res *http.Response) error {
	p := &Problem{Status: res.StatusCode, Title: http.StatusText(res.StatusCode)}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil {
		return p
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); strings.HasSuffix(kind, "json") {
		if json.Unmarshal(data, p) == nil && p.Status == 0 {
			p.Status = res.StatusCode
		}
	}
	return p
}
