package sim_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// The gateways that the launcher knows: the engine's, and one that another host has with the same launcher.
const (
	ours   = "main"
	theirs = "other"
)

// The kinds of calls.
const (
	callList     = "launcher.List"
	callRecover  = "launcher.Recover"
	callInspect  = "launcher.Inspect"
	callLaunch   = "launcher.Launch"
	callStop     = "launcher.Stop"
	callRelease  = "launcher.Release"
	callOutput   = "launcher.Output"
	callServices = "services.Clear"
	callHolder   = "probe.Holder"
	callReady    = "probe.Ready"
	callHooks    = "hooks.Run"
	callCheck    = "preflight.Check"
	callFree     = "probe.Free"
	callReload   = "control.Reload"
	callDrain    = "control.Drain"
	callShutdown = "control.Shutdown"
	callPrepare  = "launches.Prepare"
	callAlign    = "launches.Align"
	callRequest  = "launches.Request"
	callOpen     = "sessions.Open"
	callVerify   = "session.Call"
	callDrained  = "output.Drained"
	callDiagnose = "doctors.Diagnose"
	callRepair   = "doctors.Repair"
)

func (c *call) ofLauncher() bool {
	switch c.kind {
	case callList, callRecover, callInspect, callLaunch, callStop, callRelease, callOutput:
		return true
	default:
		return false
	}
}

// plan draws what becomes of a new call.
func (w *world) plan(c *call) {
	c.start = time.Now()
	switch c.kind {
	case callOutput:
		w.openStream(c)
		return
	case callDrained:
		c.effect = func() answer { return answer{} }
		w.after(w.between(time.Millisecond, 400*time.Millisecond), func() { w.complete(c) })
		return
	default:
		c.effect = w.effectOf(c)
	}
	delay := w.between(time.Millisecond, 200*time.Millisecond)
	if !w.calm && w.percent(6) {
		delay = w.between(time.Second, 100*time.Second) // late; beyond some deadlines
	}
	if c.kind == callDrain && w.percent(50) {
		delay = w.between(time.Second, 4*time.Minute) // there is work in flight
	}
	if c.ofLauncher() && time.Now().Before(w.down) {
		w.after(w.between(time.Millisecond, 50*time.Millisecond), func() { w.refuse(c, fault.PluginDown) })
		return
	}
	if w.calm || !w.percent(w.faults) {
		if !w.calm && w.percent(10) { // what it says is no longer new
			w.after(delay, func() { w.happen(c) })
			delay += w.between(time.Millisecond, 5*time.Second)
		}
		w.after(delay, func() { w.complete(c) })
		return
	}
	switch w.rng.IntN(5) {
	case 0:
		w.after(delay, func() { w.refuse(c, pick(w, fault.Unavailable, fault.Internal, fault.PermissionDenied)) })
	case 1: // unknown; it happened
		w.after(delay, func() { w.happen(c) })
		w.after(delay+w.between(time.Millisecond, time.Second), func() { w.refuse(c, fault.PluginGone) })
	case 2: // unknown; it did not happen
		w.after(delay, func() { w.refuse(c, fault.PluginGone) })
	case 3: // lost; it happened
		w.after(delay, func() { w.happen(c) })
	default: // lost
	}
}

// complete ends a call well.
func (w *world) complete(c *call) {
	if w.silent(c) {
		return
	}
	w.happen(c)
	if c.closed {
		return
	}
	if p := w.procs[c.id]; c.kind == callStop && p != nil {
		if p.live { // answered when nothing of it is left
			p.stops = append(p.stops, c)
			return
		}
		c.result = answer{value: launcher.Stopped{Exit: p.exit}}
	}
	w.answer(c, c.result)
}

// refuse ends a call with an error, as far as its port has errors.
func (w *world) refuse(c *call, code fault.Code) {
	if w.silent(c) {
		return
	}
	err := fault.New(code, "drawn by the simulator")
	if code == fault.PluginDown { // its program is not found: that says nothing of what it was asked for
		err.Cause = fault.New(fault.NotFound, "there is no such file")
	}
	switch c.kind {
	case callReady:
		w.answer(c, answer{value: lc.ReadinessClosed})
	case callDiagnose:
		w.answer(c, answer{value: lc.Diagnosed{}})
	default:
		w.answer(c, answer{err: err})
	}
}

