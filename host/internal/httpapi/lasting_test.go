//go:build unix

package httpapi_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/httpapi"
)

// greeting connects and reads what the listener's side says.
func greeting(t *testing.T, path string) string {
	t.Helper()
	conn, err := net.Dial("unix", path) //nolint:noctx // a local socket
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestControlSocketThatWasRemovedIsMadeAgain(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	first, second := filepath.Join(dir, "a", "s"), filepath.Join(dir, "b", "s")
	paths := make(chan string, 3)
	paths <- first
	paths <- first
	paths <- second // the first place cannot be made any more
	bound := make(chan string, 3)
	l, err := httpapi.ListenLasting(httpapi.Lasting{
		Path:  func() (string, error) { return <-paths, nil },
		Bound: func(path string) { bound <- path }, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	for i, path := range []string{first, first, second} {
		select {
		case got := <-bound:
			if got != path {
				t.Fatalf("socket %d is %s, want %s", i, got, path)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("socket %d was not made again", i)
		}
		if got := greeting(t, path); got != "hello" {
			t.Errorf("socket %d says %q", i, got)
		}
		if i < 2 {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-served
	if _, err := os.Lstat(second); !os.IsNotExist(err) {
		t.Errorf("the socket is there after Close: %v", err)
	}
}
