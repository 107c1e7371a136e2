package sim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Bounds on what may take how long once there are no more faults, in virtual time: several of the engine's own
// deadlines, the longest of which is a repair's, one after the other.
const (
	settleBound = 2 * time.Hour
	endBound    = 10 * time.Minute
	quietFor    = 10 * time.Minute
	maxSteps    = 20_000

	restartDebounce = 2003 * time.Millisecond
	reloadDebounce  = 1207 * time.Millisecond
	mostStalled     = 10 * time.Minute // and longer than anything else that is drawn for later
)

// host is one life of the host: an engine and what it has told.
type host struct {
	gen    int
	engine *engine.Engine
	cancel context.CancelFunc

	// Guarded by world.mu.
	ended bool
	state lc.State
	steps int

	conditions map[string]bool // that are active, by the facts that were told
	asked      map[lc.CommandID]*command
	books      books
}

// command is one of an operator's.
type command struct {
	n    int
	gen  int
	kind string
	at   time.Time

	// Guarded by world.mu.
	id       lc.CommandID
	replies  int
	returned bool
	outcome  lc.Outcome
	err      error
}

const (
	cmdStart    = "start"
	cmdStop     = "stop"
	cmdStopNow  = "stop --now"
	cmdAuto     = "start by the host itself"
	cmdAdopt    = "adoption by the host itself"
	cmdDrain    = "stop --drain"
	cmdExternal = "stop --external"
	cmdRestart  = "restart"
	cmdForce    = "restart --force"
	cmdReload   = "reload"
	cmdChanged  = "restart, debounced"
	cmdEdited   = "reload, debounced"
)

