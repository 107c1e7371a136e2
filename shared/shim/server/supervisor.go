//go:build unix

package server

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
	"github.com/gatehost/gatehost/shared/shim/process"
)

// Bounds of the end of a gateway.
const (
	sweepGrace = 2 * time.Second        // between SIGTERM and SIGKILL for what a gateway left behind
	drainQuiet = 250 * time.Millisecond // a pipe that a process still holds, and that is silent for so long, is closed
	drainMost  = 2 * time.Second        // and so is one that is never silent
)

// supervisor is one gateway's parent.
type supervisor struct {
	spec     shim.Spec
	dir      string
	lock     *os.File
	alive    *os.File // the gateway has it, too
	secret   shim.Secret
	log      *logger
	children <-chan os.Signal

	out    *outlog.Writer
	record *shim.ExitRecord
	// bound is the file of listener's socket; both belong to the goroutine of serve
	listener *net.UnixListener
	bound    os.FileInfo
	pipes    [2]*os.File
	readers  [2]chan bool // gives whether the pipe was read to its end
	lastRead atomic.Int64 // Unix nanoseconds

	mu       sync.Mutex // guards the rest
	state    shim.State
	exit     *shim.Exit
	killed   bool
	swept    int
	survived error
	killer   *time.Timer // of a stop under way
	killAt   time.Time
	// connections that have shown the secret
	conns     map[net.Conn]struct{}
	strangers []net.Conn // connections that have not yet, the oldest first
	orphan    *time.Timer
	closing   bool

	tree    sync.Mutex      // held while the tree is being ended
	sockets process.Sockets // of the tree; guarded by tree
	told    process.Told    // guarded by tree
	// sweeping is done when what the gateway left has no more grace
	sweeping   context.Context //nolint:containedctx // the life of one step, ended by hurrySweep
	hurrySweep context.CancelFunc
	ended      chan struct{} // the gateway's process was reaped
	final      chan struct{} // and its output was read
	cleared    chan struct{} // and nothing of its tree is left
	released   chan struct{}
	release    func()
	handlers   sync.WaitGroup
}

func newSupervisor(req shim.StartRequest, lock *os.File, children <-chan os.Signal) *supervisor {
	s := &supervisor{
		spec: req.Spec, dir: req.BundleDir, lock: lock, log: openLog(req.BundleDir), children: children,
		secret: shim.NewSecret(),
		conns:  map[net.Conn]struct{}{},
		ended:  make(chan struct{}), final: make(chan struct{}), cleared: make(chan struct{}),
		released: make(chan struct{}), told: process.Told{},
	}
	s.sweeping, s.hurrySweep = context.WithCancel(context.Background())
	s.release = sync.OnceFunc(func() { close(s.released) })
	return s
}

// serve supervises a launched gateway to its end. A signal of look makes it look at its socket: a client
// that finds no socket sends it, so that no timer has to.
func (s *supervisor) serve(terminate, look <-chan os.Signal) {
	var owned sync.WaitGroup
	accept := func() {
		l := s.listener
		owned.Go(func() { s.accept(l) })
	}
	accept()
	owned.Go(s.finish)
	over := make(chan struct{})
	owned.Go(func() { s.beat(over) })
	s.mu.Lock()
	s.armOrphan()
	s.mu.Unlock()

	linger, alone := (<-chan time.Time)(nil), false
	cleared := (<-chan struct{})(s.cleared)
	for done := false; !done; {
		select {
		case <-terminate:
			if !alone {
				alone = true // exits without lingering: a process that ends us has no use for a shim that waits
				owned.Go(func() { s.stopAlone("told by SIGTERM") })
			}
		case <-s.children:
			s.reap()
		case <-look:
			if s.bindAgain() {
				accept()
			}
		case <-cleared:
			cleared = nil
			if alone {
				done = true
				break
			}
			linger = time.After(s.linger())
		case <-linger:
			s.log.printf("the launch was not released in time")
			done = true
		case <-s.released:
			done = true
		}
	}
	close(over)
	s.shutdown()
	owned.Wait()
}

// beat writes the heartbeat until over, or until nothing of the launch is left. It has its own goroutine, because a
// disk can stall.
func (s *supervisor) beat(over <-chan struct{}) {
	tick := time.NewTicker(shim.Beat)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-over:
			return
		case <-s.cleared:
			return
		case <-tick.C:
		}
		text := ""
		if err := shim.WriteBeat(s.dir); err != nil {
			text = err.Error()
		}
		if text != said && text != "" {
			s.log.printf("%s; another machine may take it for ended after %v", text, shim.Lease)
		}
		said = text
	}
}

func (s *supervisor) linger() time.Duration {
	if s.spec.Linger != nil {
		return *s.spec.Linger
	}
	return shim.DefaultLinger
}

func (s *supervisor) grace() time.Duration {
	if s.spec.Grace > 0 {
		return s.spec.Grace
	}
	return shim.DefaultGrace
}

