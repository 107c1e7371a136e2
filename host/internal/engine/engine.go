package engine

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
)

// ErrStopped is returned by commands and by Configure when the engine no longer runs.
var ErrStopped = errors.New("the host is shutting down")

// ErrNotConnected is the error of a call without an open session.
var ErrNotConnected = errors.New("Gateway not connected") //nolint:staticcheck // the reference's exact text (B152)

// ErrNotSent is in the errors of calls that were not sent to the gateway, for any reason.
var ErrNotSent = errors.New("not sent")

// Engine drives one gateway. Use New, then Run once.
type Engine struct {
	policy lifecycle.Policy
	ports  Ports
	name   string
	log    hclog.Logger

	inbox    chan message // unbuffered: the owner takes one at a time, and senders wait
	requests chan request
	look     chan struct{} // 1: one look at the plugins is enough for all changes before it
	settings chan settingsRequest
	beats    chan struct{} // of Beat
	done     chan struct{} // closed when Run has returned
	snap     atomic.Pointer[Snapshot]
	session  atomic.Pointer[Session] // the one that calls go through; nil: there is none

	// Owned by Run's goroutine.
	state   lifecycle.State
	record  observe.Record
	due     *time.Timer // fires when the record changes by time alone; made by Run
	ops     map[lifecycle.OpID]context.CancelFunc
	watches map[lifecycle.LaunchID]*watch
	last    *watch                      // the newest watch, kept for diagnosis and last exit after its launch is over
	read    map[lifecycle.LaunchID]bool // launches whose output was opened here
	// holds one token while remaining output is read: a cancelled reader may still be at it
	remaining chan struct{}
	sessions  map[lifecycle.SessionID]Session
	replies   map[lifecycle.CommandID]chan lifecycle.Outcome
	commands  lifecycle.CommandID
	retired   bool // every command but a stop is refused

	tasks sync.WaitGroup // every goroutine of the engine
}

// Snapshot is what readers see: the state after the last step, and everything that is derived from the steps.
type Snapshot struct {
	State  lifecycle.State
	Record observe.Record
	At     time.Time
	Tail   func(n int) []string // last lines of the newest launch; never nil
}

// message is an input on its way to the owner, with the open session that a SessionOpened is about; or something that
// was seen beside the steps.
type message struct {
	in      lifecycle.Input
	session Session
	sight   observe.Sight // nil: in is set
	done    chan struct{} // closed when the owner has taken it; nil: nothing waits for that
}

type request struct {
	make   func(lifecycle.CommandID) lifecycle.Input
	reply  chan lifecycle.Outcome
	retire bool // the gateway will be removed: every request after this stop is refused
}

// New makes an engine that does nothing until Run.
func New(name string, policy lifecycle.Policy, ports Ports, log hclog.Logger) *Engine {
	e := &Engine{
		name: name, ports: ports, log: log,
		inbox: make(chan message), requests: make(chan request), look: make(chan struct{}, 1),
		settings: make(chan settingsRequest), beats: make(chan struct{}), done: make(chan struct{}),
		state:     lifecycle.New(),
		ops:       map[lifecycle.OpID]context.CancelFunc{},
		watches:   map[lifecycle.LaunchID]*watch{},
		read:      map[lifecycle.LaunchID]bool{},
		remaining: make(chan struct{}, 1), // one reader at a time
		sessions:  map[lifecycle.SessionID]Session{},
		replies:   map[lifecycle.CommandID]chan lifecycle.Outcome{},
	}
	e.apply(Settings{Policy: policy, VerifyMethod: ports.VerifyMethod, VerifyTimeout: ports.VerifyTimeout})
	e.record = observe.New(ports.Observe, e.state)
	e.publish(time.Now())
	return e
}

// Run owns the state until ctx is done. It then cancels all operations, closes sessions and watches, and waits for
// every goroutine of the engine. It does not stop the gateway: that is a command, given before.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer close(e.done)
	defer e.tasks.Wait()
	defer cancel()
	defer e.closeAll()
	e.due = time.NewTimer(time.Hour)
	e.due.Stop()
	defer e.due.Stop()
	e.Look()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-e.requests:
			e.command(ctx, r)
		case s := <-e.settings:
			e.apply(s.Settings)
			e.see(observe.Configured{Settings: s.Observe})
			e.retired = false
			e.step(ctx, message{in: lifecycle.Reconfigured{Drift: s.Drift}})
			close(s.done)
		case <-e.look:
			if e.ports.Plugins != nil {
				e.see(observe.Plugins{All: e.ports.Plugins()})
			}
			if e.ports.Files != nil {
				e.see(observe.Files{Conditions: e.ports.Files()})
			}
		case <-e.beats:
		case <-e.due.C:
			e.see(observe.Passed{})
		case m := <-e.inbox:
			if m.sight != nil {
				e.see(m.sight)
				continue
			}
			e.step(ctx, m)
			if m.done != nil {
				close(m.done)
			}
		}
	}
}

