package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// proc is a launched gateway. It stays after its end, until it is released.
type proc struct {
	id, gateway string
	pid         int
	started     time.Time
	live        bool
	watched     bool // its shim lives
	place       int  // the pid namespace that it is in
	bound       bool // it has the port and takes sessions
	half        bool // it has the port and says that it is still starting
	hung        bool
	boots       int           // generations within this process
	stubborn    bool          // only SIGKILL ends it
	skew        time.Duration // of the wall clock when it began
	calm        bool          // began when there were no more faults
	lives       int           // counts what makes queued events of its life void: a hang, a restart in place
	exit        plugin.Exit
	lines       []plugin.Line
	end         uint64
	streams     []*stream
	stops       []*call // answered when it has ended
}

// start brings a process to life that does nothing yet.
func (w *world) start(id, gateway string) *proc {
	w.pids++
	p := &proc{
		id: id, gateway: gateway, pid: 1000 + w.pids, started: time.Now(), live: true, watched: true, calm: w.calm,
		skew: w.skew, stubborn: !w.calm && w.percent(8), place: w.place,
	}
	w.procs[id], w.order = p, append(w.order, id)
	w.note("world: %s lives", id)
	return p
}

// later is an event of a process's present life.
func (w *world) later(p *proc, d time.Duration, do func()) {
	lives := p.lives
	w.after(d, func() {
		if p.live && !p.hung && p.lives == lives {
			do()
		}
	})
}

// boot draws how a start goes.
func (w *world) boot(p *proc) {
	soon := w.between(50*time.Millisecond, 2*time.Second)
	if w.broken {
		w.later(p, soon, func() {
			w.say(p, "config-invalid")
			w.end(p, plugin.Exit{Code: 78})
		})
		return
	}
	if w.calm {
		w.later(p, soon, func() { w.serve(p) })
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.later(p, soon/2, func() { p.half = true })
		w.later(p, w.between(100*time.Millisecond, 15*time.Second), func() { w.serve(p) })
	case n < 75:
		w.later(p, w.between(20*time.Millisecond, 20*time.Second), func() { w.end(p, w.anExit()) })
	case n < 80: // stuck, in silence
	case n < 83:
		w.chatter(p, 1000)
	case n < 88: // slow
		w.chatter(p, 10)
		w.later(p, w.between(60*time.Second, 200*time.Second), func() { w.serve(p) })
	default: // soon lost again
		w.later(p, soon, func() { w.serve(p) })
		w.later(p, soon+w.between(time.Second, 50*time.Second), func() { w.end(p, w.anExit()) })
	}
}

func (w *world) chatter(p *proc, lines int) {
	if lines > 0 {
		w.later(p, w.between(10*time.Second, 60*time.Second), func() {
			w.say(p, "still at it")
			w.chatter(p, lines-1)
		})
	}
}

// serve takes the port, if it is to be had.
func (w *world) serve(p *proc) {
	if w.foreign != portFree {
		w.say(p, "port-conflict")
		w.end(p, plugin.Exit{Code: 1})
		return
	}
	p.bound, p.half = true, false
	w.say(p, "ready")
}

func (w *world) anExit() plugin.Exit {
	return pick(w, plugin.Exit{Code: 1}, plugin.Exit{}, plugin.Exit{Code: 78}, plugin.Exit{Signal: "SIGKILL"})
}

func (w *world) say(p *proc, text string) {
	p.end += uint64(len(text)) + 1
	p.lines = append(p.lines, plugin.Line{Cursor: p.end, Time: time.Now(), Stream: plugin.Stderr, Text: text})
	w.pumpAll(p)
}

func (w *world) pumpAll(p *proc) {
	for _, st := range p.streams {
		w.pump(st)
	}
}

