package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
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
	refused := 0
	for range 100 {
		c := connect(t, s)
		idle = append(idle, c)
		if text := saidAtOnce(t, c); text != "" {
			refused++
			if !strings.HasPrefix(text, "HTTP/1.1 429 ") || !strings.Contains(text, "64 of one process") {
				t.Fatalf("answer %q", text)
			}
		}
	}
	if refused == 0 || refused > 40 {
		t.Errorf("%d of 100 were refused, want the 36 above 64", refused)
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
	c := connect(t, s)
	defer func() { _ = c.Close() }()
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

// saidAtOnce returns what comes before any request; "" when nothing does for a moment.
func saidAtOnce(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(c)
	return string(text)
}