func (w *world) startHost() {
	w.hosts++
	if !w.calm && w.places == 2 && w.hosts > 1 && w.percent(40) { // in the other container
		w.place = 3 - w.place
		w.note("world: the next host is in place %d", w.place)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ports := hostPorts{w, w.hosts}
	h := &host{
		gen: w.hosts, cancel: cancel, state: lc.New(), asked: map[lc.CommandID]*command{}, conditions: map[string]bool{},
	}
	h.engine = engine.New(ours, w.policy, engine.Ports{
		Launcher: ports, Services: services{ports}, Probe: prober{ports}, Launches: ports, Sessions: dialer{ports},
		Output: ports,
		Hooks:  hooks{ports}, Preflight: checks{ports}, Control: control{ports}, Doctors: doctors{ports},
		Observer: observer{w, h},
		Plugins:  w.pluginsNow, Observe: observe.Settings{Plugins: []string{"utility", "doctor"}},
	}, hclog.NewNullLogger())
	w.host = h
	w.note("HOST %d begins", h.gen)
	go func() {
		_ = h.engine.Run(ctx)
		w.mu.Lock()
		h.ended = true
		w.mu.Unlock()
		w.poke()
	}()
}

// killHost ends the host's engine as the death of its process would: nothing is announced, and all operations are
// cancelled.
func (w *world) killHost() {
	h := w.host
	w.note("HOST %d is killed", h.gen)
	h.cancel()
	if !w.pass(endBound, func() bool { return w.locked(func() bool { return h.ended }) }) {
		w.fail("ends", "the engine has not ended after %v", endBound)
		return
	}
	for _, c := range w.running {
		w.fail("ends", "the engine has ended, and its call %s %s is under way", c.kind, c.id)
	}
	w.host = nil
}

func (w *world) locked(f func() bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return f()
}

func (w *world) command(kind string) *command {
	h := w.host
	c := &command{n: len(w.commands), gen: h.gen, kind: kind, at: time.Now()}
	w.mu.Lock()
	w.commands = append(w.commands, c)
	w.noteLocked("COMMAND %d: %s", c.n, kind)
	w.mu.Unlock()
	go func() {
		var out lc.Outcome
		var err error
		switch kind {
		case cmdStart:
			out, err = h.engine.Start(context.Background())
		case cmdAuto, cmdAdopt:
			out, err = h.engine.Autostart(context.Background(), kind == cmdAdopt)
		case cmdRestart:
			out, err = h.engine.Restart(context.Background(), engine.RestartOptions{})
		case cmdForce:
			out, err = h.engine.Restart(context.Background(), engine.RestartOptions{Force: true})
		case cmdChanged:
			out, err = h.engine.Restart(context.Background(), engine.RestartOptions{Delay: restartDebounce})
		case cmdReload:
			out, err = h.engine.Reload(context.Background(), 0)
		case cmdEdited:
			out, err = h.engine.Reload(context.Background(), reloadDebounce)
		default:
			out, err = h.engine.Stop(context.Background(), engine.StopOptions{
				Now: kind == cmdStopNow, Drain: kind == cmdDrain, External: kind == cmdExternal,
			})
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		c.returned, c.outcome, c.err = true, out, err
		if errors.Is(err, engine.ErrStopped) {
			return
		}
		why := ""
		if out.Problem != nil {
			why = out.Problem.Code + " " + out.Problem.Message
		}
		w.noteLocked("ANSWER to command %d (%s): %s %s", c.n, kind, out.Kind, why)
	}()
	return c
}

// live is our living processes, oldest first.
func (w *world) live() []*proc {
	var out []*proc
	for _, id := range w.order {
		if p := w.procs[id]; p.live && p.gateway == ours {
			out = append(out, p)
		}
	}
	return out
}

// inherit draws what earlier hosts, and others, have left.
func (w *world) inherit() {
	n := [...]int{0, 0, 0, 0, 0, 1, 1, 1, 2, 3}[w.rng.IntN(10)]
	for range n {
		w.launches++
		p := w.start(fmt.Sprintf("L%d", w.launches), ours)
		if w.places == 2 && w.percent(30) {
			p.place = 2
		}
		if w.serving() == nil && w.percent(80) {
			p.bound = true
		}
		w.say(p, "from an earlier host")
		switch w.rng.IntN(8) {
		case 0:
			w.end(p, w.anExit())
		case 1:
			w.loseShim(p)
		case 2:
			w.hang(p)
		default:
		}
	}
	if w.percent(20) {
		w.start("M1", theirs)
	}
	if w.serving() == nil && w.percent(10) {
		w.foreign = pick(w, portGateway, portStranger)
	}
	w.broken = w.percent(5)
}

// act does one random thing.
func (w *world) act() {
	var p *proc
	if live := w.live(); len(live) > 0 {
		p = live[w.rng.IntN(len(live))]
	}
	switch n := w.rng.IntN(55); {
	case n == 54:
		if w.places == 2 {
			w.endPlace(3 - w.place)
		}
	case n == 50:
		w.fickle = w.percent(60)
		w.note("world: gateways drop their sessions: %v", w.fickle)
	case n == 52 && w.host != nil:
		w.plugins()
	case n == 53 && w.host != nil:
		w.pings()
	case n == 51:
		w.skew += pick[time.Duration](w, -1, 1) * w.between(time.Minute, 48*time.Hour).Truncate(time.Second)
		w.note("world: the wall clock has been set by %v in all", w.skew)
	case n < 4:
		w.operate(cmdStart)
	case n < 6:
		w.operate(cmdStop)
	case n < 7:
		w.operate(pick(w, cmdStopNow, cmdDrain))
	case n < 9:
		w.operate(pick(w, cmdRestart, cmdRestart, cmdForce, cmdReload, cmdChanged, cmdEdited))
	case n < 12: // several, one upon the other
		for range 2 + w.rng.IntN(3) {
			w.operate(
				pick(
					w, cmdStart, cmdStart, cmdStop, cmdStopNow, cmdDrain, cmdExternal, cmdRestart, cmdForce, cmdReload,
					cmdChanged, cmdEdited,
				),
			)
			w.pass(w.between(time.Millisecond, 50*time.Millisecond), nil)
		}
	case n < 15:
		if w.host == nil {
			w.startHost()
			if w.percent(85) {
				w.operate(pick(w, cmdStart, cmdAuto, cmdAdopt))
			}
		} else if n == 12 {
			w.killHost()
			w.pass(w.between(time.Millisecond, 30*time.Second), nil)
			if !w.failed() && w.percent(80) {
				w.startHost()
				if w.percent(85) {
					w.operate(pick(w, cmdStart, cmdAuto, cmdAdopt))
				}
			}
		}
	case n < 17:
		w.pluginDies()
	case n < 18:
		w.broken = w.percent(60)
	case n < 19:
		w.take(pick(w, portFree, portGateway, portStranger))
	case n < 20:
		w.take(portFree)
	case n < 21:
		w.stall(w.between(time.Second, 5*time.Minute))
	case p == nil: // the rest needs a process
	case n < 28:
		w.end(p, w.anExit())
	case n < 30:
		if !p.hung {
			w.hang(p)
		}
	case n < 31:
		p.hung = false
	case n < 33:
		if p.watched {
			w.loseShim(p)
		}
	case n < 37:
		for _, s := range w.sessions {
			if !s.over {
				w.closed(s, w.between(time.Millisecond, 50*time.Millisecond), engine.SessionEnd{Code: 1006})
			}
		}
	case n < 41:
		if p.bound && !p.hung {
			w.reload(p)
			if w.percent(30) { // an operator who does not wait for that
				w.pass(w.between(time.Millisecond, 10*time.Second), nil)
				w.operate(pick(w, cmdStop, cmdDrain, cmdRestart, cmdReload))
			}
		}
	case n < 42: // the gateway stops by itself, and says so
		for _, s := range w.sessions {
			if s.of == p {
				w.closed(s, time.Millisecond, engine.SessionEnd{Code: 1001, Announce: lc.AnnounceStop})
			}
		}
		w.later(p, w.between(time.Millisecond, 5*time.Second), func() { w.end(p, plugin.Exit{}) })
	case n < 46:
		w.operate(pick(w, cmdReload, cmdReload, cmdEdited, cmdChanged))
	default:
		for range 1 + w.rng.IntN(20) {
			w.say(p, pick(w, "words", "words", "words", "channels-suppressed", "config-invalid", "zombie"))
		}
	}
}

// plugins makes plugins of the gateway fail, or run again, and has the host look.
func (w *world) plugins() {
	w.mu.Lock()
	w.pluginsDown = pick(w, nil, []string{"utility"}, []string{"doctor"}, []string{"utility", "doctor", "spare"})
	w.mu.Unlock()
	w.note("world: plugins that are down: %v", w.pluginsDown)
	w.host.engine.Look()
}

// pluginsNow is a port of the engine.
func (w *world) pluginsNow() []observe.Plugin {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []observe.Plugin
	for _, name := range w.pluginsDown {
		out = append(out, observe.Plugin{Name: name, Problem: "exit status 1"})
	}
	return out
}

// pings has sessions leave some pings unanswered, or answer again.
func (w *world) pings() {
	for _, s := range w.sessions {
		if s.over {
			continue
		}
		w.mu.Lock()
		s.unanswered = w.rng.IntN(4)
		w.mu.Unlock()
		s.reads <- s.events.Pings
	}
}

func (w *world) operate(kind string) {
	if w.host != nil && !w.failed() {
		w.command(kind)
	}
}

// life is one schedule.
func (w *world) life() {
	defer w.close()
	w.inherit()
	w.startHost()
	if w.percent(95) {
		w.operate(pick(w, cmdAuto, cmdAuto, cmdAdopt))
	}
	for range 10 + w.rng.IntN(30) {
		var gap time.Duration
		switch n := w.rng.IntN(20); {
		case n < 9:
			gap = w.between(time.Millisecond, 500*time.Millisecond)
		case n < 16:
			gap = w.between(500*time.Millisecond, 20*time.Second)
		case n < 19:
			gap = w.between(20*time.Second, 2*time.Minute)
		default:
			gap = w.between(2*time.Minute, 20*time.Minute)
		}
		w.pass(gap, nil)
		if w.failed() {
			return
		}
		w.act()
	}
	if !w.failed() {
		w.settle()
	}
}

// settle ends the faults and checks what must hold then.
func (w *world) settle() {
	w.note("CALM: no more faults")
	w.calm, w.broken, w.fickle, w.down = true, false, false, time.Time{}
	w.take(portFree)
	if w.places == 2 { // the other container ends some day, and the host is not told
		w.after(w.between(time.Second, mostStalled), func() { w.endPlace(3 - w.place) })
	}
	if w.host == nil {
		w.startHost()
		w.command(cmdStart)
	}
	for _, step := range []func(){
		w.comesToRest, w.forgets, w.comesToRest, w.canBeStarted, w.forgets, w.staysUp, w.canBeRestarted,
		w.canBeReloaded, w.isAdopted, w.canBeStopped, w.staysDown, w.leavesNothing,
	} {
		if step(); w.failed() {
			return
		}
	}
}

func (w *world) state() lc.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.host.state
}

// up reports whether a gateway really runs: not only by the state.
func (w *world) up() bool {
	s := w.state()
	p := w.procs[string(s.Launch)]
	return s.Phase == lc.PhaseRunning && p != nil && p.live && p.bound && !p.hung && w.connected() != nil &&
		w.connected().of == p
}

// connected is the session that the engine has and that lives.
func (w *world) connected() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		if s.handed && !s.over && !s.closed {
			return s
		}
	}
	return nil
}

