package pluginhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/shared/fault"
)

const defaultStartTimeout = 30 * time.Second

// killBound is how long a killed process, or go-plugin's part of it, may take to be gone.
const killBound = 2 * time.Second

// within waits for done, but not longer than d.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// supervisor keeps one plugin running. Its goroutine decides which processes are started and which of them is the present one;
// callers look at current.
type supervisor struct {
	opts      Options
	name      string
	inForce   atomic.Pointer[Spec] // set by the goroutine of run
	log       hclog.Logger
	socketDir string // parent of each generation's own
	current   *current
	live      processes
	restarts  restartRequests // for another process
	changes   chan *change    // unbuffered: whoever has another table waits until it can be heeded
	suspect   chan struct{}   // a call got no answer: look now
	refused   refusals
	over      chan struct{}      // closed when run has returned
	leave     context.CancelFunc // ends what run calls wanted

	pending  *change        // the next start is made for it; of the goroutine of run, as the next two
	fallBack bool           // what failed last was a change: the table of before is tried at once
	failures int            // in a row
	leaving  sync.WaitGroup // processes that were replaced and end what was begun in them
}

// spec is the table in force.
func (s *supervisor) spec() *Spec { return s.inForce.Load() }

// dataDir is the plugin's own directory.
func (s *supervisor) dataDir() string { return filepath.Join(s.opts.DataDir, s.name) }

func newSupervisor(opts Options, s Spec, socketDir string) *supervisor {
	one := &supervisor{
		opts: opts, name: s.Name, log: opts.Log.Named("plugin." + s.Name), socketDir: socketDir,
		current:  newCurrent(s.Name, opts.Timing.CallWait, opts.OnState),
		live:     processes{all: map[*process]struct{}{}},
		restarts: restartRequests{wanted: make(chan struct{}, 1)}, suspect: make(chan struct{}, 1),
		changes: make(chan *change), over: make(chan struct{}),
	}
	one.inForce.Store(&s)
	return one
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// processes are those of a plugin that were begun and have not ended: two while one takes the other's place, or more.
type processes struct {
	mu  sync.Mutex // guards all
	all map[*process]struct{}
}

func (p *processes) add(one *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[one] = struct{}{}
}

func (p *processes) remove(one *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, one)
}

func (p *processes) pids() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []int
	for one := range p.all {
		select {
		case <-one.done: // its number may be somebody else's
		default:
			if pid := one.pid(); pid != 0 {
				out = append(out, pid)
			}
		}
	}
	return out
}

// run is the life of a plugin over all its processes. It ends with ctx at once; once wanted is done, it ends as soon as nobody waits for
// what was begun in it.
func (s *supervisor) run(ctx, wanted context.Context) {
	defer close(s.over)
	defer func() { _ = os.RemoveAll(s.socketDir) }()
	defer s.restarts.close()
	defer s.current.stop()
	defer s.leaving.Wait()
	_ = os.RemoveAll(s.socketDir) // what a host that was killed left
	for wanted.Err() == nil {
		s.current.starting()
		gen, err := s.begin(wanted)
		for err == nil {
			gen, err = s.serve(ctx, wanted, gen)
		}
		if wanted.Err() != nil {
			return
		}
		s.failures++
		s.rest(wanted, err)
	}
}

// begin makes a process by the table in force, or by another one that waits for its turn.
func (s *supervisor) begin(ctx context.Context) (*generation, error) {
	c, spec := s.pending, s.spec()
	if c != nil {
		spec = c.spec
	}
	s.pending = nil
	gen, err := s.start(ctx, spec)
	if err != nil {
		s.undo(c, err)
		return nil, err
	}
	gen.change = c
	return gen, nil
}

// undo says that a change failed; nil is none.
func (s *supervisor) undo(c *change, err error) {
	s.fallBack = c != nil
	c.tell("", notChanged(s.name, err))
}

