//go:build unix

package server

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/shared/shim"
	"github.com/gatehost/gatehost/shared/shim/outlog"
)

func testSupervisor(t *testing.T, spec shim.Spec) *supervisor {
	t.Helper()
	s := newSupervisor(shim.StartRequest{Spec: spec, BundleDir: t.TempDir()}, nil, nil)
	var err error
	if s.out, err = outlog.Create(s.dir, outlog.MinSize); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.out.Close)
	if err := s.secret.Keep(s.dir); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, conn net.Conn, req shim.Request) {
	t.Helper()
	var answer shim.Response
	if err := shim.WriteFrame(conn, req, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := shim.ReadFrame(conn, &answer); err != nil || answer.Error != nil {
		t.Fatalf("%s: %+v, %v", req.Op, answer.Error, err)
	}
}

// TestConnectionThatSaysNothingIsClosed: each costs a descriptor and a place.
func TestConnectionThatSaysNothingIsClosed(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "idle"})
	hello := shim.Request{Op: shim.OpHello, Versions: []int{shim.ProtocolVersion}, Secret: string(s.secret)}
	for _, row := range []struct {
		name string
		say  []shim.Request
		half string // of a frame
		ends time.Duration
	}{
		{name: "no hello", ends: helloTimeout},
		{name: "half a hello", half: "\x00\x00\x00\x50\x00\x00\x00\x00{", ends: helloTimeout},
		{name: "no request", say: []shim.Request{hello}, ends: idleTimeout},
		{name: "no second request", say: []shim.Request{hello, {Op: shim.OpState}}, ends: idleTimeout},
		{name: "half a request", say: []shim.Request{hello}, half: "\x00\x00", ends: idleTimeout},
		{name: "attached", say: []shim.Request{hello, {Op: shim.OpAttach}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan time.Duration, 1)
				began := time.Now()
				go func() {
					s.handle(ours)
					ended <- time.Since(began)
					s.dismiss(ours)
				}()
				for _, req := range row.say {
					ask(t, theirs, req)
				}
				if _, err := theirs.Write([]byte(row.half)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				select {
				case after := <-ended:
					if row.ends == 0 || after != row.ends {
						t.Errorf("closed after %v, want %v", after, row.ends)
					}
				default:
					if row.ends != 0 {
						t.Error("it is open after a day")
					}
				}
				theirs.Close()
				synctest.Wait()
			})
		})
	}
	if len(s.conns) != 0 || len(s.strangers) != 0 {
		t.Errorf("%d clients and %d strangers are counted", len(s.conns), len(s.strangers))
	}
}

// TestStrangerIsNoHost: a gateway that is to end without a host ends, although another process holds a connection.
func TestStrangerIsNoHost(t *testing.T) {
	grace := time.Hour
	s := testSupervisor(t, shim.Spec{LaunchID: "orphan", OrphanGrace: &grace})
	conn, other := net.Pipe()
	defer other.Close()
	s.strangers = append(s.strangers, conn)
	s.armOrphan()
	if s.orphan == nil {
		t.Error("the stranger stopped the clock")
	}
	if !s.welcome(conn) || s.orphan != nil || len(s.strangers) != 0 {
		t.Error("a client did not stop the clock")
	}
	s.dismiss(conn)
	if s.orphan == nil {
		t.Error("the clock does not run after the last client")
	}
	s.orphan.Stop()
}
