package sim_test

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/launcher"
)

// world is everything around the engines of one schedule. The driver goroutine owns it; mu is for what goroutines of an
// engine touch.
type world struct {
	seed   uint64
	rng    *rand.Rand
	t0     time.Time
	policy lc.Policy
	faults int  // in a hundred calls
	calm   bool // no more faults: answers are good and nothing happens by itself

	events queue
	seq    int64 // of events; also their place below the millisecond
	wake   chan struct{}

	procs    map[string]*proc // by launch id; released ones are gone
	order    []string         // of procs
	launches int
	plans    int // that diagnoses have proposed
	pids     int
	prepared map[string]int // identities that were made durable and not discarded, by the host that did
	foreign  port           // who has the port besides our gateways
	bootIDs  bool           // this release of the gateway has them
	broken   bool           // the configuration file
	fickle   bool           // gateways take each session and drop it
	skew     time.Duration  // what the wall clock has been set by; the engine's own clock has not
	down     time.Time      // until when no launcher plugin can be asked

	pluginsDown []string // guarded by mu

	stalled  time.Duration // in all
	sessions []*session
	running  []*call // calls that have not been answered
	host     *host
	hosts    int
	places   int // 2: there are two pid namespaces that share the state directory, with a host in one of them
	place    int // in which the host is, or was: 1 or 2
	commands []*command

	mu      sync.Mutex // guards all below
	fresh   []*call    // registered since the driver looked
	ended   []*call    // whose ctx is done
	closes  []*session // that the host closed
	journal map[string]uint64
	outputs map[string]int
	aligned map[string]bool // launches for which Align has returned
	log     []entry
	wrong   *violation
}

// port is who has the port.
type port int

const (
	portFree port = iota
	portGateway
	portStranger
)

// violation is a broken invariant.
type violation struct{ invariant, text string }

// entry is a line of the history, formatted only when it is printed.
type entry struct {
	at   time.Time
	text string
	args []any
}

func newWorld(seed uint64) *world {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), t0: time.Now(), wake: make(chan struct{}, 1),
		procs: map[string]*proc{}, prepared: map[string]int{}, journal: map[string]uint64{}, outputs: map[string]int{},
		aligned: map[string]bool{},
	}
	w.place, w.places = 1, pick(w, 1, 1, 1, 2)
	w.faults = pick(w, 0, 2, 5, 10, 25)
	p := lc.DefaultPolicy()
	// Whole milliseconds that no other timer has: two timers of one step must not fire at one instant.
	odd := func(d time.Duration) time.Duration { return d + time.Duration(1+w.rng.IntN(997))*time.Millisecond }
	p.ProbeInterval = odd(time.Second) // few steps where nothing happens
	p.StartAttempts = 1 + w.rng.IntN(3)
	p.RetryDelay, p.NoProgress, p.StartTimeout = odd(p.RetryDelay), odd(p.NoProgress), odd(p.StartTimeout)
	p.BackoffBase, p.BackoffMax = odd(p.BackoffBase), odd(p.BackoffMax)
	p.ReconnectAttempts = w.rng.IntN(4)
	p.StableAfter, p.Grace, p.Silence = odd(p.StableAfter), odd(5*time.Second), odd(p.Silence)
	p.RejoinWithin, p.RestartSlack = odd(p.RejoinWithin), odd(p.RestartSlack)
	p.RestartCooldown, p.ReloadSettle, p.ReloadMinAge = odd(p.RestartCooldown), odd(p.ReloadSettle), odd(p.ReloadMinAge)
	p.RepairSettle, p.Jitter = odd(p.RepairSettle), pick(w, 0, 0.2)
	p.SlowRetry = pick(w, 0, odd(p.SlowRetry), odd(p.SlowRetry))
	p.Repair = pick(w, lc.RepairAuto, lc.RepairAuto, lc.RepairAuto, lc.RepairAsk, lc.RepairOff)
	p.OnConflict = pick(w, lc.ConflictAttach, lc.ConflictFail)
	p.OnShimLoss = pick(w, lc.ShimLossRestart, lc.ShimLossKeep)
	w.policy = p
	w.bootIDs = w.percent(70)
	return w
}

