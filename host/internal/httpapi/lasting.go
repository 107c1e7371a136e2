package httpapi

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// lookAtSocket is how often the control socket's file is looked at.
const lookAtSocket = time.Second

// Lasting says where a listener of ListenLasting listens.
type Lasting struct {
	// Path returns the socket's path, and makes what it needs; it is called for every socket that is made.
	Path func() (string, error)
	// Bound is called with the path of each socket that was made.
	Bound func(path string)
	Log   hclog.Logger
}

// ListenLasting is Listen, and makes the socket again when it was removed under it: by a cleaner of temporary files, or
// at the end of a login. Connections that exist go on. The listener is closed once.
func ListenLasting(o Lasting) (net.Listener, error) {
	l := &lasting{o: o, conns: make(chan net.Conn), done: make(chan struct{})}
	if err := l.bind(); err != nil {
		return nil, err
	}
	l.workers.Go(l.watch)
	return l, nil
}

type lasting struct {
	o       Lasting
	conns   chan net.Conn // accepted, and not taken by Accept yet
	done    chan struct{} // closed by Close
	workers sync.WaitGroup
	failed  string // the last failure to make the socket again; it belongs to watch

	mu  sync.Mutex // guards now
	now *listener
}

// bind makes the socket and takes its connections.
func (l *lasting) bind() error {
	path, err := l.o.Path()
	if err != nil {
		return err
	}
	made, err := Listen(path)
	if err != nil {
		return err
	}
	now := made.(*listener) //nolint:forcetypeassert // Listen returns nothing else
	l.mu.Lock()
	select {
	case <-l.done: // meanwhile
		l.mu.Unlock()
		_ = now.Close()
		return net.ErrClosed
	default:
	}
	old := l.now
	l.now = now
	l.mu.Unlock()
	l.workers.Go(func() { l.accept(now) })
	if old != nil {
		_ = old.Close()
	}
	l.o.Bound(path)
	return nil
}

func (l *lasting) accept(from *listener) {
	wait := 5 * time.Millisecond
	for {
		conn, err := from.Accept()
		if err == nil {
			wait = 5 * time.Millisecond
			select {
			case l.conns <- conn:
			case <-l.done:
				_ = conn.Close()
				return
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select { // out of descriptors: it passes
		case <-time.After(wait):
			wait = min(2*wait, time.Second)
		case <-l.done:
			return
		}
	}
}

func (l *lasting) watch() {
	tick := time.NewTicker(lookAtSocket)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		l.mu.Lock()
		now := l.now
		l.mu.Unlock()
		if info, err := os.Lstat(now.path); err == nil && os.SameFile(info, now.info) {
			continue
		}
		switch err := l.bind(); {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			l.failed = ""
			l.o.Log.Warn("the control socket was removed, and was made again")
		case err.Error() != l.failed: // once, and not every second
			l.failed = err.Error()
			l.o.Log.Error("the control socket was removed, and cannot be made again", "error", err)
		}
	}
}

// Accept implements net.Listener.
func (l *lasting) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops listening, and removes the socket.
func (l *lasting) Close() error {
	l.mu.Lock()
	select {
	case <-l.done:
		l.mu.Unlock()
		return net.ErrClosed
	default:
		close(l.done)
	}
	now := l.now
	l.mu.Unlock()
	err := now.Close()
	l.workers.Wait()
	return err
}

func (l *lasting) current() *listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// Addr implements net.Listener.
func (l *lasting) Addr() net.Addr { return l.current().Addr() }
