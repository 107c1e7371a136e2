package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/engine"
	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/release"
	"github.com/gatehost/gatehost/shared/fault"
)

// callRecorder is a session that records which methods were called.
type callRecorder struct {
	engine.SessionStats

	calls []string
	err   error
}

func (p *callRecorder) Call(_ context.Context, method string, _ json.RawMessage) (json.RawMessage, error) {
	p.calls = append(p.calls, method)
	return json.RawMessage(`{"status":"ready"}`), p.err
}

func (p *callRecorder) Stats() engine.SessionStats { return p.SessionStats }
func (p *callRecorder) Close()                     {}

func TestReloadAsksInAWayThatTheReleaseHandles(t *testing.T) {
	refusal := &frame.Error{Code: "UNAVAILABLE", Message: "rate limit exceeded"}
	wrapper := fault.New(fault.FailedPrecondition, "it may be a wrapper")
	rpc := []string{"health", release.MethodRestart}
	for _, row := range []struct {
		name, version string
		methods       []string
		launch        lifecycle.LaunchID
		callErr       error
		answers       error
		calls         int
		signals       []string
		want          error // nil: it was asked
	}{
		{
			name: "2026.3.13 by SIGUSR1", version: "2026.3.13", methods: []string{"health"}, launch: "A",
			signals: []string{"SIGUSR1"},
		},
		{name: "2026.3.13 that is not ours", version: "2026.3.13", methods: []string{"health"}, want: fault.ErrUnsupported},
		{
			name: "2026.3.13 behind a wrapper", version: "2026.3.13", methods: []string{"health"}, launch: "A", answers: wrapper,
			want: wrapper,
		},
		{name: "2026.5.27 by a call", version: "2026.5.27", methods: rpc, launch: "A", calls: 1},
		{
			name: "2026.5.27 that refuses the call", version: "2026.5.27", methods: rpc, launch: "A", callErr: refusal, calls: 1,
			signals: []string{"SIGUSR1"},
		},
		{
			name: "2026.5.27 that refuses and is not ours", version: "2026.5.27", methods: rpc, callErr: refusal, calls: 1,
			want: refusal,
		},
		{name: "2026.9.6 by a call", version: "2026.9.6", methods: rpc, launch: "A", calls: 1},
		{
			name: "2026.9.6 that refuses the call", version: "2026.9.6", methods: rpc, launch: "A", callErr: refusal, calls: 1,
			signals: []string{"SIGUSR2"},
		},
		{
			name: "2026.9.6 without the call", version: "2026.9.6", methods: []string{"health"}, launch: "A",
			signals: []string{"SIGUSR2"},
		},
		{
			name: "no answer may hide a restart", version: "2026.9.6", methods: rpc, launch: "A",
			callErr: context.DeadlineExceeded, calls: 1, want: context.DeadlineExceeded,
		},
		{
			name: "a lost session may hide a restart", version: "2026.5.27", methods: rpc, launch: "A",
			callErr: engine.ErrNotConnected, calls: 1, want: engine.ErrNotConnected,
		},
		{name: "an unknown release by a call", version: "2027.1.1", methods: rpc, launch: "A", calls: 1},
		{
			name: "an unknown release that refuses", version: "2027.1.1", methods: rpc, launch: "A", callErr: refusal, calls: 1,
			want: refusal,
		},
		{
			name: "an unknown release without the call", version: "2026.9.7", methods: []string{"health"}, launch: "A",
			want: fault.ErrUnsupported,
		},
		{name: "no version at all", methods: []string{"health"}, launch: "A", want: fault.ErrUnsupported},
	} {
		t.Run(row.name, func(t *testing.T) {
			var signals []string
			m := inProcess{
				log: hclog.NewNullLogger(), answers: func(context.Context, lifecycle.LaunchID) error { return row.answers },
				signal: func(_ context.Context, launch lifecycle.LaunchID, name string) error {
					if launch != "A" {
						t.Errorf("launch %q is sent %s", launch, name)
					}
					signals = append(signals, name)
					return nil
				},
			}
			s := &callRecorder{
				SessionStats: engine.SessionStats{Hello: session.Hello{Version: row.version, Methods: row.methods}},
				err:          row.callErr,
			}
			err := m.Reload(t.Context(), s, row.launch)
			if !errors.Is(err, row.want) || row.want == nil && err != nil {
				t.Errorf("err = %v, want %v", err, row.want)
			}
			if len(s.calls) != row.calls || row.calls == 1 && s.calls[0] != release.MethodRestart ||
				!slices.Equal(signals, row.signals) {
				t.Errorf("calls %v, signals %v; want %d, %v", s.calls, signals, row.calls, row.signals)
			}
		})
	}
}