// giveUp is what comes of a call whose ctx is done.
func (w *world) giveUp(c *call) {
	if c.closed {
		return
	}
	delay := w.between(time.Millisecond, 100*time.Millisecond)
	if !w.calm && w.percent(5) {
		delay = w.between(time.Second, 20*time.Second) // deaf, as in the middle of a fork
	}
	w.after(delay, func() {
		if c.stream == nil && w.percent(30) && c.kind != callVerify {
			w.happen(c) // the effect was faster than the cancellation
		}
		late := c.did && c.kind != callStop && w.percent(50)
		switch {
		case c.closed:
		case late:
			w.answer(c, c.result)
		case c.kind == callReady || c.kind == callDiagnose:
			w.refuse(c, fault.Cancelled)
		default:
			w.answer(c, answer{err: c.ctx.Err()})
		}
	})
}

// pluginDies ends every call into the launcher: what it was doing is unknown.
func (w *world) pluginDies() {
	w.down = time.Now().Add(w.between(10*time.Millisecond, 10*time.Second))
	w.note("world: the launcher's plugin dies")
	for _, c := range slices.Clone(w.running) {
		if !c.ofLauncher() {
			continue
		}
		w.after(w.between(time.Millisecond, 20*time.Millisecond), func() {
			if w.percent(40) {
				w.happen(c)
			}
			w.refuse(c, fault.PluginGone)
		})
	}
}

// effectOf is what a call does to the world and then answers.
func (w *world) effectOf(c *call) func() answer {
	switch c.kind {
	case callList:
		return func() answer {
			var l launcher.Listing
			for _, id := range w.order {
				l.Instances = append(l.Instances, w.instance(w.procs[id]))
			}
			return answer{value: l}
		}
	case callRecover, callInspect:
		return func() answer {
			p := w.procs[c.id]
			switch {
			case p == nil:
			case w.elsewhere(p):
				return answer{err: fault.New(fault.Conflict, c.id+" is in another place")}
			default:
				return answer{value: w.instance(p)}
			}
			return answer{err: fault.New(fault.NotFound, "there is no launch "+c.id)}
		}
	case callLaunch:
		return func() answer { return w.launch(c) }
	case callStop:
		return func() answer { return w.stop(c) }
	case callRelease:
		return func() answer { return w.release(c) }
	case callShutdown: // a gateway that is not ours may go, stay, or not know what is meant
		return func() answer {
			if w.percent(50) {
				return answer{err: fault.New(fault.Unsupported, "it knows no call to shut down")}
			}
			return answer{}
		}
	case callServices, callHooks, callDrain:
		return func() answer { return answer{} }
	case callReload:
		return func() answer { return w.askedToReload(c) }
	case callCheck:
		return func() answer {
			if !w.calm && w.percent(20) {
				return answer{err: fault.New(fault.FailedPrecondition, "the program is missing")}
			}
			return answer{}
		}
	case callFree:
		return func() answer { return answer{value: w.holder().holder == lc.HolderNone} }
	case callHolder:
		return func() answer { return answer{value: w.holder()} }
	case callReady:
		return func() answer { return answer{value: w.readiness()} }
	case callPrepare:
		return func() answer {
			w.launches++
			id := fmt.Sprintf("L%d", w.launches)
			w.prepared[id] = c.gen
			return answer{value: lc.LaunchID(id)}
		}
	case callAlign:
		return func() answer { return w.align(c) }
	case callRequest:
		return func() answer {
			return answer{value: launcher.LaunchRequest{LaunchID: c.id, Gateway: plugin.GatewayFacts{Name: ours}}}
		}
	case callOpen:
		return func() answer { return w.openSession(c) }
	case callVerify:
		return func() answer {
			if w.sessions[c.arg].over {
				return answer{err: engine.ErrNotConnected}
			}
			return answer{}
		}
	case callDiagnose:
		return func() answer { return answer{value: w.diagnosis()} }
	case callRepair:
		return func() answer { return w.repair(c) }
	default:
		panic("sim: a call without an effect: " + c.kind)
	}
}

// elsewhere reports whether a process lives where the host cannot look. What has ended is seen from all places.
func (w *world) elsewhere(p *proc) bool { return p.live && p.place != w.place }

func (w *world) instance(p *proc) launcher.Instance {
	i := launcher.Instance{
		LaunchID: p.id, Gateway: p.gateway, Phase: launcher.PhaseRunning, PID: p.pid,
		StartedAt: p.started.Add(p.skew - w.skew), OutputEnd: p.end, StartTime: fmt.Sprint(p.pid),
	}
	switch {
	case !p.live:
		exit := p.exit
		i.Phase, i.Exit = launcher.PhaseEnded, &exit
	case w.elsewhere(p):
		i.Phase, i.Detail = launcher.PhaseElsewhere, fmt.Sprintf("it runs in place %d", p.place)
	case !p.watched:
		i.Phase, i.Detail = launcher.PhaseUnwatched, "the shim is gone"
	}
	return i
}

