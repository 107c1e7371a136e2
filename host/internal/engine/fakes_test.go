package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/engine"
	lc "github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/observe"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// scene is everything around an engine, as one fake with knobs. mu guards all of it.
type scene struct {
	mu         sync.Mutex
	procs      map[string]*proc
	launches   int
	stops      int
	opens      int
	reloads    int
	preflights int
	discards   []lc.LaunchID
	changes    []observe.Change
	facts      []observe.Fact
	aligned    []lc.LaunchID
	dialled    int               // port of the newest session
	phase      launcher.Phase    // of living processes; default running
	labels     map[string]string // of all
	feeds      []string          // text of the lines that outputs were fed, in order
	held       chan struct{}     // an output takes nothing until it is closed
	down       error             // of every call of the launcher, while it is set
	log        hclog.Logger      // default: none

	stopBlocks   chan struct{}       // Stop waits for it
	LaunchBlocks chan struct{}       // Launch waits for it, or for ctx
	LaunchErr    func(n int) error   // of the nth launch, from 1
	Ready        func() lc.Readiness // default: ready while a process lives
	SessionErr   func(n int) error
	Holder       lc.Holder
	Diagnosis    lc.Diagnosed
	plans        []lc.PlanID // that were executed
	RepairErr    error
	PreflightErr error
	AlignErr     error
	ReloadErr    error
	CallErr      func(ctx context.Context, method string) error
	ShutdownErr  func(context.Context) error // of a gateway that is not ours
	PanicIn      string

	live    map[*session]engine.SessionEvents
	see     func(observe.Sight) // of the newest output
	pings   int                 // that a session has not answered, in a row
	plugins []observe.Plugin
}

type proc struct {
	req    launcher.LaunchRequest
	items  chan launcher.OutputItem
	exited chan struct{}
	lost   chan struct{} // the shim dies
	exit   plugin.Exit
	dead   bool

	offline, unwatched bool // its output is what is there; its shim is gone
}

func newScene() *scene {
	return &scene{procs: map[string]*proc{}, live: map[*session]engine.SessionEvents{}, Holder: lc.HolderNone}
}

func (s *scene) ports() engine.Ports {
	return engine.Ports{
		Launcher: s, Services: servicesOK{}, Probe: port{s}, Launches: s, Sessions: sessions{s}, Hooks: nothing{},
		Preflight: preflight{s},
		Control:   gatewayControl{s}, Output: s, Doctors: doctors{s}, Observer: s,
		Plugins: func() []observe.Plugin {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.plugins
		},
		Observe: observe.Settings{Plugins: []string{"utility", "doctor"}},
	}
}

type nothing struct{}

type preflight struct{ s *scene }

func (f preflight) Check(context.Context) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.preflights++
	return f.s.PreflightErr
}

func (nothing) Run(context.Context) error { return nil }

type gatewayControl struct{ s *scene }

func (m gatewayControl) Reload(_ context.Context, _ engine.Session, _ lc.LaunchID) error {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.s.reloads++
	return m.s.ReloadErr
}

func (m gatewayControl) Drain(context.Context, engine.Session) error { return nil }

func (m gatewayControl) Shutdown(ctx context.Context, _ engine.Session) error {
	return m.s.ShutdownErr(ctx)
}

type servicesOK struct{}

func (servicesOK) Clear(context.Context) error { return nil }

func (s *scene) alive() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.procs {
		if !p.dead {
			n++
		}
	}
	return n
}

func (s *scene) count(of *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *of
}

// executed is the plans that were executed.
func (s *scene) executed() []lc.PlanID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.plans)
}

// kill ends every live process as the kernel would.
func (s *scene) kill(exit plugin.Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		p.end(exit)
	}
	for one, events := range s.live {
		delete(s.live, one)
		go events.Closed(engine.SessionEnd{Code: 1006})
	}
}

// loseShims makes all live processes unwatched.
func (s *scene) loseShims() {
	s.mu.Lock()
	s.phase = launcher.PhaseUnwatched
	s.mu.Unlock()
	s.breakStreams()
}

// breakStreams breaks every output off.
func (s *scene) breakStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		p.lost <- struct{}{}
	}
}

func (p *proc) end(exit plugin.Exit) {
	if !p.dead {
		p.dead, p.exit = true, exit
		close(p.exited)
	}
}

// closeSessions ends every session as the gateway would.
func (s *scene) closeSessions(end engine.SessionEnd) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one, events := range s.live {
		delete(s.live, one)
		go events.Closed(end)
	}
}