// Look makes the owner read how the plugins and the gateway's own files are. It never blocks; safe from any goroutine.
func (e *Engine) Look() {
	select {
	case e.look <- struct{}{}:
	default:
	}
}

// See hands something that was seen beside the steps to the owner; it is dropped when ctx is done or the owner is gone.
// It waits for the owner, so that nothing may call it from the owner's goroutine.
func (e *Engine) See(ctx context.Context, s observe.Sight) {
	select {
	case e.inbox <- message{sight: s}:
	case <-ctx.Done(): // the owner waits for its own operations before it is gone
	case <-e.done:
	}
}

// see takes what was seen beside the steps.
func (e *Engine) see(s observe.Sight) {
	now := time.Now()
	if p, ok := s.(observe.Pings); ok {
		s = e.pings(p)
	}
	var facts []observe.Fact
	e.record, facts = e.record.See(s, now)
	e.publish(now)
	e.tell(facts)
}

// tell hands facts on, once the snapshot shows them, and sees to it that what ends by time alone is noticed.
func (e *Engine) tell(facts []observe.Fact) {
	if at := e.record.Due(); !at.IsZero() {
		e.due.Reset(max(time.Until(at), 0))
	}
	if e.ports.Observer != nil && len(facts) > 0 {
		e.ports.Observer.Observed(facts)
	}
}

func (e *Engine) command(ctx context.Context, r request) {
	e.commands++
	in := r.make(e.commands)
	if _, stop := in.(lifecycle.StopRequested); e.retired && !stop {
		r.reply <- lifecycle.Outcome{Kind: lifecycle.OutcomeFailed, Problem: &lifecycle.Problem{
			Code: string(fault.FailedPrecondition), Message: "the gateway is being removed from the configuration",
		}}
		return
	}
	e.retired = e.retired || r.retire
	e.replies[e.commands] = r.reply
	e.step(ctx, message{in: in})
}

func (e *Engine) closeAll() {
	e.session.Store(nil)
	for _, s := range e.sessions {
		s.Close()
	}
	for _, w := range e.watches {
		w.cancel()
	}
}

func (e *Engine) step(ctx context.Context, m message) {
	now, in := time.Now(), m.in
	e.track(m)
	if a, ok := in.(lifecycle.Answer); ok {
		e.closeOp(a)
	}
	before := e.state
	after, effects := lifecycle.Step(e.policy, before, in, now)
	e.state = after
	change := observe.Change{Before: before, After: after, Input: in, Effects: effects, At: now}
	for _, eff := range effects {
		e.perform(ctx, eff)
	}
	e.publishSession()
	var facts []observe.Fact
	e.record, facts = e.record.Step(e.complete(change))
	e.publish(now)
	if e.ports.Observer != nil {
		e.ports.Observer.Stepped(change)
	}
	e.tell(facts)
	for _, eff := range effects { // answered last, so that the caller sees the state that answered
		if r, ok := eff.(lifecycle.Reply); ok {
			e.reply(r)
		}
	}
}

// complete adds to a change what only the ports know.
func (e *Engine) complete(c observe.Change) observe.Change {
	c.Launcher = e.ports.Launches.HeldBy(c.After)
	if c.After.LastExit != c.Before.LastExit && e.last != nil {
		c.Tail = e.last.tail(observe.CrashLines)
	}
	return c
}

func (e *Engine) reply(r lifecycle.Reply) {
	if ch, ok := e.replies[r.Command]; ok {
		ch <- r.Outcome // buffered by one: the owner never waits for a caller
		delete(e.replies, r.Command)
	}
}

func (e *Engine) publish(now time.Time) {
	tail := func(int) []string { return nil }
	if e.last != nil {
		tail = e.last.tail
	}
	e.snap.Store(&Snapshot{State: e.state, Record: e.record, At: now, Tail: tail})
}

// Snapshot returns the state after the last step. Safe from any goroutine.
func (e *Engine) Snapshot() Snapshot { return *e.snap.Load() }

// Autostart is Start by the host itself. When a command was given before, it does nothing, and its outcome is
// superseded. With adopt it only adopts a gateway that runs already.
func (e *Engine) Autostart(ctx context.Context, adopt bool) (lifecycle.Outcome, error) {
	return e.do(ctx, func(id lifecycle.CommandID) lifecycle.Input {
		return lifecycle.StartRequested{Command: id, Auto: true, Adopt: adopt}
	})
}

// Start gives the command to start and waits for its outcome. Like Stop and Restart it fails with ErrStopped after Run
// returned, or with the cause of ctx; the command goes on all the same.
func (e *Engine) Start(ctx context.Context) (lifecycle.Outcome, error) {
	return e.do(ctx, func(id lifecycle.CommandID) lifecycle.Input { return lifecycle.StartRequested{Command: id} })
}