// end ends a process, as the kernel would.
func (w *world) end(p *proc, exit plugin.Exit) {
	if !p.live {
		return
	}
	exit.Known, exit.At = p.watched, time.Now()
	p.live, p.bound, p.half, p.exit = false, false, false, exit
	w.note("world: %s ends: %v", p.id, exit)
	for _, s := range w.sessions {
		if s.of == p && (w.calm || !w.percent(10)) { // else half open: no close arrives
			w.closed(s, w.between(time.Millisecond, 500*time.Millisecond), engine.SessionEnd{Code: 1006})
		}
	}
	w.pumpAll(p)
	for _, c := range p.stops {
		w.after(w.between(time.Millisecond, 50*time.Millisecond), func() { w.complete(c) })
	}
	p.stops = nil
}

// term ends a process by SIGTERM, and after grace by SIGKILL.
func (w *world) term(p *proc, grace time.Duration) {
	took := grace
	if !p.hung && !p.stubborn {
		took = min(grace, w.between(5*time.Millisecond, 3*time.Second))
	}
	w.after(took, func() {
		exit := plugin.Exit{}
		if took == grace {
			exit.Signal = "SIGKILL"
		}
		w.end(p, exit)
	})
}

// hang stops a process as SIGSTOP does: its port takes connections and nothing answers.
func (w *world) hang(p *proc) {
	p.hung = true
	p.lives++
	w.note("world: %s hangs", p.id)
}

// reload restarts a gateway in its own process, announced.
func (w *world) reload(p *proc) {
	expected := w.between(100*time.Millisecond, 20*time.Second)
	w.note("world: %s restarts in place, expected %v", p.id, expected)
	p.bound = false
	p.lives++
	p.boots++
	end := engine.SessionEnd{Code: 1012, Announce: lc.AnnounceRestart, Expected: expected}
	if w.percent(30) {
		end.Expected = 0
	}
	for _, s := range w.sessions {
		if s.of == p {
			w.closed(s, w.between(time.Millisecond, 50*time.Millisecond), end)
		}
	}
	switch n := w.rng.IntN(10); {
	case n < 6 || w.calm:
		w.later(p, expected, func() { w.serve(p) })
	case n < 7:
		w.later(p, expected*3, func() { w.serve(p) })
	case n < 8:
		w.later(p, expected/2, func() { w.end(p, w.anExit()) })
	case n < 9:
		for range 3 {
			w.later(p, w.between(expected/4, 2*expected), func() { w.say(p, "zombie") })
		}
	default: // its port stays closed
	}
}

// askedToReload is a reload by the session's gateway, as far as it does what it says.
func (w *world) askedToReload(c *call) answer {
	s := w.sessions[c.arg]
	p := s.of
	switch {
	case s.over:
		return answer{err: engine.ErrNotConnected}
	case p == nil || !w.calm && w.percent(15):
		return answer{err: fault.New(fault.Unsupported, "this release cannot")}
	case !w.calm && w.percent(10): // it says so and does nothing
	case !w.calm && w.percent(10): // it only drops its connections
		w.closed(s, w.between(time.Millisecond, 2*time.Second), engine.SessionEnd{Code: 1006})
	default:
		w.later(p, w.between(time.Millisecond, 4*time.Second), func() {
			if p.bound {
				w.reload(p)
			}
		})
	}
	return answer{}
}

// loseShim kills the shim of a process.
func (w *world) loseShim(p *proc) {
	p.watched = false
	w.note("world: the shim of %s dies", p.id)
	w.pumpAll(p)
}

// endPlace ends a pid namespace, as the end of a container does: the kernel kills all that is in it.
func (w *world) endPlace(place int) {
	w.note("world: place %d ends", place)
	for _, id := range w.order {
		if p := w.procs[id]; p.live && p.gateway == ours && p.place == place {
			if p.watched {
				w.loseShim(p)
			}
			w.end(p, plugin.Exit{})
		}
	}
}

// serving is our gateway that has the port in the host's place; nil without. Each place has a network of its own.
func (w *world) serving() *proc {
	for _, id := range w.order {
		if p := w.procs[id]; p.live && p.bound && p.gateway == ours && p.place == w.place {
			return p
		}
	}
	return nil
}

