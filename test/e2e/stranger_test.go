package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// The program of these tests is also the stranger: strangerVar is the port that it takes, strangerUIDVar the user that
// it becomes first.
const (
	strangerVar    = "GH_STRANGER_PORT"
	strangerUIDVar = "GH_STRANGER_UID"
)

// strangersUID is a user that is not ours.
const strangersUID = 65534

// playStranger plays a gateway that takes any token, on the port as soon as it is free. It prints what it gets.
func playStranger() {
	port := os.Getenv(strangerVar)
	if port == "" {
		return
	}
	fatal := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "stranger:", err)
			os.Exit(1)
		}
	}
	if uid, err := strconv.Atoi(os.Getenv(strangerUIDVar)); err == nil {
		fatal(errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)))
	}
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	for errors.Is(err, syscall.EADDRINUSE) {
		time.Sleep(time.Millisecond)
		l, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	}
	fatal(err)
	fmt.Println("listening", os.Getpid())
	go func() { fatal(http.Serve(heard{l}, http.HandlerFunc(strange))) }() //nolint:gosec // it waits for no client
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// heard prints every connection.
type heard struct{ net.Listener }

func (h heard) Accept() (net.Conn, error) {
	conn, err := h.Listener.Accept()
	if err == nil {
		fmt.Println("accepted")
	}
	return conn, err
}

func strange(w http.ResponseWriter, r *http.Request) {
	fmt.Println("request", r.URL.Path, r.Header)
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ready":true}`)
		return
	}
	c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	say := func(v any) { _ = c.WriteJSON(v) }
	say(map[string]any{"type": "event", "event": "connect.challenge", "payload": map[string]any{"nonce": "stranger"}})
	for {
		_, data, err := c.ReadMessage()
		if err != nil {
			return
		}
		fmt.Printf("frame %s\n", data)
		var f struct{ ID, Method string }
		_ = json.Unmarshal(data, &f)
		payload := map[string]any{}
		if f.Method == "connect" {
			payload = map[string]any{
				"type": "hello-ok", "protocol": 4, "server": map[string]any{"version": "2026.9.6", "connId": "c", "bootId": "b"},
				"features": map[string]any{"methods": []string{"health"}, "events": []string{"tick"}},
				"auth":     map[string]any{"scopes": []string{"operator.admin"}},
			}
		}
		say(map[string]any{"type": "res", "id": f.ID, "ok": true, "payload": payload})
	}
}

// stranger is another program that wants the port.
type stranger struct {
	cmd *exec.Cmd
	in  io.Closer
	out *safeBuffer
}

// anyone starts a stranger of a user. It takes the port when that is free.
func anyone(t *testing.T, port, uid int) *stranger {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	st := &stranger{cmd: exec.Command(exe), out: &safeBuffer{}}
	st.cmd.Env = []string{strangerVar + "=" + strconv.Itoa(port)}
	if uid != os.Geteuid() {
		st.cmd.Env = append(st.cmd.Env, strangerUIDVar+"="+strconv.Itoa(uid))
	}
	st.cmd.Stdout, st.cmd.Stderr = st.out, os.Stderr
	if st.in, err = st.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := st.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		st.leave()
		if t.Failed() {
			t.Logf("the stranger heard:\n%s", st.out)
		}
	})
	return st
}

func (st *stranger) leave() {
	_ = st.in.Close()
	_ = st.cmd.Wait()
}

func (st *stranger) listens() (bool, string) {
	return strings.Contains(st.out.String(), "listening "+strconv.Itoa(st.cmd.Process.Pid)), st.out.String()
}

// secret matches what must not reach a stranger.
var secret = regexp.MustCompile(`"token"|"signature"|"device"|` + regexp.QuoteMeta(canary))

func (st *stranger) heardNoSecret(t *testing.T) {
	t.Helper()
	if got := secret.FindString(st.out.String()); got != "" {
		t.Errorf("the stranger got %s", got)
	}
}

