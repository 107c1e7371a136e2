package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/httpapi"
)

// TestConnectionsAreBoundedWhenTheyCome: those without a request hold descriptors, too.
func TestConnectionsAreBoundedWhenTheyCome(t *testing.T) {
	s := serve(t, &gateways{}, nil)
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			_ = c.Close()
		}
	}()
	for range 64 {
		idle = append(idle, connect(t, s))
	}
	if _, err := s.client.Status(timeout(t)); err == nil {
		t.Error("one more than 64 was taken")
	} else if p := wantProblem(t, err, http.StatusTooManyRequests, "exhausted"); !p.Retryable ||
		!strings.Contains(p.Detail, "64 of one process") {
		t.Errorf("problem = %+v", p)
	}
	for range 3 { // those that send nothing are closed, too
		c := connect(t, s)
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a connection that is one too many: %d, %v", n, err)
		}
		_ = c.Close()
	}
	for _, c := range idle {
		_ = c.Close()
	}
	idle = nil
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // a poll
		if _, err := s.client.Status(timeout(t)); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("no room after all were closed: %v", err)
		}
	}
}

// TestPluginIsRefusedWhenItConnects: before a request, so that it holds nothing of the host.
func TestPluginIsRefusedWhenItConnects(t *testing.T) {
	var plugin atomic.Bool
	plugin.Store(true)
	s := serve(t, &gateways{}, func(o *httpapi.Options) { o.IsPlugin = func(int, int) bool { return plugin.Load() } })
	var silent []net.Conn
	for range 100 { // no request comes: they are closed all the same
		silent = append(silent, connect(t, s))
	}
	for _, c := range silent {
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a connection of a plugin: %d, %v", n, err)
		}
		_ = c.Close()
	}
	c := connect(t, s)
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "plugins may not") {
		t.Errorf("%d %s, %v", res.StatusCode, body, err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is still open: %d, %v", n, err)
	}
	plugin.Store(false)
	if _, err := s.client.Status(timeout(t)); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, s *site) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
