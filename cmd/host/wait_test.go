package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/control"
)

// safeBuffer is read while it is written.
type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func TestLongWaitSaysWhichStageItIsAt(t *testing.T) {
	f := &fakeHost{
		Live: []control.Event{event(control.EventGatewayState, "main",
			control.StateData{State: "starting", Phase: "launching", ElapsedMs: control.Ms(time.Second)})},
		Block: make(chan struct{}),
	}
	var stdout, stderr safeBuffer
	a := &app{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, socket: f.serve(t)}
	a.getenv = func(name string) string { return map[string]string{"GATEHOST_SOCKET": a.socket}[name] }
	code := make(chan int, 1)
	go func() { code <- execute(a, []string{"start", "main"}) }()
	eventually(t, "the stage on stderr", func() bool {
		return strings.Contains(stderr.String(), "main: starting launching (1.0s), waited ")
	})
	if stdout.String() != "" {
		t.Errorf("an answer before the end: %s", stdout.String())
	}
	close(f.Block)
	if got := <-code; got != 0 || !strings.Contains(stdout.String(), "main running pid=4242") {
		t.Errorf("exit code %d, %s", got, stdout.String())
	}
}

func TestWatchShowsTheStatusAgainAfterAChange(t *testing.T) {
	f := &fakeHost{Live: []control.Event{
		event(control.EventGatewayOutput, "main", control.LogLine{Text: "chatter"}),
		event(control.EventGatewayState, "main", control.StateData{State: "running"}),
	}}
	var stdout safeBuffer
	a := &app{stdout: &stdout, stderr: &safeBuffer{}, socket: f.serve(t)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		c, err := a.client()
		if err != nil {
			done <- err
			return
		}
		defer c.Close()
		done <- a.watch(ctx, c, "", true)
	}()
	eventually(t, "the second status", func() bool { return strings.Count(stdout.String(), `"stateDir"`) == 2 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("interrupted: %v", err)
	}
	if n := strings.Count(stdout.String(), `"stateDir"`); n != 2 {
		t.Errorf("shown %d times, want 2: at first and after the change", n)
	}
}
