package e2e_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testhost"
)

// quickSilence is liveness with figures that a test can wait for.
const quickSilence = `[gateways.main.liveness]
ping = "300ms"
pong_timeout = "200ms"
silence = "6s"
verify_timeout = "2s"
`

// aFrozenProcessIsReplaced: a process that is stopped keeps its sockets open and says nothing. It is found by its
// silence, and SIGTERM has no effect on it, so it is killed after the grace.
func aFrozenProcessIsReplaced(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.extra = quickSilence
	s.writeConfig(strings.Replace(s.config(), `grace = "20s"`, `grace = "2s"`, 1))
	s.run()
	before := s.awaitState("running")
	if err := testhost.Signal(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	after := s.await("another process", func(g gatewayStatus) bool { return g.State == "running" && g.PID != before.PID })
	if after.Restarts != 1 || after.LastExit == nil || after.LastExit.Signal != "SIGKILL" {
		t.Errorf("after: %+v, last exit %+v", after, after.LastExit)
	}
	if out := s.must("explain", "main"); !strings.Contains(out, "silent for 6s") {
		t.Errorf("explain does not say why:\n%s", out)
	}
	s.must("stop", "main")
	s.shutdown()
}

func TestFrozenProcessOfTheEmulatorIsReplaced(t *testing.T) {
	aFrozenProcessIsReplaced(t, emulator(""))
}

// busyFor is how long a gateway may do nothing but work.
const busyFor = 20 * time.Second

// aBusyProcessIsSpared: an event loop that is busy for 20 s says nothing and answers nothing. That is shown, it is
// asked about after its silence, and it is not touched, since it answers when it goes on.
func aBusyProcessIsSpared(t *testing.T, gw gateway) {
	t.Helper()
	s := newSite(t, gw)
	s.extra = strings.NewReplacer(`silence = "6s"`, `silence = "10s"`, `verify_timeout = "2s"`,
		`verify_timeout = "60s"`).Replace(quickSilence)
	s.run()
	before := s.awaitState("running")
	began := time.Now()
	if err := testhost.Signal(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	shows := func(g gatewayStatus, code string) bool {
		return g.State == "running" && slices.ContainsFunc(g.Conditions, func(c condition) bool { return c.Code == code })
	}
	s.await("the condition is shown", func(g gatewayStatus) bool { return shows(g, "unresponsive") })
	s.await("it is asked whether it lives",
		func(g gatewayStatus) bool { return g.Phase == "verifying" && shows(g, "silent") })
	time.Sleep(busyFor - time.Since(began)) // the time is what is tried out
	if err := testhost.Signal(before.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	after := s.await("well again", func(g gatewayStatus) bool {
		return g.State == "running" && g.Phase == "running" && len(g.Conditions) == 0
	})
	if after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	s.must("rpc", "main", "health")
	s.must("stop", "main")
	s.shutdown()
}

func TestBusyProcessOfTheEmulatorIsSpared(t *testing.T) { aBusyProcessIsSpared(t, emulator("")) }

// TestBusyProcessIsAdoptedWhenItAnswers: also a host that begins in that time waits for it, as for one that starts.
func TestBusyProcessIsAdoptedWhenItAnswers(t *testing.T) {
	s := newSite(t, emulator(""))
	s.run()
	before := s.awaitState("running")
	if err := s.host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
	began := time.Now()
	if err := testhost.Signal(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.startHost()
	s.await("it is connected to", func(g gatewayStatus) bool { return g.Phase == "connecting" && g.PID == before.PID })
	time.Sleep(busyFor - time.Since(began)) // the time is what is tried out
	if err := testhost.Signal(before.PID, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	after := s.await("running, adopted", func(g gatewayStatus) bool { return g.State == "running" && g.Adopted })
	if after.PID != before.PID || after.Restarts != 0 {
		t.Errorf("before: %+v\nafter: %+v", before, after)
	}
	s.must("stop", "main")
	s.shutdown()
}

// swallower is a TCP proxy that can stop to pass bytes on, as a dead link does: nothing is closed, nothing comes.
type swallower struct {
	l       net.Listener
	to      string
	swallow atomic.Bool
	conns   atomic.Int64
	open    sync.WaitGroup
}

func newSwallower(t *testing.T, port int) *swallower {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &swallower{l: l, to: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	p.open.Go(p.serve)
	t.Cleanup(func() {
		_ = l.Close()
		p.open.Wait()
	})
	return p
}

func (p *swallower) port() int { return p.l.Addr().(*net.TCPAddr).Port }

func (p *swallower) serve() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.conns.Add(1)
		p.open.Go(func() {
			defer client.Close()
			server, err := net.Dial("tcp", p.to)
			if err != nil {
				return
			}
			defer server.Close()
			var both sync.WaitGroup
			both.Go(func() { p.pass(server, client) })
			both.Go(func() { p.pass(client, server) })
			both.Wait()
		})
	}
}

// pass copies until either end closes; while bytes are swallowed they vanish.
func (p *swallower) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.swallow.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// aDeadLinkIsReplaced: a gateway that is not ours is reached over a link that swallows everything from some moment on.
// Only the connection is made anew; the gateway is never touched.
func aDeadLinkIsReplaced(t *testing.T, gw gateway) {
	t.Helper()
	owner := newSite(t, gw) // owns the gateway
	owner.run()
	before := owner.awaitState("running")
	link := newSwallower(t, owner.port)
	guest := newSite(t, gw) // attaches to it over the link
	guest.port = link.port()
	guest.extra = quickSilence
	guest.run()
	attached := guest.awaitState("running")
	if attached.Owner != "attached" {
		t.Fatalf("owner = %s", attached.Owner)
	}
	conns := link.conns.Load()
	link.swallow.Store(true)
	guest.await("the silence is noticed", func(g gatewayStatus) bool { return g.State == "reconnecting" })
	link.swallow.Store(false)
	guest.await("running again", func(g gatewayStatus) bool { return g.State == "running" })
	if link.conns.Load() <= conns {
		t.Error("no other connection was made")
	}
	guest.must("rpc", "main", "health")
	guest.must("stop", "main") // detaches it
	guest.killHost()
	if now := owner.awaitState("running"); now.PID != before.PID || now.Restarts != 0 {
		t.Errorf("the gateway was touched: before %+v, now %+v", before, now)
	}
	owner.must("stop", "main")
	owner.shutdown()
}

func TestDeadLinkToTheEmulatorIsReplaced(t *testing.T) { aDeadLinkIsReplaced(t, emulator("")) }