func (s *scene) Launch(ctx context.Context, req launcher.LaunchRequest) (launcher.Launched, error) {
	if s.LaunchBlocks != nil {
		<-s.LaunchBlocks // deaf to ctx, as a launcher that is in the middle of a fork
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return launcher.Launched{}, s.down
	}
	if s.PanicIn == "launch" {
		s.PanicIn = ""
		panic("planted")
	}
	s.launches++
	if s.LaunchErr != nil {
		if err := s.LaunchErr(s.launches); err != nil {
			return launcher.Launched{}, err
		}
	}
	s.procs[req.LaunchID] = &proc{
		req: req, items: make(chan launcher.OutputItem, 16), exited: make(chan struct{}), lost: make(chan struct{}, 1),
	}
	return launcher.Launched{Instance: s.instance(req.LaunchID)}, nil
}

func (s *scene) instance(id string) launcher.Instance {
	p := s.procs[id]
	i := launcher.Instance{LaunchID: id, Gateway: "main", Phase: launcher.PhaseRunning, PID: 100 + s.launches}
	i.Labels = s.labels
	if s.phase != 0 {
		i.Phase = s.phase
	}
	if p.unwatched {
		i.Phase = launcher.PhaseUnwatched
	}
	if p.dead {
		i.Phase, i.Exit = launcher.PhaseEnded, &p.exit
	}
	return i
}

func (s *scene) List(context.Context, string) (launcher.Listing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var l launcher.Listing
	for id := range s.procs {
		l.Instances = append(l.Instances, s.instance(id))
	}
	return l, s.down
}

func (s *scene) Recover(_ context.Context, id string) (launcher.Instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return launcher.Instance{}, s.down
	}
	if s.procs[id] == nil {
		return launcher.Instance{}, fault.New(fault.NotFound, "no such launch")
	}
	return s.instance(id), nil
}

func (s *scene) Inspect(ctx context.Context, id string) (launcher.Inspection, error) {
	i, err := s.Recover(ctx, id)
	return launcher.Inspection{Instance: i}, err
}

