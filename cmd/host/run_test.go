package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
)

// fakeSupervisor runs until it is stopped; Err is what Run returns.
type fakeSupervisor struct {
	events []control.Event
	Err    error
	killed chan struct{}

	reloads chan struct{} // one for each
}

func (f *fakeSupervisor) Run(context.Context) error { return f.Err }
func (f *fakeSupervisor) Kill()                     { close(f.killed) }

func (f *fakeSupervisor) Reload(context.Context, control.ReloadRequest) (control.Reload, error) {
	f.reloads <- struct{}{}
	return control.Reload{}, f.Err
}

func (f *fakeSupervisor) Events(context.Context, uint64) iter.Seq[control.Event] {
	return func(yield func(control.Event) bool) {
		for _, e := range f.events {
			if !yield(e) {
				return
			}
		}
	}
}

func testApp(s *settings, loadErr error) (*app, *bytes.Buffer) {
	var stderr bytes.Buffer
	a := &app{
		stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &locked{w: &stderr},
		getenv:  func(string) string { return "" },
		load:    func(string) (*settings, error) { return s, loadErr },
		sockets: func(string) ([]string, error) { return nil, nil },
	}
	return a, &stderr
}

func event(typ, gateway string, data any) control.Event {
	raw, _ := json.Marshal(data)
	return control.Event{Type: typ, Gateway: gateway, Time: control.At(time.Now()), Data: raw}
}

func TestRunPrintsStagesWithElapsedTime(t *testing.T) {
	code := 78
	sup := &fakeSupervisor{events: []control.Event{
		event(control.EventGatewayState, "main",
			control.StateData{State: "starting", Phase: "launching", ElapsedMs: control.Ms(200 * time.Millisecond)}),
		event(control.EventGatewayExit, "main", control.ExitData{Exit: control.Exit{Code: &code}}),
		event(control.EventGatewayDoctorFinding, "main",
			control.DoctorFinding{Code: "config-invalid", Text: "unknown key"}),
		event(control.EventGatewayState, "main", control.StateData{
			State: "running", PID: 4242, Port: 18789, Version: "2026.9.6",
			ElapsedMs: control.Ms(7100 * time.Millisecond),
		}),
		event(control.EventGatewayState, "main",
			control.StateData{State: "error", Error: &control.Failure{Message: "it broke\x1b]0;x", Hint: "repair it"}}),
		event(control.EventGatewayOutput, "main", control.LogLine{Text: "chatter"}),
		event(control.EventHostStopping, "", nil),
	}}
	a, stderr := testApp(&settings{
		level: "info", newHost: func(hclog.Logger, func() uint64) supervisor { return sup },
	}, nil)
	if got := execute(a, []string{"run"}); got != 0 {
		t.Fatalf("exit code %d\n%s", got, stderr)
	}
	for _, want := range []string{
		"main  starting     launching (0.2s)\n",
		"main  running      version 2026.9.6 pid 4242 port 18789 in 7.1s\n",
		"main  exit         exit code 78\n",
		"main  finding      config-invalid: unknown key\n",
		"main  error        it broke\uFFFD]0;x\n",
		"hint: repair it\n",
		"host  stopping\n",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr.String(), "chatter") {
		t.Error("output of the gateway is among the stages")
	}
}

func TestRunWithJSONLogsPrintsNothingElse(t *testing.T) {
	sup := &fakeSupervisor{events: []control.Event{event(control.EventHostStopping, "", nil)}}
	a, stderr := testApp(&settings{
		level: "info", json: true, newHost: func(log hclog.Logger, _ func() uint64) supervisor {
			log.Info("hello")
			return sup
		},
	}, nil)
	if got := execute(a, []string{"run"}); got != 0 {
		t.Fatal(got)
	}
	for line := range strings.Lines(stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if !strings.Contains(stderr.String(), "hello") {
		t.Error("no log")
	}
}

func TestRunsExitCodeSaysWhatFailed(t *testing.T) {
	for _, row := range []struct {
		name         string
		load, run    error
		want         int
		said, hinted string
	}{
		{
			"configuration", errors.New("config.toml:1: a\nconfig.toml:2: b"), nil, exitConfig,
			"gatehost: config.toml:2: b\n", "",
		},
		{
			"a plugin's table", nil, fault.New(fault.InvalidArgument, "plugins.doctor.config.x: no"), exitConfig,
			"plugins.doctor.config.x: no", "",
		},
		{
			"another host", nil, fault.New(fault.Conflict, "another host answers").WithHint("stop it"), exitFailed,
			"another host answers", "hint: stop it",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			sup := &fakeSupervisor{Err: row.run}
			a, stderr := testApp(&settings{newHost: func(hclog.Logger, func() uint64) supervisor { return sup }}, row.load)
			if got := execute(a, []string{"run"}); got != row.want || !strings.Contains(stderr.String(), row.said) ||
				!strings.Contains(stderr.String(), row.hinted) {
				t.Errorf("exit code %d, want %d\n%s", got, row.want, stderr)
			}
		})
	}
}

func TestFirstSignalStopsInOrderAndTheSecondAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		ctx, cancel := context.WithCancelCause(t.Context())
		killed := make(chan struct{})
		watching, unwatch := context.WithCancel(t.Context())
		var done sync.WaitGroup
		hangups := make(chan struct{}, 1)
		o := orders{
			stop: cancel, kill: func() { close(killed) }, hangups: hangups, gone: func() bool { return false },
			log: hclog.NewNullLogger(),
		}
		done.Go(func() { o.obey(watching, signals) })
		for range 3 { // it never waits for a reload
			signals <- syscall.SIGHUP
		}
		sup := &fakeSupervisor{reloads: make(chan struct{}), Err: errors.New("a fault in the file")}
		done.Go(func() { reloadOn(watching, hangups, sup, hclog.NewNullLogger()) })
		<-sup.reloads
		signals <- syscall.SIGHUP
		<-sup.reloads // one that failed is not the last
		if ctx.Err() != nil {
			t.Error("SIGHUP stopped the host")
		}
		signals <- syscall.SIGTERM
		<-ctx.Done()
		if cause := context.Cause(ctx).Error(); !strings.Contains(cause, "terminated") {
			t.Errorf("cause = %s", cause)
		}
		select {
		case <-killed:
			t.Error("the first signal killed")
		default:
		}
		for range 3 { // wrappers pass on what the group got already
			time.Sleep(together / 4)
			signals <- os.Interrupt
		}
		synctest.Wait()
		select {
		case <-killed:
			t.Error("the same request was taken for a second one")
		default:
		}
		time.Sleep(together)
		signals <- os.Interrupt
		<-killed
		unwatch()
		done.Wait()
	})
}