// StopOptions say how a gateway is stopped.
type StopOptions struct {
	Now   bool // kill it without the grace
	Drain bool // let work in flight end first
	// External asks an attached gateway to shut down; the default is to detach from it.
	External bool
}

// Stop ends the gateway.
func (e *Engine) Stop(ctx context.Context, how StopOptions) (lifecycle.Outcome, error) {
	return e.do(ctx, func(id lifecycle.CommandID) lifecycle.Input {
		return lifecycle.StopRequested{Command: id, Now: how.Now, Drain: how.Drain, External: how.External}
	})
}

// Retire is a Stop after which nothing starts the gateway again: every other request is refused.
func (e *Engine) Retire(ctx context.Context) (lifecycle.Outcome, error) {
	return e.ask(ctx, request{retire: true, make: func(id lifecycle.CommandID) lifecycle.Input {
		return lifecycle.StopRequested{Command: id}
	}})
}

// Settings are the settings that may change while an engine runs.
type Settings struct {
	Policy        lifecycle.Policy
	VerifyMethod  string // as in Ports
	VerifyTimeout time.Duration
	Drift         []string // those that differ from the ones of the process that runs
	Observe       observe.Settings
}

type settingsRequest struct {
	Settings

	done chan struct{}
}

func (e *Engine) apply(s Settings) {
	e.policy = s.Policy
	e.ports.VerifyMethod = cmp.Or(s.VerifyMethod, "system-presence")
	e.ports.VerifyTimeout = cmp.Or(s.VerifyTimeout, 5*time.Second)
}

// Configure applies other settings from the next decision on; a gateway that runs goes on. A gateway that was retired
// can be started again. It fails as Start does.
func (e *Engine) Configure(ctx context.Context, s Settings) error {
	in := settingsRequest{Settings: s, done: make(chan struct{})}
	select {
	case e.settings <- in:
		<-in.done // the owner is at it
		return nil
	case <-e.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Revise replaces the error that the gateway has shown since a moment; it does nothing when the gateway shows another
// one. It returns when the snapshot has it, and fails as Start does.
func (e *Engine) Revise(ctx context.Context, since time.Time, p lifecycle.Problem) error {
	m := message{in: lifecycle.ErrorRevised{Since: since, Problem: p}, done: make(chan struct{})}
	select {
	case e.inbox <- m:
		<-m.done // the owner is at it
		return nil
	case <-e.done:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// RestartOptions say how a gateway is restarted.
type RestartOptions struct {
	// Delay: first wait that long for further requests of the kind, and do not start a gateway that is down.
	Delay time.Duration
	Force bool // also when the next start would fail
}

// Restart ends the gateway and starts it again. It fails, and the gateway runs on, when the next start would fail.
func (e *Engine) Restart(ctx context.Context, how RestartOptions) (lifecycle.Outcome, error) {
	return e.do(ctx, func(id lifecycle.CommandID) lifecycle.Input {
		return lifecycle.RestartRequested{Command: id, Delay: how.Delay, Force: how.Force}
	})
}

// Reload makes the gateway read its configuration again, within its process where its release can, by a restart where
// not.
func (e *Engine) Reload(ctx context.Context, delay time.Duration) (lifecycle.Outcome, error) {
	return e.do(ctx, func(id lifecycle.CommandID) lifecycle.Input {
		return lifecycle.ReloadRequested{Command: id, Delay: delay}
	})
}

func (e *Engine) do(ctx context.Context, input func(lifecycle.CommandID) lifecycle.Input) (lifecycle.Outcome, error) {
	return e.ask(ctx, request{make: input})
}

func (e *Engine) ask(ctx context.Context, r request) (lifecycle.Outcome, error) {
	r.reply = make(chan lifecycle.Outcome, 1) // 1: the owner never waits for a caller
	requests, reply := e.requests, (chan lifecycle.Outcome)(nil)
	for {
		select {
		case requests <- r:
			requests, reply = nil, r.reply // sent once; now wait for the answer
		case o := <-reply:
			return o, nil
		case <-e.done:
			select {
			case o := <-r.reply:
				return o, nil
			default:
				return lifecycle.Outcome{}, ErrStopped
			}
		case <-ctx.Done():
			return lifecycle.Outcome{}, context.Cause(ctx)
		}
	}
}

// Session returns the open session, if there is one.
func (e *Engine) Session() (Session, bool) {
	if s := e.session.Load(); s != nil {
		return *s, true
	}
	return nil, false
}

// send hands an input to the owner, or drops it when the owner is gone.
func (e *Engine) send(ctx context.Context, in lifecycle.Input) { e.deliver(ctx, message{in: in}) }

func (e *Engine) deliver(ctx context.Context, m message) bool {
	if ctx.Err() != nil { // select would toss a coin
		return false
	}
	select {
	case e.inbox <- m:
		return true
	case <-ctx.Done():
		return false
	}
}
