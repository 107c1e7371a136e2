//go:build unix

package server

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// recorded is a connection that notes its deadlines.
type recorded struct {
	net.Conn
	read, write []time.Time
	closed      bool
}

func (r *recorded) SetReadDeadline(t time.Time) error  { r.read = append(r.read, t); return nil }
func (r *recorded) SetWriteDeadline(t time.Time) error { r.write = append(r.write, t); return nil }
func (r *recorded) Close() error                       { r.closed = true; return nil }

func TestShimThatIsFullOrEndsTakesNoClient(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "full"})
	for n := range maxConns {
		if !s.welcome(&recorded{}) {
			t.Fatalf("client %d was refused", n)
		}
	}
	last := &recorded{}
	if s.welcome(last) || len(s.conns) != maxConns {
		t.Errorf("one more was taken: %d", len(s.conns))
	}
	for conn := range s.conns {
		s.dismiss(conn)
		break
	}
	if len(s.conns) != maxConns-1 || !s.welcome(last) {
		t.Errorf("a place that is free again was not given: %d", len(s.conns))
	}
	s = testSupervisor(t, shim.Spec{LaunchID: "ends"})
	s.closing = true
	if s.welcome(&recorded{}) || s.admit(&recorded{}) || len(s.conns)+len(s.strangers) != 0 {
		t.Error("a shim that ends took a connection")
	}
}

func TestOldestStrangerMakesRoom(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "crowd"})
	var all []*recorded
	for range maxStrangers + 2 {
		conn := &recorded{}
		all = append(all, conn)
		if !s.admit(conn) {
			t.Fatal("refused")
		}
	}
	for n, conn := range all {
		if conn.closed != (n < 2) {
			t.Errorf("stranger %d: closed %t", n, conn.closed)
		}
	}
	if len(s.strangers) != maxStrangers {
		t.Errorf("%d strangers are counted", len(s.strangers))
	}
}

// TestConnectionWhoseUserIsNotKnownIsRefused: where the system can tell it.
func TestConnectionWhoseUserIsNotKnownIsRefused(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "unknown"})
	ear, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	conn, err := net.Dial("unix", ear.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if !s.admit(conn) {
		t.Error("our own user was refused")
	}
	conn.Close()
	if s.admit(conn) {
		t.Error("nothing is known of the other end, and it was taken")
	}
}

// TestDeadlinesOfShutdownStay: a request or an answer under way does not lengthen them.
func TestDeadlinesOfShutdownStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSupervisor(t, shim.Spec{LaunchID: "patience"})
		none, now := time.Time{}, time.Now()
		conn := &recorded{}
		if !s.patient(conn, time.Minute) || !s.patient(conn, 0) {
			t.Error("a request is not waited for")
		}
		s.hurry(conn)
		if !slices.Equal(conn.read, []time.Time{now.Add(time.Minute), none}) ||
			!slices.Equal(conn.write, []time.Time{none, none, now.Add(writeTimeout)}) {
			t.Errorf("deadlines: %v, %v", conn.read, conn.write)
		}
		s.closing = true
		conn = &recorded{}
		s.hurry(conn)
		if s.patient(conn, time.Minute) || len(conn.read)+len(conn.write) != 0 {
			t.Errorf("deadlines: %v, %v", conn.read, conn.write)
		}
	})
}

// TestShortestGraceCounts: of stops that run at once.
func TestShortestGraceCounts(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "stops"})
	s.begin(time.Hour)
	defer func() { s.killer.Stop() }()
	first := s.killAt
	if s.killer == nil || !s.state.StopAsked {
		t.Fatal("no stop is under way")
	}
	s.begin(2 * time.Hour)
	if !s.killAt.Equal(first) {
		t.Errorf("a longer grace counts: %v instead of %v", s.killAt, first)
	}
	s.begin(time.Minute)
	if !s.killAt.Before(first) {
		t.Errorf("a shorter grace does not count: %v", s.killAt)
	}
	over := testSupervisor(t, shim.Spec{LaunchID: "over"})
	over.exit = &shim.Exit{}
	if over.begin(time.Hour); over.killer != nil || over.state.StopAsked {
		t.Error("what has ended is stopped")
	}
}

