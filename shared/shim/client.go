package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Client talks to one living shim. Each call has a connection of its own, so that no call waits for another; one more
// is held for the client's life, and tells the shim that it is not orphaned. All methods may be called concurrently.
type Client struct {
	dir      string
	launchID string
	socket   string
	shim     process.Identity // asked to look at its socket when that is missing; zero: not known
	secret   atomic.Value     // Secret: the last that was taken; the bundle may be removed under us
	attach   net.Conn
	done     chan struct{}
	close    func()
}

// Connect finds the shim of a bundle and proves its identity, and that we may read the bundle. Errors: ErrNoBundle,
// ErrBroken, ErrShimGone, ErrVersion, ErrForbidden.
func Connect(ctx context.Context, bundleDir string) (*Client, error) {
	b, err := OpenBundle(bundleDir)
	if err != nil {
		return nil, err
	}
	if b.State == nil || !b.ShimAlive {
		return nil, fmt.Errorf("cannot connect to launch %s: %w", b.LaunchID, ErrShimGone)
	}
	c := &Client{dir: bundleDir, launchID: b.LaunchID, socket: b.State.Socket, done: make(chan struct{})}
	c.shim = b.State.Shim
	conn, state, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if state.LaunchID != b.LaunchID || state.Shim != b.State.Shim {
		conn.Close()
		return nil, fmt.Errorf("cannot connect to launch %s: %w: %s answers for launch %.80q, %v",
			b.LaunchID, ErrShimGone, c.socket, state.LaunchID, state.Shim)
	}
	if err := exchange(conn, Request{Op: OpAttach}, &Response{}); err != nil {
		conn.Close()
		return nil, c.failed(ctx, "attach", err)
	}
	c.attach = conn
	c.close = sync.OnceFunc(func() { conn.Close() })
	go func() {
		defer close(c.done)
		defer conn.Close()
		_, _ = io.Copy(io.Discard, conn) // nothing is sent: it ends when either side closes
	}()
	return c, nil
}

// Close ends the connection that is held; calls under way go on. Idempotent.
func (c *Client) Close() error {
	c.close()
	<-c.done
	return nil
}

// Done is closed when the shim is gone, or the client was closed.
func (c *Client) Done() <-chan struct{} { return c.done }

// Dir returns the bundle's directory.
func (c *Client) Dir() string { return c.dir }

// askHello asks the process that listens at a launch's socket for its state. Errors: ErrShimGone, ErrVersion.
func askHello(ctx context.Context, dir, socket string) (State, error) {
	c := &Client{dir: dir, launchID: filepath.Base(dir), socket: socket}
	conn, state, err := c.dial(ctx)
	if err != nil {
		return State{}, err
	}
	conn.Close()
	return state, nil
}

// dial opens a connection and shakes hands. A shim that wants another secret than the bundle had writes its own there,
// so the second try has it.
func (c *Client) dial(ctx context.Context) (net.Conn, State, error) {
	secret, known := c.secret.Load().(Secret)
	if !known {
		secret = c.readSecret()
	}
	conn, state, err := c.shake(ctx, secret)
	if noSocket(err) && c.shim.Signal(syscall.SIGHUP) == nil {
		conn, state, err = c.shakeAgain(ctx, secret, err)
	}
	if errors.Is(err, ErrForbidden) {
		secret = c.readSecret()
		conn, state, err = c.shake(ctx, secret)
	}
	if err == nil {
		c.secret.Store(secret)
	}
	return conn, state, err
}

// noSocket reports whether no process listens at the socket: it was removed, or the shim is about to end.
func noSocket(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// bindBound is how long a shim has to make its socket again. A shim of an older release never does.
const bindBound = time.Second

// shakeAgain tries until a shim that was asked to look at its socket listens again, or is gone.
func (c *Client) shakeAgain(ctx context.Context, secret Secret, err error) (net.Conn, State, error) {
	var conn net.Conn
	var state State
	for until := time.Now().Add(bindBound); noSocket(err) && c.shim.Alive() && time.Now().Before(until); {
		if sleep(ctx, 20*time.Millisecond) != nil {
			break
		}
		conn, state, err = c.shake(ctx, secret)
	}
	return conn, state, err
}

// readSecret returns the secret of the bundle; "" when it cannot be read: then the shim writes it anew.
func (c *Client) readSecret() Secret {
	secret, err := ReadSecret(c.dir)
	if err != nil {
		return ""
	}
	return secret
}

// shakeBound is how long a shim has to answer a hello: one that was stopped accepts the connection and is silent.
const shakeBound = 5 * time.Second

func (c *Client) shake(outer context.Context, secret Secret) (net.Conn, State, error) {
	ctx, cancel := context.WithTimeout(outer, shakeBound)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, State{}, c.failed(outer, "connect", err)
	}
	var answer Response
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = peerIsUs(conn)
	if err == nil {
		err = exchange(conn, Request{
			Op: OpHello, Versions: []int{ProtocolVersion}, Secret: string(secret),
		}, &answer)
	}
	if err == nil && answer.State == nil {
		err = errors.New("hello was answered without a state")
	}
	if !stop() || err != nil {
		conn.Close()
		return nil, State{}, c.failed(outer, "connect", err)
	}
	return conn, *answer.State, nil
}

// peerIsUs refuses a socket that another user put in the shim's place.
func peerIsUs(conn net.Conn) error {
	uid, err := PeerUID(conn)
	switch {
	case errors.Is(err, ErrUnsupported):
		return nil
	case err != nil:
		return err
	case uid != os.Geteuid() && uid != 0:
		return fmt.Errorf("the socket belongs to user %d, not to %d", uid, os.Geteuid())
	}
	return nil
}