// comesToRest: whatever happened, without faults the wanted gateway comes up by itself, unless the policy says that
// nothing more is tried.
func (w *world) comesToRest() {
	ok := w.pass(settleBound, func() bool {
		s := w.state()
		switch {
		case s.Up && w.up():
		case s.Phase == lc.PhaseError && s.Up && s.Err.Code == "elsewhere": // it must come up when that one has ended
			return false
		case s.Phase == lc.PhaseStopped && !s.Up:
		// an attached one that ended for good: only an operator starts an owned one
		case s.Phase == lc.PhaseError && s.Attached:
		case s.Phase == lc.PhaseError && (s.Err.Fatal || !s.Up || w.policy.SlowRetry == 0):
		default:
			return false
		}
		return w.answered()
	})
	if !ok {
		s := w.state()
		w.fail("liveness",
			"without faults for %v: phase %s, error %+v, flow %q, wanted %v, pending %v, all commands answered %v",
			settleBound, s.Phase, s.Err, s.Flow, s.Up, s.Pending, w.answered())
	}
}

// forgets lets what was drawn before the calm come to pass.
func (w *world) forgets() { w.pass(2*mostStalled, nil) }

func (w *world) answered() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.commands, func(c *command) bool { return c.gen == w.hosts && !c.returned })
}