// TestSignalOfWhatHasEndedIsRefused: its number may belong to another process.
func TestSignalOfWhatHasEndedIsRefused(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "signals"})
	s.exit = &shim.Exit{}
	for name, want := range map[string]error{"SIGHUP": shim.ErrEnded, "SIGNOTHING": shim.ErrBadSignal} {
		if err := s.signal(name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClockOfAnOrphanRunsOnlyWithoutAHost: and not for a gateway that has ended, or that may live without one.
func TestClockOfAnOrphanRunsOnlyWithoutAHost(t *testing.T) {
	grace := time.Hour
	for _, row := range []struct {
		name   string
		change func(*supervisor)
		runs   bool
	}{
		{"no host", func(*supervisor) {}, true},
		{"a host", func(s *supervisor) { s.conns[&recorded{}] = struct{}{} }, false},
		{"an end", func(s *supervisor) { s.exit = &shim.Exit{} }, false},
		{"no grace", func(s *supervisor) { s.spec.OrphanGrace = nil }, false},
	} {
		s := testSupervisor(t, shim.Spec{LaunchID: "clock", OrphanGrace: &grace})
		row.change(s)
		s.armOrphan()
		if (s.orphan != nil) != row.runs {
			t.Errorf("%s: runs %t", row.name, s.orphan != nil)
		}
		if s.orphan != nil {
			s.orphan.Stop()
		}
	}
}

// TestSecretThatCannotBeWrittenAnewIsLogged: the client is told the same in either case.
func TestSecretThatCannotBeWrittenAnewIsLogged(t *testing.T) {
	s := testSupervisor(t, shim.Spec{LaunchID: "secret"})
	said := func() bool {
		text, err := os.ReadFile(filepath.Join(s.dir, shim.LogFile))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "cannot write the secret of the launch anew")
	}
	hello := shim.Request{Op: shim.OpHello, Versions: []int{shim.ProtocolVersion}, Secret: "a guess"}
	if f := s.refuse(hello); f == nil || f.Code != shim.CodeForbidden || said() {
		t.Errorf("%+v, logged %t", f, said())
	}
	dir := s.dir
	s.dir = filepath.Join(dir, "gone")
	f := s.refuse(hello)
	s.dir = dir
	if f == nil || f.Code != shim.CodeForbidden || !said() {
		t.Errorf("%+v, logged %t", f, said())
	}
}

// TestShutdownStopsTheClockOfAnOrphan: and closes what a shim has open, with a clock or without one.
func TestShutdownStopsTheClockOfAnOrphan(t *testing.T) {
	for _, clock := range []bool{false, true} {
		s := testSupervisor(t, shim.Spec{LaunchID: "shutdown"})
		var err error
		if s.record, err = shim.ReserveExit(s.dir); err != nil {
			t.Fatal(err)
		}
		if s.lock, err = shim.Lock(s.dir); err != nil {
			t.Fatal(err)
		}
		if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(s.dir, "s"), Net: "unix"}); err != nil {
			t.Fatal(err)
		}
		if clock {
			s.orphan = time.AfterFunc(time.Hour, func() {})
		}
		client, stranger := &recorded{}, &recorded{}
		s.conns[client], s.strangers = struct{}{}, []net.Conn{stranger}
		s.shutdown()
		if s.orphan != nil && s.orphan.Stop() {
			t.Error("the clock runs on")
		}
		if !s.closing || len(client.read) != 1 || len(client.write) != 1 || len(stranger.read) != 1 {
			t.Errorf("closing %t, deadlines %v %v %v", s.closing, client.read, client.write, stranger.read)
		}
		if lock, err := shim.Lock(s.dir); err != nil || lock == nil {
			t.Errorf("the lock is held: %v", err)
		} else {
			lock.Close()
		}
	}
}

// TestKillThatComesTooLateKilledNothing: the gateway ended within its grace after all.
func TestKillThatComesTooLateKilledNothing(t *testing.T) {
	for _, before := range []bool{false, true} {
		s := testSupervisor(t, shim.Spec{LaunchID: "late"})
		s.exit, s.killed = &shim.Exit{}, before
		if s.kill(); s.killed != before || s.swept != 0 {
			t.Errorf("killed %t before, then %t", before, s.killed)
		}
	}
}