func exchange(conn net.Conn, req Request, answer *Response) error {
	if err := WriteFrame(conn, req, nil); err != nil {
		return err
	}
	if _, err := ReadFrame(conn, answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// failed words an error: an error of the shim is kept unchanged; any other means that the shim is gone, or that ctx has
// ended.
func (c *Client) failed(ctx context.Context, verb string, err error) error {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if ctx.Err() != nil {
		return fmt.Errorf("cannot %s launch %s: %w", verb, c.launchID, context.Cause(ctx))
	}
	return fmt.Errorf("cannot %s launch %s: %w: %w", verb, c.launchID, ErrShimGone, err)
}

func (c *Client) call(ctx context.Context, verb string, req Request) (Response, error) {
	conn, _, err := c.dial(ctx)
	if err != nil {
		return Response{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var answer Response
	if err := exchange(conn, req, &answer); err != nil {
		return answer, c.failed(ctx, verb, err)
	}
	return answer, nil
}

// State asks for the state of this moment, with the exit and the figures that are not on disk. Errors: ErrShimGone.
func (c *Client) State(ctx context.Context) (State, error) {
	answer, err := c.call(ctx, "ask", Request{Op: OpState})
	if err != nil {
		return State{}, err
	}
	if answer.State == nil {
		return State{}, c.failed(ctx, "ask", errors.New("no state in the answer"))
	}
	return *answer.State, nil
}

// Signal sends a signal by its POSIX name to the gateway's own process. Errors: ErrEnded, ErrBadSignal, ErrShimGone.
func (c *Client) Signal(ctx context.Context, name string) error {
	_, err := c.call(ctx, "signal", Request{Op: OpSignal, Signal: name})
	return err
}

// Stop sends SIGTERM to the gateway, kills its whole tree after grace (0: at once), and returns when no process of it
// is left. For an ended gateway it returns the recorded exit. A second stop with a shorter grace shortens the first
// one. The stop continues when ctx ends. Errors: ErrSurvived, ErrShimGone.
func (c *Client) Stop(ctx context.Context, grace time.Duration) (Stopped, error) {
	answer, err := c.call(ctx, "stop", Request{Op: OpStop, Grace: max(grace, 0)})
	if err != nil {
		return Stopped{}, err
	}
	if answer.Stopped == nil {
		return Stopped{}, c.failed(ctx, "stop", errors.New("no exit in the answer"))
	}
	return *answer.Stopped, nil
}

// Release tells the shim of an ended gateway that its record was read, and waits until the shim is gone. The bundle
// stays, and may be missing by then. Errors: ErrRunning.
func (c *Client) Release(ctx context.Context) error {
	conn, state, err := c.dial(ctx)
	if err == nil {
		defer conn.Close()
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		if err = exchange(conn, Request{Op: OpRelease}, &Response{}); err != nil {
			err = c.failed(ctx, "release", err)
		}
	} else if b, openErr := OpenBundle(c.dir); openErr == nil && b.State != nil {
		state = *b.State // it no longer answers, and may be about to end
	}
	if err != nil && !errors.Is(err, ErrShimGone) {
		return err
	}
	gone := err
	if gone != nil { // it may be about to end; or it is there, and cannot be reached
		bounded, cancel := context.WithTimeout(ctx, shakeBound)
		defer cancel()
		ctx = bounded
	}
	if err := state.Shim.WaitGone(ctx); err != nil {
		return errors.Join(fmt.Errorf("cannot release launch %s: %w", c.launchID, err), gone)
	}
	return nil
}

// Output calls sink, from one goroutine, with records and gaps from a logical offset on. With follow it continues until
// the gateway's End, with a Heartbeat at least every 15 seconds; otherwise up to what exists (End with Running when the
// gateway lives). It fails with what sink fails with, with the cause of ctx, or with ErrShimGone.
func (c *Client) Output(ctx context.Context, from uint64, follow bool, sink func(Item) error) error {
	conn, _, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var answer Response
	if err := exchange(conn, Request{Op: OpOutput, From: from, Follow: follow}, &answer); err != nil {
		return c.failed(ctx, "read output of", err)
	}
	for {
		var wire WireItem
		data, err := ReadFrame(conn, &wire)
		if err != nil {
			return c.failed(ctx, "read output of", err)
		}
		item := wire.item(data)
		if item == nil {
			continue // of a newer protocol
		}
		if err := sink(item); err != nil {
			return err
		}
		if _, last := item.(End); last {
			return nil
		}
	}
}

func (w WireItem) item(data []byte) Item {
	switch w.Kind {
	case ItemRecord:
		return Record{outlog.Record{
			Offset: w.Offset, Time: time.Unix(0, w.At), Stream: w.Stream, Flags: w.Flags,
			Data: data,
		}}
	case ItemGap:
		return Gap{outlog.Gap{From: w.Offset, To: max(w.To, w.Offset), ToLine: w.ToLine}}
	case ItemHeartbeat:
		return Heartbeat{EndOffset: w.Offset}
	case ItemEnd:
		end := End{EndOffset: w.Offset, Exit: w.Exit, Running: w.Exit == nil}
		if w.Exit != nil {
			end.Truncated = w.Exit.Truncated
		}
		return end
	default:
		return nil
	}
}

// ProcessStartTime is the kernel's start time of a living process, opaque; with pid and BootID it proves identity.
func ProcessStartTime(pid int) (string, error) { return process.StartTime(pid) }

// BootID is the identity of this boot of the machine.
func BootID() (string, error) { return process.BootID() }

// logTail is the end of a shim's own log, for errors.
func logTail(dir string) string {
	b, err := readFile(filepath.Join(dir, LogFile), maxFile)
	if err != nil {
		return ""
	}
	return string(b[max(0, len(b)-2<<10):])
}