// obey gives a command in the calm: it must succeed.
func (w *world) obey(kind string, done func() bool) *command {
	c := w.command(kind)
	if !w.pass(settleBound, func() bool { return w.answered() && done() }) {
		s := w.state()
		w.fail("liveness", "%s without faults, after %v: phase %s, flow %q, wanted %v, pending %v, answered %v %s",
			kind, settleBound,
			s.Phase, s.Flow, s.Up, s.Pending, w.answered(), c.outcome.Kind)
		return c
	}
	if c.err != nil || c.outcome.Kind == lc.OutcomeFailed || c.outcome.Kind == lc.OutcomeSuperseded {
		w.fail("4", "%s without faults is answered %s %v %v", kind, c.outcome.Kind, c.outcome.Problem, c.err)
	}
	return c
}

func (w *world) canBeStarted() {
	if !w.up() && len(w.live()) > 0 { // what is left may hang: an attempt of this start may be needed to find that out
		w.command(cmdStart)
		// It may come to running on a process that is silent from then on; a policy without slow attempts ends in error
		// then.
		w.pass(settleBound, func() bool { return w.answered() && (w.up() || w.state().Phase == lc.PhaseError) })
	}
	if !w.up() && !w.failed() {
		w.obey(cmdStart, w.up)
	}
}

