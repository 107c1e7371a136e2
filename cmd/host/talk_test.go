package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/shared/control"
)

// TestHangupOfAClosedTerminalIsOneRequestToStop: the kernel and the shell both send it, and neither may end the grace.
func TestHangupOfAClosedTerminalIsOneRequestToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		ctx, cancel := context.WithCancelCause(t.Context())
		watching, unwatch := context.WithCancel(t.Context())
		hangups := make(chan struct{}, 1)
		killed := false
		o := orders{
			stop: cancel, kill: func() { killed = true }, hangups: hangups, gone: func() bool { return true },
			log: hclog.NewNullLogger(),
		}
		var done sync.WaitGroup
		done.Go(func() { o.obey(watching, signals) })
		signals <- syscall.SIGHUP
		<-ctx.Done()
		if cause := context.Cause(ctx).Error(); !strings.Contains(cause, "terminal was closed") {
			t.Errorf("cause = %s", cause)
		}
		time.Sleep(time.Minute)
		signals <- syscall.SIGHUP
		unwatch()
		done.Wait()
		if killed || len(hangups) > 0 {
			t.Errorf("killed %t, reloads %d; want neither", killed, len(hangups))
		}
	})
}

// stuck is a terminal that takes nothing.
type stuck struct{ open chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.open
	return len(p), nil
}

func TestRunEndsAlthoughItsTerminalTakesNothing(t *testing.T) {
	var events []control.Event
	for range 5000 { // more than the queue holds
		events = append(events, event(control.EventHostCondition, "", control.ConditionData{
			Condition: control.Condition{Code: "c", Message: strings.Repeat("x", 500)}, Active: true,
		}))
	}
	var dropped func() uint64
	a, _ := testApp(&settings{level: "info", newHost: func(log hclog.Logger, count func() uint64) supervisor {
		log.Info("hello")
		dropped = count
		return &fakeSupervisor{events: events}
	}}, nil)
	terminal := stuck{open: make(chan struct{})}
	defer close(terminal.open)
	a.stderr = terminal
	ended := make(chan int, 1)
	go func() { ended <- execute(a, []string{"run"}) }()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for its terminal")
	}
	if dropped() == 0 {
		t.Error("no line was counted as dropped")
	}
}

func TestStopThatFailedSaysWhatLivesOn(t *testing.T) {
	r := result{Name: "main", Outcome: control.Outcome{
		Outcome: control.OutcomeFailed, Error: &control.Failure{Message: "the launcher does not answer"},
		Gateway: &control.Gateway{PID: 4242},
	}}
	err := r.failure(control.ActionStop)
	if err == nil || !strings.Contains(err.Error(), "pid 4242") || codeOf(err) != exitFailed {
		t.Errorf("failure = %v, want the pid and exit code 1", err)
	}
}

func TestLogsShowOneTimeALine(t *testing.T) {
	f := &fakeHost{}
	a, _ := testApp(nil, nil)
	var out bytes.Buffer
	a.stdout = &out
	if code := execute(a, []string{"--host", f.serve(t), "logs", "stamped"}); code != 0 {
		t.Fatal(code)
	}
	if got := out.String(); !strings.HasSuffix(got, " INFO  [gateway] ready\n") || strings.Contains(got, "2026-") {
		t.Errorf("got %q, want the time of the host and the text", got)
	}
}
