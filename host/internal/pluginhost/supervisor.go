package pluginhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

const defaultStartTimeout = 30 * time.Second

// killBound is how long a killed process, or go-plugin's part of it, may take to end.
const killBound = 2 * time.Second

// within waits for done, at most d, and reports whether it came.
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

// supervisor keeps one plugin running. Its goroutine decides which processes are started and which one is current;
// callers look at current.
type supervisor struct {
	opts      Options
	name      string
	inForce   atomic.Pointer[Spec] // set by the goroutine of run
	log       hclog.Logger
	socketDir string // parent of the directories of all generations
	current   *current
	live      processes
	restarts  restartRequests // for another process
	changes   chan *change    // unbuffered: a caller of Change waits until its change can be taken
	suspect   chan struct{}   // a call got no answer: check the process now
	refused   refusals
	over      chan struct{}      // closed when run has returned
	leave     context.CancelFunc // cancels the context wanted of run

	pending  *change        // the next start is made for it; this and the next two belong to the goroutine of run
	fallBack bool           // a change failed: start with the former configuration at once
	failures int            // in a row
	leaving  sync.WaitGroup // processes that were replaced and finish their calls
}

// spec returns the configuration that is in effect.
func (s *supervisor) spec() *Spec { return s.inForce.Load() }

// dataDir returns the plugin's own directory.
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

// processes are the processes of a plugin that were started and have not ended: two or more while one replaces another.
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
		case <-one.done: // its number may belong to another process by now
		default:
			if pid := one.pid(); pid != 0 {
				out = append(out, pid)
			}
		}
	}
	return out
}

// run keeps the plugin running over all its processes. It ends at once with ctx; after wanted is done, it ends when no
// call is under way.
func (s *supervisor) run(ctx, wanted context.Context) {
	defer close(s.over)
	defer func() { _ = os.RemoveAll(s.socketDir) }()
	defer s.restarts.close()
	defer s.current.stop()
	defer s.leaving.Wait()
	_ = os.RemoveAll(s.socketDir) // left by a host that was killed, as what follows
	sandbox.EndMembers(func(mark uint64) bool { return mark>>32 == markOfAll(s.dataDir())>>32 }, killBound)
	sweepEnclosures(s.dataDir())
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

// begin starts a process with the configuration in effect, or with that of a pending change.
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

// undo tells a change that it failed; nil is no change.
func (s *supervisor) undo(c *change, err error) {
	s.fallBack = c != nil
	c.tell("", notChanged(s.name, err))
}

// rest waits before the next start; an open circuit waits longer and says so.
func (s *supervisor) rest(ctx context.Context, err error) {
	if s.pending != nil || s.fallBack { // another configuration is tried now, or the one that failed was a change
		s.fallBack = false
		s.log.Error("plugin is down", "error", err, "hint", fault.HintOf(err))
		s.current.down(BackingOff, err)
		return
	}
	delay, state := s.delay(), BackingOff
	if isPermanent(err) || s.failures >= s.opts.Timing.CircuitAfter {
		delay, state = s.circuitRetry(), Failed
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

// delay returns how long to wait after this many failures in a row.
func (s *supervisor) delay() time.Duration {
	t := s.opts.Timing
	if s.failures >= t.CircuitAfter {
		return s.circuitRetry()
	}
	return min(t.BackoffBase<<min(max(s.failures-1, 0), 10), t.BackoffMax)
}

// circuitRetry returns the time between two starts while the circuit is open. A gateway can neither be started nor
// stopped without its launcher, so a launcher is tried more often.
func (s *supervisor) circuitRetry() time.Duration {
	t := s.opts.Timing
	if slices.Contains(s.spec().Uses, plugin.KindLauncher) {
		return min(t.CircuitRetry, t.LauncherRetry)
	}
	return t.CircuitRetry
}

// serve makes gen the current process until it ends, which is an error, or another one can replace it.
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
		if s.failures++; !w.forMemory { // a plugin that keeps using too much memory is replaced less and less often
			s.failures = 0
		}
		s.leaving.Go(func() { s.retire(ctx, gen, next) })
		return next, nil
	}
	if wanted.Err() != nil && ctx.Err() == nil {
		s.current.dismiss(gen)
		s.log.Info("plugin is removed; it finishes the calls under way", "pid", gen.proc.pid())
		s.drain(ctx, gen)
	}
	s.end(gen)
	return s.successor(wanted, w, err)
}

// successor returns the process that was being started when its predecessor ended, if there is one.
func (s *supervisor) successor(ctx context.Context, w *watch, err error) (*generation, error) {
	// it ended because of the new configuration, or while it received it: a new process will show which
	if w.telling != nil {
		<-w.telling.done
		s.pending = w.telling.change
	}
	if w.try == nil {
		return nil, err
	}
	// It ended while its replacement was starting: that is the next start, and it is under way already.
	if ctx.Err() == nil {
		s.log.Warn("plugin ended before its replacement was ready", "error", err)
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

// end closes a generation. A plugin that keeps the contract ends by its death pipe; any other is killed by our own
// handle first. Only then go-plugin is told, beside us, because its Kill may wait for what a dead plugin left (R4, R5).
func (s *supervisor) end(gen *generation) {
	s.current.leave(gen)
	if gen.proc != nil && gen.proc.pid() != 0 {
		gen.proc.closeStdin()
		_ = within(s.opts.Timing.CloseGrace, gen.proc.done)
		gen.proc.kill()
		// the kernel holds it, for example in a file system that does not answer
		if !within(s.opts.Timing.CloseGrace+killBound, gen.proc.done) {
			s.log.Error("plugin does not end even by SIGKILL; gatehost no longer waits for it", "pid", gen.proc.pid())
		}
	}
	if gen.client != nil {
		told := make(chan struct{})
		go func() {
			defer close(told)
			gen.client.Kill()
		}()
		_ = within(killBound, told) // usually at once; the caller need not wait for a goroutine of go-plugin that hangs
	}
	if gen.proof != nil {
		if gen.proc != nil && gen.proc.pid() != 0 { // its last lines may quote the secret
			_ = within(killBound, gen.proc.read)
		}
		gen.proof.forget(s.opts.Secrets)
	}
	_ = gen.exe.file.Close()
	if gen.dir != "" {
		_ = os.RemoveAll(gen.dir)
	}
	s.live.remove(gen.proc)
}