func (w *world) holder() held {
	problem := lc.Problem{Code: "port_conflict", Message: "the port is held by pid 7"}
	switch {
	case w.serving() != nil, w.foreign == portGateway:
		return held{lc.HolderGateway, problem}
	case w.foreign == portStranger:
		return held{lc.HolderStranger, problem}
	default:
		return held{holder: lc.HolderNone}
	}
}

func (w *world) readiness() lc.Readiness {
	if p := w.serving(); p != nil {
		if p.hung {
			return lc.ReadinessOpen
		}
		return pick(w, lc.ReadinessReady, lc.ReadinessReady, lc.ReadinessReady, lc.ReadinessOpen)
	}
	switch w.foreign {
	case portGateway:
		return lc.ReadinessReady
	case portStranger:
		return lc.ReadinessOpen
	default:
	}
	for _, id := range w.order {
		if p := w.procs[id]; p.live && p.half && p.place == w.place {
			return lc.ReadinessStarting
		}
	}
	return lc.ReadinessClosed
}

// take gives the port to another program, or frees it.
func (w *world) take(by port) {
	if by != portFree && w.serving() != nil {
		return
	}
	w.note("world: the port is now of %d", by)
	w.foreign = by
	if by == portGateway {
		return
	}
	for _, s := range w.sessions {
		if s.of == nil {
			w.closed(s, w.between(time.Millisecond, 500*time.Millisecond), engine.SessionEnd{Code: 1006})
		}
	}
}

func (w *world) diagnosis() lc.Diagnosed {
	d := lc.Diagnosed{Found: true, Problem: lc.Problem{Code: "drawn", Message: "a doctor's finding"}}
	switch n := w.rng.IntN(20); {
	case w.broken:
		if d.Problem.Code = "config_invalid"; w.calm || n > 0 {
			d.Plan = w.newPlan()
		}
		d.Problem.Fatal = n == 1
	case w.foreign != portFree && n < 15:
		d.OtherOwner = true
	case w.calm || n < 12:
		return lc.Diagnosed{}
	case n < 16:
	case n < 18:
		d.Plan = w.newPlan()
	case n < 19:
		d.Problem.Fatal = true
	default:
		d.OtherOwner = true
	}
	return d
}

func (w *world) newPlan() lc.PlanID {
	w.plans++
	return lc.PlanID(fmt.Sprintf("P%d", w.plans))
}

// repair executes a plan: it must be the one that the diagnosis of this start proposed.
func (w *world) repair(c *call) answer {
	if want := w.locked(func() bool { return w.host.books.plan == lc.PlanID(c.id) }); !want {
		w.fail("7", "plan %q is executed, the diagnosis of this start proposed another", c.id)
	}
	if w.calm || !w.percent(25) {
		w.broken = false
	}
	return answer{}
}

// session is one connection of a host with a gateway.
type session struct {
	h      hostPorts
	n      int
	of     *proc // nil: of the gateway that is not ours
	events engine.SessionEvents
	reads  chan func() // what the one goroutine that reports does next
	over   bool        // Closed was or will never be called

	// Guarded by world.mu.
	handed bool // the engine has it

	unanswered int  // pings in a row
	closed     bool // the engine closed it
}

type opened struct {
	s     *session
	hello lc.Hello
}