func pick[T any](w *world, of ...T) T { return of[w.rng.IntN(len(of))] }

// percent is true n times in a hundred.
func (w *world) percent(n int) bool { return w.rng.IntN(100) < n }

// between is a duration of that order: each power of two is as likely as any other.
func (w *world) between(from, to time.Duration) time.Duration {
	n := 0
	for from<<n < to {
		n++
	}
	d := from << w.rng.IntN(n+1)
	return min(d+time.Duration(w.rng.Int64N(int64(d)+1)), to)
}

func (w *world) note(text string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(text, args...)
}

func (w *world) noteLocked(text string, args ...any) {
	w.log = append(w.log, entry{time.Now(), text, args})
}

// fail keeps the first violation; the driver ends the schedule when it sees it.
func (w *world) fail(invariant, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failLocked(invariant, format, args...)
}

func (w *world) failLocked(invariant, format string, args ...any) {
	if w.wrong == nil {
		w.wrong = &violation{invariant, fmt.Sprintf(format, args...)}
		w.noteLocked("VIOLATION of %s: %s", invariant, w.wrong.text)
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong != nil
}

// history is the schedule for people. Lines of one instant are sorted: they have no order.
func (w *world) history() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := make([]string, len(w.log))
	for i, e := range w.log {
		lines[i] = fmt.Sprintf("%18.9f ", e.at.Sub(w.t0).Seconds()) + fmt.Sprintf(e.text, e.args...)
	}
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && w.log[j].at.Equal(w.log[i].at) {
			j++
		}
		slices.Sort(lines[i:j])
		i = j
	}
	return strings.Join(lines, "\n")
}

// event is something that the driver does at its instant.
type event struct {
	at time.Time
	do func()
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// instant is a moment d from now that no other event has.
func (w *world) instant(d time.Duration) time.Time {
	w.seq++
	now := time.Now()
	since := now.Add(d).Sub(w.t0).Truncate(time.Millisecond) + time.Duration(w.seq%1_000_000)
	at := w.t0.Add(since)
	if !at.After(now) {
		at = at.Add(time.Millisecond)
	}
	return at
}

// after queues an event. Events are never withdrawn: each looks whether it still means something.
func (w *world) after(d time.Duration, do func()) { heap.Push(&w.events, event{w.instant(d), do}) }

// stall puts off all that is queued.
func (w *world) stall(d time.Duration) {
	d = min(d.Truncate(time.Millisecond), mostStalled-w.stalled)
	w.stalled += d
	w.note("world: everything is %v late", d)
	for i := range w.events {
		w.events[i].at = w.events[i].at.Add(d)
	}
}

// pass lets the world go on for d, or until enough says so.
func (w *world) pass(d time.Duration, enough func() bool) bool {
	end := w.instant(d)
	for {
		synctest.Wait()
		w.look()
		if w.failed() || enough != nil && enough() {
			return true
		}
		next := end
		if len(w.events) > 0 && w.events[0].at.Before(end) {
			next = w.events[0].at
		}
		if wait := time.Until(next); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-w.wake: // something was registered
				timer.Stop()
				continue
			}
		}
		synctest.Wait() // orders what goroutines did before what the driver does now
		if next.Equal(end) {
			return enough != nil && enough() // a timer of the engine does not wake the driver
		}
		heap.Pop(&w.events).(event).do()
	}
}