// reap collects the status of every dead child: the gateway's, and those of orphans that came to us as their subreaper.
func (s *supervisor) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		if pid == s.state.Gateway.PID && s.exit == nil && (status.Exited() || status.Signaled()) {
			s.exit = exitOf(status)
			close(s.ended)
		}
	}
}

func exitOf(status syscall.WaitStatus) *shim.Exit {
	e := &shim.Exit{At: time.Now().UTC(), Code: status.ExitStatus()}
	if status.Signaled() {
		e.Code, e.Signal, e.Core = -1, process.SignalName(status.Signal()), status.CoreDump()
	}
	return e
}

// finish waits for the gateway's end, records it, reads the rest of its output, and ends what it left behind.
func (s *supervisor) finish() {
	<-s.ended
	s.mu.Lock()
	e := *s.exit
	s.mu.Unlock()
	e.EndOffset = s.out.End()
	e = s.record.Write(e) // at once: what follows may take seconds
	s.keep(e)

	swept, grace := make(chan struct{}), s.sweepGrace(e)
	go func() {
		defer close(swept)
		s.sweep(grace)
	}()
	since := e.At
	if grace > sweepGrace { // what is left is the gateway behind its wrapper, and writes while it ends
		<-swept
		since = time.Now()
	}
	e.Truncated = !s.drain(since)
	e.EndOffset, e.Final = s.out.End(), true
	e = s.record.Write(e)
	s.keep(e)
	s.log.printf("gateway ended: code %d signal %q, output %d bytes, truncated %t, durable %t",
		e.Code, e.Signal, e.EndOffset, e.Truncated, e.Durable)
	s.out.Finish()
	close(s.final)
	s.save(func(st *shim.State) { st.Phase = shim.PhaseEnded })
	<-swept
	s.mu.Lock()
	clear := s.survived == nil
	s.mu.Unlock()
	if clear {
		s.dropGroup()
		s.save(func(st *shim.State) { st.Cleared = true })
	}
	close(s.cleared)
}

func (s *supervisor) keep(e shim.Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exit = &e
}

// drain lets the readers reach the end of the pipes, but no longer than the bounds: a descendant may hold them for
// ever.
func (s *supervisor) drain(since time.Time) bool {
	complete := true
	tick := time.NewTicker(drainQuiet / 10)
	defer tick.Stop()
	for i := range s.readers {
		for open := true; open; {
			select {
			case eof := <-s.readers[i]:
				complete, open = complete && eof, false
			case <-tick.C:
				quiet := time.Since(time.Unix(0, max(s.lastRead.Load(), since.UnixNano())))
				if quiet > drainQuiet || time.Since(since) > drainMost {
					_ = s.pipes[i].SetReadDeadline(time.Unix(1, 0)) // the reader takes what lies there, and ends
					complete, open = <-s.readers[i] && complete, false
				}
			}
		}
	}
	return complete
}

// whole returns every process of the launch, to end it; as subreaper we have all of them below us, apart from what else
// the query finds. It is used with tree held.
func (s *supervisor) whole() process.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.state.Tree()
	q.Roots, q.Sockets = append(q.Roots, s.state.Shim), &s.sockets
	return q
}

// sweepGrace returns the time that the tree has after the end of the gateway's own process. When the SIGTERM of a stop
// ended it, it was a wrapper, or had no handler: then the rest has what is left of the stop's grace.
func (s *supervisor) sweepGrace(e shim.Exit) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	const shellSaysTerminated = 128 + int(syscall.SIGTERM)
	if s.state.StopAsked && (e.Signal == "SIGTERM" || e.Signal == "" && e.Code == shellSaysTerminated) {
		return max(sweepGrace, time.Until(s.killAt))
	}
	return sweepGrace
}

// sweep ends what is left of the tree after the gateway's end.
func (s *supervisor) sweep(grace time.Duration) {
	s.tree.Lock()
	defer s.tree.Unlock()
	n, err := process.EndTold(s.sweeping, s.whole(), grace, s.told)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swept += n
	s.survived = err
	if n > 0 || err != nil {
		s.log.printf("swept %d processes: %v", n, err)
	}
}

// save changes the state, always in memory, and on disk if the disk works.
func (s *supervisor) save(change func(*shim.State)) {
	s.mu.Lock()
	change(&s.state)
	state := s.state
	s.mu.Unlock()
	if err := shim.WriteState(s.dir, state); err != nil {
		s.log.printf("supervision goes on: %v", err)
	}
}

// snapshot returns the state with the figures that are not on disk.
func (s *supervisor) snapshot() shim.State {
	end := s.out.End()
	lost, fault := s.out.Degraded()
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	if s.exit != nil {
		e := *s.exit
		state.Exit, state.Phase = &e, shim.PhaseEnded
	}
	state.OutputEnd, state.OutputLost, state.OutputFault = end, lost, fault
	return state
}