func (w *world) launch(c *call) answer {
	if p := w.procs[c.id]; p != nil {
		return answer{value: launcher.Launched{Instance: w.instance(p), AlreadyLaunched: true}}
	}
	for _, id := range w.order {
		if p := w.procs[id]; p.live && p.gateway == ours {
			w.fail("1", "%s is launched while %s lives", c.id, id)
		}
	}
	for _, other := range w.running {
		switch other.kind {
		case callRepair:
			w.fail("7", "%s is launched while a repair is under way", c.id)
		case callAlign:
			w.fail("9", "%s is launched while the configuration is aligned with %s", c.id, other.id)
		}
	}
	if !w.locked(func() bool { return w.aligned[c.id] }) {
		w.fail("9", "%s is launched, and the configuration was not aligned with it", c.id)
	}
	if _, ok := w.prepared[c.id]; !ok {
		w.fail("3", "%s is launched, and its identity was not made durable", c.id)
	}
	p := w.start(c.id, ours)
	w.boot(p)
	return answer{value: launcher.Launched{Instance: w.instance(p)}}
}

// align edits the gateway's own file, for one launch that is about to be made and has no process yet.
func (w *world) align(c *call) answer {
	switch _, prepared := w.prepared[c.id]; {
	case !prepared:
		w.fail("3", "the configuration is aligned with %s, whose identity is not durable", c.id)
	case w.procs[c.id] != nil:
		w.fail("9", "the configuration is aligned with %s, which is launched already", c.id)
	}
	return answer{}
}

func (w *world) stop(c *call) answer {
	p := w.procs[c.id]
	if p == nil {
		return answer{err: fault.New(fault.NotFound, "there is no launch "+c.id)}
	}
	if p.gateway != ours {
		w.fail("3", "%s is stopped, it belongs to gateway %s", c.id, p.gateway)
	}
	if w.elsewhere(p) {
		w.fail("3", "%s is stopped from place %d, it lives in place %d", c.id, w.place, p.place)
		return answer{err: fault.New(fault.Conflict, c.id+" is in another place")}
	}
	if p.live {
		w.term(p, time.Duration(c.arg))
	}
	return answer{}
}

func (w *world) release(c *call) answer {
	p := w.procs[c.id]
	switch {
	case p == nil:
		return answer{}
	case p.gateway != ours:
		w.fail("3", "%s is released, it belongs to gateway %s", c.id, p.gateway)
	case p.live:
		w.fail("1", "%s is released while it lives", c.id)
		return answer{err: fault.New(fault.FailedPrecondition, "it still runs")}
	}
	w.checkRead(p)
	delete(w.procs, c.id)
	w.order = slices.DeleteFunc(w.order, func(id string) bool { return id == c.id })
	return answer{}
}

// stream is an open output.
type stream struct {
	c       *call
	p       *proc
	sent    uint64
	pumping bool
}

// item is what a stream gives its reader; the zero item is its end.
type item struct{ item launcher.OutputItem }

func (w *world) openStream(c *call) {
	c.stream = &stream{c: c, sent: uint64(c.arg)}
	code := fault.Code("")
	switch {
	case time.Now().Before(w.down):
		code = fault.PluginDown
	case !w.calm && w.percent(w.faults):
		code = pick(w, fault.Unavailable, fault.PluginGone)
	}
	w.after(w.between(time.Millisecond, 100*time.Millisecond), func() {
		p := w.procs[c.id]
		switch {
		case c.closed:
		case code != "":
			w.refuse(c, code)
		case p == nil:
			w.answer(c, answer{err: fault.New(fault.NotFound, "there is no launch "+c.id)})
		default:
			c.stream.p = p
			p.streams = append(p.streams, c.stream)
			w.pump(c.stream)
		}
	})
}

// pump moves a stream one item on, a little later.
func (w *world) pump(st *stream) {
	if st.pumping {
		return
	}
	st.pumping = true
	w.after(w.between(time.Millisecond, 50*time.Millisecond), func() {
		st.pumping = false
		p := st.p
		if st.c.closed {
			p.streams = slices.DeleteFunc(p.streams, func(other *stream) bool { return other == st })
			return
		}
		rest := p.lines
		if i := slices.IndexFunc(rest, func(l plugin.Line) bool { return l.Cursor > st.sent }); i >= 0 {
			rest = rest[i:]
		} else {
			rest = nil
		}
		switch {
		case !p.watched:
			w.answer(st.c, answer{err: fault.New(fault.Unavailable, "the shim is gone")})
		case len(rest) > 0:
			n := 1 + w.rng.IntN(len(rest))
			st.sent = rest[n-1].Cursor
			st.c.answers <- answer{value: item{&launcher.LineBatch{Lines: slices.Clone(rest[:n])}}}
			w.pump(st)
		case !p.live:
			w.answer(st.c, answer{value: item{&launcher.End{Exit: p.exit, EndCursor: p.end}}})
		case st.c.gen < 0: // not followed
			w.answer(st.c, answer{value: item{}})
		}
	})
}