// look takes up what goroutines of the engine registered; the bubble is at rest.
func (w *world) look() {
	select {
	case <-w.wake:
	default:
	}
	w.mu.Lock()
	fresh, ended, closes := w.fresh, w.ended, w.closes
	w.fresh, w.ended, w.closes = nil, nil, nil
	w.mu.Unlock()
	slices.SortFunc(fresh, compareCalls)
	for _, c := range fresh {
		w.running = append(w.running, c)
		w.note("call %s %s", c.kind, c.id)
		w.plan(c)
	}
	slices.SortFunc(ended, compareCalls)
	for _, c := range ended {
		w.giveUp(c)
	}
	slices.SortFunc(closes, func(a, b *session) int { return cmp.Compare(a.n, b.n) })
	for _, s := range closes {
		w.closing(s)
	}
}

// compareCalls orders what was registered at one instant. Calls that are equal here are equal altogether.
func compareCalls(a, b *call) int {
	ends, _ := a.ctx.Deadline()
	other, _ := b.ctx.Deadline()
	return cmp.Or(
		ends.Compare(other), cmp.Compare(a.gen, b.gen), strings.Compare(a.kind, b.kind), strings.Compare(a.id, b.id),
		cmp.Compare(a.arg, b.arg),
	)
}

func (w *world) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// call is one call of an engine into the world.
type call struct {
	kind, id string
	arg      int64
	gen      int // the host that called
	ctx      context.Context
	answers  chan answer
	told     bool                 // the driver knows that ctx is done
	events   engine.SessionEvents // of a dial

	// Of the driver.
	effect func() answer // changes the world and says what there is to answer; nil once it has happened
	result answer
	did    bool
	closed bool // answered
	stream *stream
	start  time.Time
}

// answer is what a caller gets: a value, an error, or the next item of a stream.
type answer struct {
	value any
	err   error
}

// ask registers a call and waits for its answer.
func (w *world) ask(c *call) answer {
	w.register(c)
	return w.next(c)
}

func (w *world) register(c *call) {
	c.answers = make(chan answer, 4) // more than a driver ever has under way for one caller
	w.mu.Lock()
	w.fresh = append(w.fresh, c)
	w.mu.Unlock()
	w.poke()
}

// next waits for an answer. When ctx is done the driver is told, and decides what comes then: also a port that honours
// its ctx needs a moment, and may have an answer by then.
func (w *world) next(c *call) answer {
	if !c.told {
		select {
		case a := <-c.answers:
			return a
		case <-c.ctx.Done():
		}
		c.told = true
		w.mu.Lock()
		w.ended = append(w.ended, c)
		w.mu.Unlock()
		w.poke()
	}
	return <-c.answers
}

// answer ends a call.
func (w *world) answer(c *call, a answer) {
	if c.closed {
		return
	}
	c.closed = true
	if o, ok := c.result.value.(opened); ok && a.err != nil {
		o.s.hangUp() // it is not handed out
	}
	w.running = slices.DeleteFunc(w.running, func(other *call) bool { return other == c })
	w.note("answer %s %s: %v", c.kind, c.id, a)
	c.answers <- a
}

// happen makes a call's effect true, once.
func (w *world) happen(c *call) {
	if c.did || c.closed || c.effect == nil {
		return
	}
	c.did = true
	w.note("effect of %s %s", c.kind, c.id)
	c.result = c.effect()
}

// String has no addresses: two runs of a seed have one history.
func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	switch v := a.value.(type) {
	case launcher.Launched:
		return about(v.Instance)
	case launcher.Instance:
		return about(v)
	case launcher.Listing:
		var out []string
		for _, i := range v.Instances {
			out = append(out, about(i))
		}
		return fmt.Sprint(out)
	case item:
		if end, ok := v.item.(*launcher.End); ok {
			return fmt.Sprintf("end at %d: %v", end.EndCursor, end.Exit)
		}
		return "end"
	case opened:
		return fmt.Sprintf("session %d", v.s.n)
	case nil:
		return "ok"
	default:
		return fmt.Sprintf("%+v", v)
	}
}

func about(i launcher.Instance) string { return i.LaunchID + " " + i.Phase.String() }