func (w *world) staysUp() {
	before, session := w.state(), w.connected()
	w.pass(quietFor, nil)
	if s := w.state(); !w.failed() && (!w.up() || s.Launch != before.Launch || w.connected() != session) {
		w.fail(
			"needless", "a healthy gateway was not left alone: %s %s -> %s %s", before.Launch, before.Phase, s.Launch,
			s.Phase,
		)
	}
}

func (w *world) canBeRestarted() {
	before := w.state().Launch
	w.obey(cmdRestart, w.up)
	if !w.failed() && w.state().Launch == before {
		w.fail("4", "a restart was answered, and %s is still there", before)
	}
}

func (w *world) canBeReloaded() { w.obey(pick(w, cmdReload, cmdEdited), w.up) }

// isAdopted: the next host goes on with the gateway of the one that was killed, if that is wanted.
func (w *world) isAdopted() {
	before := w.state().Launch
	w.killHost()
	if w.failed() {
		return
	}
	w.pass(w.between(time.Millisecond, 10*time.Second), nil)
	w.say(w.procs[string(before)], "said without a host")
	w.startHost()
	switch w.rng.IntN(4) {
	case 0:
		w.obey(cmdRestart, w.up)
		return
	case 1:
		w.obey(cmdStop, func() bool { return w.state().Phase == lc.PhaseStopped })
		return
	}
	w.obey(pick(w, cmdStart, cmdAuto, cmdAdopt), w.up)
	if s := w.state(); !w.failed() && (s.Launch != before || !s.Adopted) {
		w.fail("needless", "%s lived and was not adopted: %s", before, s.Launch)
	}
}

func (w *world) canBeStopped() {
	w.obey(pick(w, cmdStop, cmdStopNow, cmdDrain), func() bool { return w.state().Phase == lc.PhaseStopped })
}

func (w *world) staysDown() {
	steps := w.host.steps
	w.pass(quietFor, nil)
	for _, p := range w.live() {
		w.fail("6", "%s lives %v after a stop", p.id, quietFor)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// the last answers of what was cancelled may come
	if s := w.host.state; s.Phase != lc.PhaseStopped || w.host.steps > steps+20 {
		w.failLocked("6", "%v after a stop: phase %s, %d steps", quietFor, s.Phase, w.host.steps-steps)
	}
}

func (w *world) leavesNothing() {
	w.killHost()
	if w.failed() {
		return
	}
	for id, p := range w.procs {
		switch {
		case p.gateway == ours:
			w.fail("left", "launch %s was not released", id)
		case !p.live:
			w.fail("3", "launch %s, which belongs to gateway %s, was ended", id, p.gateway)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.outputs {
		if n != 0 {
			w.failLocked("left", "the output of %s is open %d times", id, n)
		}
	}
	for _, s := range w.sessions {
		if s.handed && !s.over && !s.closed {
			w.failLocked("left", "session %d is open", s.n)
		}
	}
	for _, c := range w.commands {
		if !c.returned || c.replies > 1 || c.replies == 0 && c.err == nil {
			w.failLocked("4", "command %d (%s) was answered %d times", c.n, c.kind, c.replies)
		}
	}
	for id, gen := range w.prepared {
		if gen == w.hosts {
			w.failLocked("left", "the identity %s was not discarded", id)
		}
	}
}

// close ends what a violation may have left, so that the bubble can end.
func (w *world) close() {
	defer func() {
		for _, s := range w.sessions {
			s.hangUp()
		}
	}()
	if w.host == nil {
		return
	}
	w.host.cancel()
	for range 1000 {
		if w.locked(func() bool { return w.host.ended }) {
			return
		}
		// Whatever it is, it is answered now.
		w.sweep()
	}
	panic(fmt.Sprintf("seed %d: the engine cannot be ended\n%s", w.seed, w.history()))
}

// sweep answers all calls.
func (w *world) sweep() {
	time.Sleep(time.Second)
	synctest.Wait()
	w.mu.Lock()
	w.running, w.fresh = append(w.running, w.fresh...), nil
	w.mu.Unlock()
	for _, c := range slices.Clone(w.running) {
		w.answer(c, answer{err: fault.New(fault.PluginGone, "the schedule is over")})
	}
}