// hostPorts is the world as one host sees it.
type hostPorts struct {
	w   *world
	gen int
}

func (h hostPorts) call(ctx context.Context, kind, id string, arg int64) answer {
	return h.w.ask(&call{kind: kind, id: id, arg: arg, gen: h.gen, ctx: ctx})
}

// valueOf is the answer as a port gives it.
func valueOf[T any](a answer) (T, error) {
	v, _ := a.value.(T)
	return v, a.err
}

func (h hostPorts) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	return valueOf[launcher.Launched](h.call(ctx, callLaunch, req.LaunchID, 0))
}

func (h hostPorts) List(ctx context.Context, _ string) (launcher.Listing, error) {
	return valueOf[launcher.Listing](h.call(ctx, callList, "", 0))
}

func (h hostPorts) Recover(ctx context.Context, id string) (launcher.Instance, error) {
	return valueOf[launcher.Instance](h.call(ctx, callRecover, id, 0))
}

func (h hostPorts) Inspect(ctx context.Context, id string) (launcher.Inspection, error) {
	i, err := valueOf[launcher.Instance](h.call(ctx, callInspect, id, 0))
	return launcher.Inspection{Instance: i}, err
}

func (h hostPorts) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	c := &call{kind: callOutput, id: req.LaunchID, arg: int64(req.Cursor), gen: h.gen, ctx: ctx}
	if !req.Follow {
		c.gen = -h.gen
	}
	for a := h.w.ask(c); ; a = h.w.next(c) {
		it, err := valueOf[item](a)
		if err != nil || it.item == nil {
			return err
		}
		if err := sink(it.item); err != nil {
			h.w.leave(c)
			return err
		}
		if _, last := it.item.(*launcher.End); last {
			return nil
		}
	}
}

// leave tells the driver that the answers of c are not read any more; its channel takes what still comes.
func (w *world) leave(c *call) {
	if !c.told {
		c.told = true
		w.mu.Lock()
		w.ended = append(w.ended, c)
		w.mu.Unlock()
		w.poke()
	}
}

func (h hostPorts) Signal(_ context.Context, id, name string) error {
	h.w.fail("3", "%s gets signal %s: nothing but Stop ends a gateway", id, name)
	return nil
}

func (h hostPorts) Stop(ctx context.Context, id string, grace time.Duration) (launcher.Stopped, error) {
	return valueOf[launcher.Stopped](h.call(ctx, callStop, id, int64(grace)))
}

func (h hostPorts) Release(ctx context.Context, id string) error {
	return h.call(ctx, callRelease, id, 0).err
}

func (h hostPorts) Exec(context.Context, launcher.ExecRequest, func(plugin.Line) error) (launcher.ExecResult, error) {
	return launcher.ExecResult{}, fault.New(fault.Unsupported, "the simulator has no commands")
}

func (h hostPorts) Prepare(ctx context.Context) (lc.LaunchID, error) {
	return valueOf[lc.LaunchID](h.call(ctx, callPrepare, "", 0))
}

func (h hostPorts) Align(ctx context.Context, id lc.LaunchID) error {
	err := h.call(ctx, callAlign, string(id), 0).err
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.aligned[string(id)] = true // also when it failed: it has been tried
	return err
}

func (h hostPorts) Request(ctx context.Context, id lc.LaunchID) (launcher.LaunchRequest, error) {
	return valueOf[launcher.LaunchRequest](h.call(ctx, callRequest, string(id), 0))
}

func (h hostPorts) Drift(launcher.Instance) ([]string, int) { return nil, 0 }

func (h hostPorts) HeldBy(lc.State) string { return "" }

func (h hostPorts) Discard(id lc.LaunchID) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.w.noteLocked("discard %s", id)
	delete(h.w.prepared, string(id))
}

func (h hostPorts) Open(id lc.LaunchID, events engine.OutputEvents) engine.Output {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.w.outputs[string(id)]++; h.w.outputs[string(id)] > 1 {
		h.w.failLocked("output", "%s has two readers", id)
	}
	return &output{h: h, id: string(id), events: events, cursor: h.w.journal[string(id)]}
}

