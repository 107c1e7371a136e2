//go:build unix

package shim_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/gatehost/gatehost/shared/shim"
)

// A cleaner of temporary files removes the sockets of what runs for weeks, or their directory with them.
func TestSocketThatWasRemovedIsMadeAgainWhenAClientNeedsIt(t *testing.T) {
	p := newPlace(t)
	o := p.options("cleaned", sh("echo ready; exec sleep 600")...)
	o.Spec.Socket = filepath.Join(p.dir, "r", "s", "x.shim") // neither directory exists yet
	s := start(t, o)
	printed(t, s.Client, "ready")
	for _, path := range []string{o.Spec.Socket, filepath.Join(p.dir, "r")} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Client.State(deadline(t)); err != nil {
			t.Fatalf("State after %s was removed: %v", path, err)
		}
		if fi, err := os.Stat(o.Spec.Socket); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("socket: %v, %v, want mode 0600", fi, err)
		}
		another, err := shim.Connect(deadline(t), p.bundle("cleaned"))
		if err != nil {
			t.Fatalf("Connect after %s was removed: %v", path, err)
		}
		another.Close()
	}
	if stopped, err := s.Client.Stop(deadline(t), patience); err != nil || stopped.Killed {
		t.Errorf("Stop = %+v, %v", stopped, err)
	}
	if err := s.Client.Release(deadline(t)); err != nil {
		t.Errorf("Release: %v", err)
	}
	if _, err := os.Lstat(o.Spec.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there after Release: %v", err)
	}
}

func TestGatewayOfAShimThatCannotBeReachedIsStoppedByItsIdentity(t *testing.T) {
	for name, row := range map[string]struct {
		loss  func(t *testing.T, p place, s shim.Started)
		known bool // the shim can still record the exit
	}{
		"the shim was stopped": {loss: func(t *testing.T, _ place, s shim.Started) {
			t.Helper()
			if err := s.State.Shim.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}},
		"the socket cannot be made again": {known: true, loss: func(t *testing.T, p place, s shim.Started) {
			t.Helper()
			if err := os.RemoveAll(filepath.Dir(s.State.Socket)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Dir(s.State.Socket), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			o := p.options("lost", sh("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")...)
			o.Spec.Socket = filepath.Join(p.dir, "r", "x.shim")
			s := start(t, o)
			printed(t, s.Client, "ready")
			row.loss(t, p, s)
			if _, err := s.Client.Stop(deadline(t), patience); !errors.Is(err, shim.ErrShimGone) {
				t.Fatalf("Stop = %v, want ErrShimGone", err)
			}
			b, err := shim.OpenBundle(p.bundle("lost"))
			if err != nil || !b.ShimAlive {
				t.Fatalf("bundle = %+v, %v", b, err)
			}
			stopped, exit, err := b.StopUnreachable(deadline(t), patience)
			if err != nil || stopped.Killed || (exit != nil) != row.known || row.known && exit.Code != 3 {
				t.Errorf("StopUnreachable = %+v, %+v, %v", stopped, exit, err)
			}
			if s.State.Gateway.Alive() || s.State.Shim.Alive() {
				t.Errorf("gateway alive %t, shim alive %t", s.State.Gateway.Alive(), s.State.Shim.Alive())
			}
		})
	}
}
