package observe

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
)

// machine drives the real lifecycle in a world where everything works at once, except for its knobs, and passes each
// step to see.
type machine struct {
	t      *testing.T
	policy lifecycle.Policy
	state  lifecycle.State
	now    time.Time
	see    func(Change)

	Refuse   *lifecycle.Problem // sessions are refused for this
	Holder   lifecycle.Holder
	launches int
}

func newMachine(t *testing.T, see func(Change)) *machine {
	t.Helper()
	p := lifecycle.DefaultPolicy()
	p.ReconnectAttempts = 2
	return &machine{
		t: t, policy: p, state: lifecycle.New(), now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC), see: see,
		Holder: lifecycle.HolderNone,
	}
}

// give feeds an input and answers its effects until only timers are left.
func (m *machine) give(in lifecycle.Input) {
	m.t.Helper()
	queue := []lifecycle.Input{in}
	for n := 0; len(queue) > 0; n++ {
		if n > 200 {
			m.t.Fatal("the machine never rests")
		}
		in, queue = queue[0], queue[1:]
		before := m.state
		after, effects := lifecycle.Step(m.policy, before, in, m.now)
		m.state = after
		m.see(Change{Before: before, After: after, Input: in, Effects: effects, At: m.now})
		for _, e := range effects {
			if a := m.answer(e); a != nil {
				queue = append(queue, a)
			}
		}
	}
}

func (m *machine) answer(e lifecycle.Effect) lifecycle.Input {
	switch e := e.(type) {
	case lifecycle.Recover:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Recovered{Result: lifecycle.OK}}
	case lifecycle.ClearServices:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ServicesCleared{Result: lifecycle.OK}}
	case lifecycle.ProbePort:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.PortProbed{Holder: m.Holder}}
	case lifecycle.Preflight:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Preflighted{Result: lifecycle.OK}}
	case lifecycle.RunHooks:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.HooksDone{Result: lifecycle.OK}}
	case lifecycle.PrepareLaunch:
		m.launches++
		return lifecycle.Answer{
			Op: e.Op,
			Report: lifecycle.LaunchPrepared{
				Result: lifecycle.OK, Launch: lifecycle.LaunchID(fmt.Sprint("launch-", m.launches)),
			},
		}
	case lifecycle.AlignConfig:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ConfigAligned{Result: lifecycle.OK}}
	case lifecycle.Launch:
		return lifecycle.Answer{
			Op: e.Op,
			Report: lifecycle.Launched{
				Result: lifecycle.OK, Instance: lifecycle.Instance{Launch: e.Launch, Live: true, Watched: true},
			},
		}
	case lifecycle.Inspect:
		return lifecycle.Answer{
			Op: e.Op,
			Report: lifecycle.Inspected{
				Result: lifecycle.OK, Found: true, Instance: lifecycle.Instance{Launch: e.Launch, Live: true, Watched: true},
			},
		}
	case lifecycle.ProbeReady:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.ReadyProbed{Readiness: lifecycle.ReadinessReady}}
	case lifecycle.OpenSession:
		if m.Refuse != nil {
			return lifecycle.Answer{Op: e.Op, Report: lifecycle.SessionRefused{Session: e.Session, Problem: *m.Refuse}}
		}
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.SessionOpened{Session: e.Session}}
	case lifecycle.Terminate:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Terminated{Result: lifecycle.OK, Launch: e.Launch}}
	case lifecycle.Diagnose:
		return lifecycle.Answer{Op: e.Op, Report: lifecycle.Diagnosed{}}
	default:
		return nil
	}
}

// fire lets a timer fire after a time.
func (m *machine) fire(kind lifecycle.OpKind, after time.Duration) {
	m.t.Helper()
	m.now = m.now.Add(after)
	for id, op := range m.state.Pending {
		if op.Kind == kind {
			m.give(lifecycle.Answer{Op: id, Report: lifecycle.TimerFired{}})
			return
		}
	}
	m.t.Fatalf("no timer of kind %s in %s %v", kind, m.state.Phase, m.state.Pending)
}

func (m *machine) crash() {
	m.t.Helper()
	m.give(lifecycle.ProcessExited{
		Launch: m.state.Launch, Exit: lifecycle.Exit{Known: true, Signal: "SIGKILL", At: m.now},
	})
}