// output takes the lines of a launch and remembers, beyond the life of a host, how far they were read.
type output struct {
	h      hostPorts
	id     string
	events engine.OutputEvents
	cursor uint64
	lines  []plugin.Line
}

func (o *output) Feed(_ context.Context, it launcher.OutputItem) error {
	b, ok := it.(*launcher.LineBatch)
	if !ok {
		return nil
	}
	w := o.h.w
	for _, l := range b.Lines {
		w.mu.Lock()
		if l.Cursor <= w.journal[o.id] {
			w.failLocked("output", "%s: the line at %d was told before", o.id, l.Cursor)
		}
		w.journal[o.id], o.cursor = l.Cursor, l.Cursor
		o.lines = append(o.lines[max(0, len(o.lines)-10):], l)
		w.noteLocked("line of %s at %d: %s", o.id, l.Cursor, l.Text)
		w.mu.Unlock()
		o.events.Activity()
		if s, ok := symptoms[l.Text]; ok {
			o.events.Symptom(s, l)
		}
	}
	return nil
}

// symptoms is what the text of a line means.
var symptoms = map[string]plugin.Symptom{
	"config-invalid": plugin.SymptomConfigInvalid, "port-conflict": plugin.SymptomPortConflict,
	"zombie":              plugin.SymptomZombie,
	"channels-suppressed": plugin.SymptomChannelsSuppressed,
}

func (o *output) Cursor() uint64 {
	o.h.w.mu.Lock()
	defer o.h.w.mu.Unlock()
	return o.cursor
}

func (o *output) Drained(ctx context.Context) { o.h.call(ctx, callDrained, o.id, 0) }

func (o *output) Tail(int) []plugin.Line {
	o.h.w.mu.Lock()
	defer o.h.w.mu.Unlock()
	return slices.Clone(o.lines)
}

func (o *output) Symptoms() []plugin.Symptom { return nil }

func (o *output) Close() {
	o.h.w.mu.Lock()
	defer o.h.w.mu.Unlock()
	o.h.w.outputs[o.id]--
}

// services, prober, dialer and doctors are the ports whose methods share names with others.
type (
	services struct{ hostPorts }
	hooks    struct{ hostPorts }
	checks   struct{ hostPorts }
	control  struct{ hostPorts }
	prober   struct{ hostPorts }
	dialer   struct{ hostPorts }
	doctors  struct{ hostPorts }
)

func (s services) Clear(ctx context.Context) error { return s.call(ctx, callServices, "", 0).err }

func (k hooks) Run(ctx context.Context) error { return k.call(ctx, callHooks, "", 0).err }

func (k checks) Check(ctx context.Context) error { return k.call(ctx, callCheck, "", 0).err }

func (p prober) Free(ctx context.Context) (bool, error) {
	return valueOf[bool](p.call(ctx, callFree, "", 0))
}

func (m control) Reload(ctx context.Context, s engine.Session, _ lc.LaunchID) error {
	n := s.(*session).n
	return m.call(ctx, callReload, strconv.Itoa(n), int64(n)).err
}

func (m control) Drain(ctx context.Context, s engine.Session) error {
	n := s.(*session).n
	return m.call(ctx, callDrain, strconv.Itoa(n), int64(n)).err
}

func (m control) Shutdown(ctx context.Context, s engine.Session) error {
	n := s.(*session).n
	return m.call(ctx, callShutdown, strconv.Itoa(n), int64(n)).err
}

type held struct {
	holder  lc.Holder
	problem lc.Problem
}

func (p prober) Holder(ctx context.Context) (lc.Holder, lc.Problem, error) {
	h, err := valueOf[held](p.call(ctx, callHolder, "", 0))
	return h.holder, h.problem, err
}

func (p prober) Ready(ctx context.Context, port int) lc.Readiness {
	r, err := valueOf[lc.Readiness](p.call(ctx, callReady, "", int64(port)))
	if err != nil || r == 0 {
		return lc.ReadinessClosed
	}
	return r
}

func (m doctors) Diagnose(
	ctx context.Context, in lc.Incident, _ []plugin.Line, _ []plugin.Symptom,
) lc.Diagnosed {
	d, _ := valueOf[lc.Diagnosed](m.call(ctx, callDiagnose, in.Problem.Code, int64(in.Attempt)))
	return d
}

func (m doctors) Repair(ctx context.Context, plan lc.PlanID) error {
	return m.call(ctx, callRepair, string(plan), 0).err
}