// refusesStranger waits until the gateway is in error because of the stranger, and checks what an operator is told.
func (s *site) refusesStranger(st *stranger, uid int) {
	s.t.Helper()
	got := s.awaitState("error")
	if got.Error == nil || got.Error.Code != "port_conflict" || got.PID != 0 {
		s.t.Fatalf("status = %+v, want port_conflict and no process", got)
	}
	for _, want := range []string{
		"pid " + strconv.Itoa(st.cmd.Process.Pid), fmt.Sprintf("uid %d", uid), "e2e.test", strconv.Itoa(s.port),
	} {
		if !strings.Contains(got.Error.Message, want) {
			s.t.Errorf("error = %s, want %s in it", got.Error.Message, want)
		}
	}
	if !strings.Contains(got.Error.Hint, "gateways.main.trust_peer = ") ||
		!strings.Contains(got.Error.Hint, strconv.Itoa(s.port)) {
		s.t.Errorf("hint = %s", got.Error.Hint)
	}
	if _, _, code := s.cli("doctor", "main"); code != 1 { // it looks at the port, too
		s.t.Errorf("the doctor exits %d, and a stranger has the port", code)
	}
	st.heardNoSecret(s.t)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
}

// aStrangerWasThereFirst: with on_conflict = "attach" its challenge is not answered.
func aStrangerWasThereFirst(t *testing.T, gw gateway) {
	t.Helper()
	needRoot(t)
	s := newSite(t, gw)
	st := anyone(t, s.port, strangersUID)
	s.eventually("the stranger listens", st.listens)
	s.run()
	s.refusesStranger(st, strangersUID)
	st.leave()
	s.must("start", "main")
	s.awaitState("running")
	s.must("stop", "main")
	s.shutdown()
}

// aStrangerTakesThePort takes it while a gateway that was launched starts; gw must be slow to listen.
func aStrangerTakesThePort(t *testing.T, gw gateway, uid int) {
	t.Helper()
	s := newSite(t, gw)
	s.run()
	s.await("the gateway is launched", func(g gatewayStatus) bool { return g.PID != 0 })
	st := anyone(t, s.port, uid)
	s.eventually("the stranger listens", st.listens)
	s.refusesStranger(st, uid)
	st.leave()
	s.must("start", "main")
	s.awaitState("running")
	s.must("stop", "main")
	s.shutdown()
}

func TestStrangerThatWasThereFirstGetsNoSecret(t *testing.T) { aStrangerWasThereFirst(t, emulator("")) }

func TestStrangerThatTakesThePortDuringAStartGetsNoSecret(t *testing.T) {
	needRoot(t)
	aStrangerTakesThePort(t, emulator("slow-listen=4000"), strangersUID)
}

func TestStrangerOfOurOwnUserThatTakesThePortDuringAStartGetsNoSecret(t *testing.T) {
	aStrangerTakesThePort(t, emulator("slow-listen=4000"), os.Geteuid())
}

// TestStrangerThatFollowsAnAttachedGatewayGetsNoSecret: every connection is proved, not only the first one.
func TestStrangerThatFollowsAnAttachedGatewayGetsNoSecret(t *testing.T) {
	needRoot(t)
	s := newSite(t, emulator(""))
	gw := lone(t, s)
	s.run()
	if got := s.awaitState("running"); got.Owner != "attached" {
		t.Fatalf("status = %+v", got)
	}
	st := anyone(t, s.port, strangersUID)
	if err := gw.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.eventually("the host connects to the stranger, twice", func() (bool, string) {
		return strings.Count(st.out.String(), "accepted") >= 2, st.out.String()
	})
	s.await("not running", func(g gatewayStatus) bool { return g.State != "running" })
	st.heardNoSecret(t)
	s.must("stop", "main")
	st.heardNoSecret(t)
	s.shutdown()
}

// TestStrangerIsTrustedWhereConfiguredSo: the operator may say that every user of the machine is trusted.
func TestStrangerIsTrustedWhereConfiguredSo(t *testing.T) {
	needRoot(t)
	s := newSite(t, emulator(""))
	s.writeConfig(strings.Replace(s.config(), "[gateways.main]\n", "[gateways.main]\ntrust_peer = \"any\"\n", 1))
	st := anyone(t, s.port, strangersUID)
	s.eventually("the stranger listens", st.listens)
	s.run()
	if got := s.awaitState("running"); got.Owner != "attached" {
		t.Errorf("status = %+v", got)
	}
	if !strings.Contains(st.out.String(), canary) {
		t.Error("the stranger did not get the token: the other tests would not notice it either")
	}
	s.must("stop", "main")
	s.shutdown()
}