// The signal would open Node's inspector, a port that runs any code (docs/openclaw.md §4). Nor is it sent to a release
// that was not measured.
func TestTheNewestReleaseIsNeverSentSIGUSR1(t *testing.T) {
	for _, version := range []string{"2026.9.6", "2026.9.7", "2027.1.1", "2026.4.1", ""} {
		for _, methods := range [][]string{nil, {"health"}, {release.MethodRestart}} {
			for _, callErr := range []error{nil, &frame.Error{Code: "FORBIDDEN"}, context.DeadlineExceeded} {
				m := inProcess{
					log: hclog.NewNullLogger(), answers: func(context.Context, lifecycle.LaunchID) error { return nil },
					signal: func(_ context.Context, _ lifecycle.LaunchID, name string) error {
						if name != "SIGUSR2" || version != "2026.9.6" {
							t.Errorf("%q with %v is sent %s", version, methods, name)
						}
						return fault.New(fault.Unavailable, "its shim is gone")
					},
				}
				_ = m.Reload(t.Context(), &callRecorder{
					SessionStats: engine.SessionStats{Hello: session.Hello{Version: version, Methods: methods}}, err: callErr,
				}, "A")
			}
		}
	}
}

func TestDrainIsAskedOfAReleaseThatCanSuspend(t *testing.T) {
	for _, row := range []struct {
		version string
		methods []string
		calls   []string
	}{
		{"2026.3.13", []string{"health"}, nil},
		{"2026.5.27", []string{release.MethodRestart}, nil},
		{"2026.9.6", []string{release.MethodSuspend}, []string{release.MethodSuspend}},
		{"2027.1.1", []string{release.MethodSuspend}, []string{release.MethodSuspend}},
	} {
		s := &callRecorder{
			SessionStats: engine.SessionStats{Hello: session.Hello{Version: row.version, Methods: row.methods}},
		}
		err := inProcess{log: hclog.NewNullLogger()}.Drain(t.Context(), s)
		if !slices.Equal(s.calls, row.calls) || errors.Is(err, fault.ErrUnsupported) != (row.calls == nil) ||
			row.calls != nil && err != nil {
			t.Errorf("%s: %v, calls %v", row.version, err, s.calls)
		}
	}
}

// What was launched may be a wrapper, another program, or gone.
func TestOnlyAProcessThatIsTheGatewayIsSentSignals(t *testing.T) {
	held := func(pids ...int) func(context.Context, int) ([]int, error) {
		return func(context.Context, int) ([]int, error) { return pids, nil }
	}
	of := func(launch lifecycle.LaunchID, pid int) lifecycle.State {
		return lifecycle.State{Launch: launch, Process: lifecycle.Process{PID: pid}}
	}
	for _, row := range []struct {
		name, profile string
		state         lifecycle.State
		held          func(context.Context, int) ([]int, error)
		want          string // in the error; "": none
	}{
		{"it listens itself", "openclaw", of("A", 7), held(7), ""},
		{"on both loopbacks", "openclaw", of("A", 7), held(7, 7), ""},
		{"a wrapper", "openclaw", of("A", 7), held(8), "pid 7 was launched"},
		{"a stranger beside it", "openclaw", of("A", 7), held(7, 8), "pid 7 was launched"},
		{"no process listens", "openclaw", of("A", 7), held(), "no process listens"},
		{"a holder that may not be seen", "openclaw", of("A", 7), held(0), "pid 7 was launched"},
		{
			"it can't be found out", "openclaw", of("A", 7),
			func(context.Context, int) ([]int, error) { return nil, fmt.Errorf("no table") }, "no table",
		},
		{"another launch", "openclaw", of("B", 7), held(7), "replaced"},
		{"no process", "openclaw", of("A", 0), held(0), "replaced"},
		{"another profile", "plain", of("A", 7), held(7), "profile plain"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := &config.Gateway{Port: 1}
			cfg.Launch.Profile = row.profile
			err := answers(t.Context(), cfg, row.state, "A", row.held)
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Errorf("err = %v, want %q", err, row.want)
			}
		})
	}
}