// rest waits before the next start; an open circuit waits longer and says so.
func (s *supervisor) rest(ctx context.Context, err error) {
	if s.pending != nil || s.fallBack { // another table is tried now, or what failed was one
		s.fallBack = false
		s.log.Error("plugin is down", "error", err, "hint", fault.HintOf(err))
		s.current.down(BackingOff, err)
		return
	}
	delay, state := s.delay(), BackingOff
	if isPermanent(err) || s.failures >= s.opts.Timing.CircuitAfter {
		delay, state = s.opts.Timing.CircuitRetry, Failed
	}
	s.log.Error("plugin is down", "error", err, "hint", fault.HintOf(err), "state", state, "delay", delay)
	request := s.restarts.take()
	s.current.down(state, err)
	request.tell(notRestarted(fmt.Sprintf("cannot restart plugin %q", s.name), err))
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.restarts.wanted:
	case s.pending = <-s.changes:
	case <-ctx.Done():
	}
}

// delay is how long to wait after so many failures in a row.
func (s *supervisor) delay() time.Duration {
	t := s.opts.Timing
	if s.failures >= t.CircuitAfter {
		return t.CircuitRetry
	}
	return min(t.BackoffBase<<min(max(s.failures-1, 0), 10), t.BackoffMax)
}

// serve lets gen be the present process until it ends, which is an error, or another can take its place.
func (s *supervisor) serve(ctx, wanted context.Context, gen *generation) (next *generation, err error) {
	w := &watch{s: s, gen: gen, began: time.Now()}
	request := s.restarts.take()
	s.inForce.Store(gen.spec)
	s.current.running(gen)
	request.tell(nil)
	gen.change.tell(Replaced, nil)
	s.log.Info("plugin is running", "pid", gen.proc.pid(), "version", gen.info.Version)
	next, err = w.wait(wanted)
	if time.Since(w.began) >= s.opts.Timing.HealthyAfter {
		s.failures = 0
	}
	if err == nil {
		if s.failures++; !w.forMemory { // one that uses too much again and again is replaced more and more seldom
			s.failures = 0
		}
		s.leaving.Go(func() { s.retire(ctx, gen, next) })
		return next, nil
	}
	if wanted.Err() != nil && ctx.Err() == nil {
		s.current.dismiss(gen)
		s.log.Info("plugin is no longer wanted; it ends what was begun in it", "pid", gen.proc.pid())
		s.drain(ctx, gen)
	}
	s.end(gen)
	return s.successor(wanted, w, err)
}

// successor is the next process after one that has ended, when it is under way already.
func (s *supervisor) successor(ctx context.Context, w *watch, err error) (*generation, error) {
	if w.telling != nil { // it died of another table, or with it: a new process will show
		<-w.telling.done
		s.pending = w.telling.change
	}
	if w.try == nil {
		return nil, err
	}
	// It ended while another was on its way to take its place: that is the next start, and it is under way already.
	if ctx.Err() == nil {
		s.log.Warn("plugin ended before another took its place", "error", err)
		s.current.starting()
	}
	<-w.try.done
	if w.try.err == nil && ctx.Err() != nil {
		s.end(w.try.gen)
		return nil, ctx.Err()
	}
	if w.try.err != nil {
		s.undo(w.try.change, w.try.err)
	}
	return w.try.gen, w.try.err
}

// end closes a generation. A plugin that behaves ends by its death pipe; any other is killed by our own handle first, and only
// then is go-plugin told, beside us, since its Kill may wait for what a dead plugin left (R4, R5).
func (s *supervisor) end(gen *generation) {
	s.current.leave(gen)
	if gen.proc != nil && gen.proc.pid() != 0 {
		gen.proc.letGo()
		_ = within(s.opts.Timing.CloseGrace, gen.proc.done)
		gen.proc.kill()
		if !within(s.opts.Timing.CloseGrace+killBound, gen.proc.done) { // the kernel holds it, in a dead file system for example
			s.log.Error("plugin does not end even by SIGKILL; it is left behind", "pid", gen.proc.pid())
		}
	}
	if gen.client != nil {
		told := make(chan struct{})
		go func() {
			defer close(told)
			gen.client.Kill()
		}()
		_ = within(killBound, told) // usually at once; a goroutine of go-plugin that hangs on is none of a caller's business
	}
	_ = gen.exe.file.Close()
	if gen.dir != "" {
		_ = os.RemoveAll(gen.dir)
	}
	s.live.remove(gen.proc)
}
