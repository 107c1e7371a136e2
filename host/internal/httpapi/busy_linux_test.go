package httpapi_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/host/internal/httpapi"
	"github.com/gatehost/gatehost/shared/fault"
)

// TestSocketOfABusyHostIsNotReplaced: it does not answer now, because many ask it.
func TestSocketOfABusyHostIsNotReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	busy(t, path)
	if _, err := httpapi.Listen(path); !errors.Is(err, fault.ErrConflict) {
		t.Errorf("error = %v", err)
	}
}

// busy listens on a socket whose queue of connections is full.
func busy(t *testing.T, path string) {
	t.Helper()
	socket := func() int {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
		return fd
	}
	address := &syscall.SockaddrUnix{Name: path}
	l := socket()
	if err := errors.Join(syscall.Bind(l, address), syscall.Listen(l, 0)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := syscall.Connect(socket(), address); errors.Is(err, syscall.EAGAIN) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the queue does not become full")
}