// openSession is the effect of a dial.
func (w *world) openSession(c *call) answer {
	p := w.serving()
	retry := &engine.Refused{Retryable: true, Problem: lc.Problem{Code: "refused", Message: "try again"}}
	retry.RetryAfter = w.between(time.Millisecond, 3*time.Second)
	plain := fault.New(fault.Unavailable, "the socket was not to be had")
	switch {
	case p == nil && w.foreign == portStranger:
		return answer{err: plain}
	case p == nil && w.foreign == portFree:
		if w.percent(50) {
			return answer{err: plain}
		}
		return answer{err: retry}
	}
	if !w.calm {
		switch w.rng.IntN(40) {
		case 0:
			return answer{
				err: &engine.Refused{Problem: lc.Problem{Code: "unauthorized", Message: "drawn", Fatal: true}},
			}
		case 1:
			return answer{err: plain}
		case 2, 3:
			return answer{err: retry}
		default:
		}
	}
	s := &session{h: hostPorts{w, c.gen}, n: len(w.sessions), of: p, events: c.events}
	s.reads = make(chan func(), 4) // the engine takes each within its instant
	w.sessions = append(w.sessions, s)
	go func() {
		for report := range s.reads {
			report()
		}
	}()
	w.note("world: session %d opens", s.n)
	w.tick(s)
	if w.fickle {
		w.closed(s, w.between(time.Millisecond, 50*time.Millisecond), pick(w,
			engine.SessionEnd{Code: 1006}, engine.SessionEnd{Code: 1008}, engine.SessionEnd{Code: 1006},
			engine.SessionEnd{Code: 1012, Announce: lc.AnnounceRestart}))
	}
	hello := lc.Hello{Protocol: 4, ConnID: strconv.Itoa(s.n)}
	if p != nil && w.bootIDs {
		hello.BootID = fmt.Sprintf("%s.%d", p.id, p.boots)
	}
	return answer{value: opened{s, hello}}
}

// silent reports whether the program that would answer c says nothing.
func (w *world) silent(c *call) bool {
	switch c.kind {
	case callOpen:
		p := w.serving()
		return p != nil && p.hung
	case callVerify, callReload, callDrain, callShutdown:
		s := w.sessions[c.arg]
		return !s.over && s.of != nil && (s.of.hung || !s.of.live)
	default:
		return false
	}
}

// tick is the sign of life that a gateway sends now and then.
func (w *world) tick(s *session) {
	often := w.between(10*time.Second, 60*time.Second)
	if w.calm {
		often = 2 * time.Minute // hours pass: often enough not to be taken for silence
	}
	w.after(often, func() {
		if s.over {
			return
		}
		if s.of == nil || s.of.live && !s.of.hung {
			s.reads <- s.events.Alive
		}
		w.tick(s)
	})
}

// closed ends a session a little later.
func (w *world) closed(s *session, d time.Duration, end engine.SessionEnd) {
	w.after(d, func() {
		if s.over {
			return
		}
		w.note("world: session %d is closed: %d", s.n, end.Code)
		s.over = true // before the engine hears of it: its steps look at the world
		s.reads <- func() { s.events.Closed(end) }
		close(s.reads)
	})
}

// hangUp ends the reports of a session.
func (s *session) hangUp() {
	if !s.over {
		s.over = true
		close(s.reads)
	}
}

// closing is what comes of Session.Close: its Closed may take long.
func (w *world) closing(s *session) {
	d := w.between(time.Millisecond, 500*time.Millisecond)
	if !w.calm && w.percent(30) {
		d = w.between(time.Second, 60*time.Second)
	}
	w.closed(s, d, engine.SessionEnd{Code: 1000})
}

func (d dialer) Open(ctx context.Context, _ int, events engine.SessionEvents) (engine.Session, lc.Hello, error) {
	o, err := valueOf[opened](d.w.ask(&call{kind: callOpen, gen: d.gen, ctx: ctx, events: events}))
	if err != nil {
		return nil, lc.Hello{}, err
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	o.s.handed = true
	return o.s, o.hello, nil
}

func (s *session) Call(ctx context.Context, _ string, _ json.RawMessage) (json.RawMessage, error) {
	return json.RawMessage(`{}`), s.h.call(ctx, callVerify, strconv.Itoa(s.n), int64(s.n)).err
}

// Stats has the pings that were not answered; all other figures are zero.
func (s *session) Stats() engine.SessionStats {
	s.h.w.mu.Lock()
	defer s.h.w.mu.Unlock()
	var st engine.SessionStats
	st.Unanswered = s.unanswered
	return st
}

func (s *session) Close() {
	w := s.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	w.closes = append(w.closes, s)
	w.poke()
}
