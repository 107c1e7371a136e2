package control

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mute listens and answers nothing, as a host that was stopped does: the kernel accepts for it.
func mute(t *testing.T) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		_ = os.RemoveAll(dir)
	})
	c := New(filepath.Join(dir, "s"))
	c.quiet, c.answerBound = 50*time.Millisecond, 50*time.Millisecond
	t.Cleanup(c.Close)
	return c
}

func TestHostThatDoesNotAnswerEndsEveryCall(t *testing.T) {
	c := mute(t)
	for name, call := range map[string]func() error{
		"status": func() error { _, err := c.Status(t.Context()); return err },
		"stop":   func() error { _, err := c.Stop(t.Context(), "main", Options{}); return err },
		"events": func() error {
			for _, err := range c.Events(t.Context(), EventsQuery{Once: true}) {
				return err
			}
			return nil
		},
		"followed logs": func() error {
			for _, err := range c.Logs(t.Context(), "main", LogsQuery{Follow: true}) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			if !errors.Is(err, ErrSilent) {
				t.Fatalf("error = %v, want ErrSilent", err)
			}
			if peerPID := c.host.Load().pid; peerPID != 0 && !strings.Contains(err.Error(), "(pid ") {
				t.Errorf("error = %v, want the pid of the host in it", err)
			}
		})
	}
}

// TestLongAnswerOfALivingHostIsWaitedFor: a command takes as long as there is progress.
func TestLongAnswerOfALivingHostIsWaitedFor(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 100) // each question whether it is there
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })
	mux.HandleFunc("/v1/gateways/main/stop", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			<-asked
		}
		_, _ = w.Write([]byte(`{"outcome":"applied"}`))
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	defer func() {
		_ = srv.Close()
		<-done
	}()
	c := New(filepath.Join(dir, "s"))
	defer c.Close()
	c.quiet = 10 * time.Millisecond
	if out, err := c.Stop(t.Context(), "main", Options{}); err != nil || out.Outcome != OutcomeApplied {
		t.Errorf("Stop = %+v, %v", out, err)
	}
}