func (s *scene) Output(ctx context.Context, req launcher.OutputRequest, sink func(launcher.OutputItem) error) error {
	s.mu.Lock()
	p := s.procs[req.LaunchID]
	s.mu.Unlock()
	if p == nil { // released meanwhile
		return fault.New(fault.NotFound, "no such launch")
	}
	for {
		s.mu.Lock()
		gone, down := s.phase == launcher.PhaseUnwatched && !p.dead, s.down
		s.mu.Unlock()
		if down != nil {
			return down
		}
		if gone {
			return fault.New(fault.Unavailable, "its shim is gone")
		}
		select {
		case item := <-p.items:
			if err := sink(item); err != nil {
				return err
			}
			continue
		default:
		}
		if p.offline && !p.dead {
			return nil
		}
		select {
		case item := <-p.items:
			if err := sink(item); err != nil {
				return err
			}
		case <-p.lost:
		case <-p.exited:
			s.mu.Lock()
			exit := p.exit
			s.mu.Unlock()
			return sink(&launcher.End{Exit: exit})
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *scene) Signal(context.Context, string, string) error { return nil }

// setDown makes every call of the launcher fail.
func (s *scene) setDown(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = why
}

func (s *scene) Stop(_ context.Context, id string, _ time.Duration) (launcher.Stopped, error) {
	if s.stopBlocks != nil {
		<-s.stopBlocks
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return launcher.Stopped{}, s.down
	}
	s.stops++
	p := s.procs[id]
	if p == nil {
		return launcher.Stopped{}, fault.New(fault.NotFound, "no such launch")
	}
	p.end(plugin.Exit{Known: true, At: time.Now()})
	return launcher.Stopped{Exit: p.exit}, nil
}

func (s *scene) Release(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	delete(s.procs, id)
	return nil
}

func (s *scene) Exec(context.Context, launcher.ExecRequest, func(plugin.Line) error) (launcher.ExecResult, error) {
	return launcher.ExecResult{}, fault.New(fault.Unsupported, "not in this scene")
}

type port struct{ s *scene }

func (p port) Holder(context.Context) (lc.Holder, lc.Problem, error) {
	return p.s.Holder, lc.Problem{Code: "port_conflict", Message: "port 1 is held by pid 7"}, nil
}

func (p port) Free(context.Context) (bool, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.s.Holder == lc.HolderNone, nil
}

func (p port) Ready(context.Context, int) lc.Readiness {
	s := p.s
	if s.Ready != nil {
		return s.Ready()
	}
	if s.alive() > 0 || s.Holder == lc.HolderGateway {
		return lc.ReadinessReady
	}
	return lc.ReadinessClosed
}

func (s *scene) Prepare(context.Context) (lc.LaunchID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return lc.LaunchID(fmt.Sprintf("launch-%d", s.launches+1)), nil
}

func (s *scene) Align(_ context.Context, id lc.LaunchID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aligned = append(s.aligned, id)
	return s.AlignErr
}

func (s *scene) Request(_ context.Context, id lc.LaunchID) (launcher.LaunchRequest, error) {
	return launcher.LaunchRequest{LaunchID: string(id)}, nil
}

func (s *scene) Drift(i launcher.Instance) ([]string, int) {
	if i.Labels["port"] == "" {
		return nil, 0
	}
	return []string{"port"}, 7
}

func (s *scene) Discard(id lc.LaunchID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discards = append(s.discards, id)
}

func (s *scene) HeldBy(lc.State) string { return "" }

func (s *scene) Observed(facts []observe.Fact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts = append(s.facts, facts...)
}

func (s *scene) Stepped(c observe.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
}

// publics is the public states that were passed through, without repetition.
func (s *scene) publics() []lc.Public {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []lc.Public
	for _, c := range s.changes {
		if p := c.After.Public(); len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	return out
}

func (s *scene) Open(id lc.LaunchID, events engine.OutputEvents) engine.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see = events.See
	return &output{s: s, events: events}
}

type output struct {
	s      *scene
	events engine.OutputEvents
	mu     sync.Mutex
	lines  []plugin.Line
}

func (o *output) Feed(_ context.Context, item launcher.OutputItem) error {
	if b, ok := item.(*launcher.LineBatch); ok {
		if o.s.held != nil {
			<-o.s.held
		}
		o.s.mu.Lock()
		for _, l := range b.Lines {
			o.s.feeds = append(o.s.feeds, l.Text)
		}
		o.s.mu.Unlock()
		o.mu.Lock()
		o.lines = append(o.lines, b.Lines...)
		o.mu.Unlock()
		o.events.Activity()
	}
	return nil
}
func (o *output) Cursor() uint64          { return 0 }
func (o *output) Drained(context.Context) {}
func (o *output) Tail(int) []plugin.Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines
}
func (o *output) Symptoms() []plugin.Symptom { return nil }
func (o *output) Close()                     {}

type sessions struct{ s *scene }

type session struct{ s *scene }

func (x sessions) Open(_ context.Context, port int, events engine.SessionEvents) (engine.Session, lc.Hello, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.opens++
	x.s.dialled = port
	if x.s.SessionErr != nil {
		if err := x.s.SessionErr(x.s.opens); err != nil {
			return nil, lc.Hello{}, err
		}
	}
	one := &session{x.s}
	x.s.live[one] = events
	return one, lc.Hello{Protocol: 4, Version: "2026.9.6"}, nil
}

func (o *session) Call(ctx context.Context, method string, _ json.RawMessage) (json.RawMessage, error) {
	if o.s.CallErr != nil {
		return nil, o.s.CallErr(ctx, method)
	}
	return json.RawMessage(`{"ok":true}`), nil
}

func (o *session) Stats() engine.SessionStats {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	var st engine.SessionStats
	st.Unanswered = o.s.pings
	return st
}

func (o *session) Close() {
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	if events, ok := o.s.live[o]; ok {
		delete(o.s.live, o)
		go events.Closed(engine.SessionEnd{Code: 1000})
	}
}

type doctors struct{ s *scene }

func (m doctors) Diagnose(context.Context, lc.Incident, []plugin.Line, []plugin.Symptom) lc.Diagnosed {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	return m.s.Diagnosis
}

func (m doctors) Repair(_ context.Context, plan lc.PlanID) error {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.s.plans = append(m.s.plans, plan)
	m.s.Diagnosis = lc.Diagnosed{}
	return m.s.RepairErr
}

// begin runs an engine until the test ends.
func begin(t *testing.T, s *scene, p lc.Policy) *engine.Engine {
	t.Helper()
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	e := engine.New("main", p, s.ports(), s.log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1) // 1: Run must be able to end without a reader
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return e
}
