//go:build real && unix

package session_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/session"
	"github.com/gatehost/gatehost/internal/release"
	"github.com/gatehost/gatehost/internal/testreal"
)

// TestSessionWithOpenClaw plays a session's whole life with the real gateway, started once.
func TestSessionWithOpenClaw(t *testing.T) {
	cmd, port := openClaw(t)
	o := session.Options{URL: "ws://127.0.0.1:" + strconv.Itoa(port) +
		"/ws", Token: "real-test-token", Device: device(t), Version: "1.2.3"}
	s := untilOpen(t, o)
	want, h := release.Of(testreal.Release(t), nil), s.Hello()
	q := release.Of(h.Version, h.Methods)
	if !q.Known || h.Version != want.Release || h.Protocol != q.Protocol || (h.BootID != "") != q.BootID ||
		h.TickInterval != 30*time.Second {
		t.Errorf("hello = %+v, want that of %+v", h, want)
	}
	if q.RestartRequest != want.RestartRequest || q.Suspend != want.Suspend || q.SystemInfo != want.SystemInfo ||
		!slices.Equal(q.Reload, want.Reload) {
		t.Errorf("it advertises %+v, the table says %+v", q, want)
	}
	methods := []string{"health", "status", "system-presence", "config.get"}
	if q.SystemInfo {
		methods = append(methods, release.MethodInfo)
	}
	for _, method := range methods { // with the scopes that it has, whether hello names them or not
		if got, err := s.Call(t.Context(), method, nil); err != nil || len(got) == 0 {
			t.Errorf("%s: %d bytes, %v", method, len(got), err)
		}
	}
	wrong := o
	wrong.Token = "not-the-token"
	if got := refused(t, wrong); got.Code != "AUTH_TOKEN_MISMATCH" || !got.Final {
		t.Errorf("wrong token: %+v", got)
	}
	restart(t, s, cmd, q)
	if end := over(t, s); !end.Restart || !end.Shutdown || end.Code != 1012 || end.Expected != 1500*time.Millisecond {
		t.Errorf("restart: %+v", end)
	}
	again := untilOpen(t, o)
	if q.BootID && again.Hello().BootID == s.Hello().BootID {
		t.Error("the bootId did not change")
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it was not restarted in process: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if end := over(t, again); end.Restart || !end.Shutdown || end.Code != 1012 {
		t.Errorf("stop: %+v", end)
	}
}

// TestSessionWithOpenClawInEachMode opens a session by password, beside a trusted proxy and without authentication.
func TestSessionWithOpenClawInEachMode(t *testing.T) {
	const password = "real-test-password"
	for mode, config := range map[string]string{
		"password":      `"mode": "password", "password": "` + password + `"`,
		"trusted-proxy": `"mode": "trusted-proxy", "password": "` + password + `", "trustedProxy": {"userHeader": "x-user"}`,
		"none":          `"mode": "none"`,
	} {
		t.Run(mode, func(t *testing.T) {
			_, port, _ := openClawWith(t, `{"gateway": {"mode": "local", "trustedProxies": ["10.9.9.9"], "auth": {`+config+`}}}`)
			o := session.Options{URL: "ws://127.0.0.1:" + strconv.Itoa(port) + "/ws", Device: device(t)}
			if mode != "none" {
				o.Password = password
			}
			s := untilOpen(t, o)
			if _, err := s.Call(t.Context(), "status", nil); err != nil {
				t.Errorf("status: %v", err)
			}
			if mode == "none" {
				return
			}
			o.Password = "not-the-password"
			if got := refused(t, o); got.Code != "AUTH_PASSWORD_MISMATCH" || !got.Final {
				t.Errorf("another password: %+v", got)
			}
			o.Password, o.Token = "", "a-token"
			if got := refused(t, o); !got.Final {
				t.Errorf("a token: %+v", got)
			}
		})
	}
}

// TestSessionWithOpenClawOverTLS trusts the certificate that OpenClaw made for itself.
func TestSessionWithOpenClawOverTLS(t *testing.T) {
	_, port, home := openClawWith(t, `{"gateway": {"mode": "local", "tls": {"enabled": true}}}`,
		"OPENCLAW_GATEWAY_TOKEN=real-test-token")
	s := untilOpen(t, session.Options{
		URL: "wss://127.0.0.1:" + strconv.Itoa(port) + "/ws", Token: "real-test-token", Device: device(t),
		TLS: checked(func(s tls.ConnectionState) error {
			text, err := os.ReadFile(filepath.Join(home, ".openclaw", "gateway", "tls", "gateway-cert.pem"))
			if err != nil {
				return err
			}
			if block, _ := pem.Decode(text); block == nil || !bytes.Equal(block.Bytes, s.PeerCertificates[0].Raw) {
				return errors.New("it is another certificate")
			}
			return nil
		}),
	})
	if _, err := s.Call(t.Context(), "status", nil); err != nil {
		t.Error(err)
	}
	if got := refused(t, session.Options{
		URL: "ws://127.0.0.1:" + strconv.Itoa(port) + "/ws", Token: "real-test-token",
	}); got.Code != "tls_required" {
		t.Errorf("without TLS: %+v", got)
	}
}

// restart asks for a restart in process in the way that the table has for this release.
func restart(t *testing.T, s *session.Session, cmd *exec.Cmd, q release.Quirks) {
	t.Helper()
	var err error
	if len(q.Reload) == 0 {
		t.Fatalf("no way to restart %+v", q)
	}
	switch q.Reload[0] {
	case release.RPC:
		_, err = s.Call(t.Context(), release.MethodRestart, []byte(`{"reason":"test"}`))
	case release.SIGUSR1:
		err = cmd.Process.Signal(syscall.SIGUSR1)
	case release.SIGUSR2:
		err = cmd.Process.Signal(syscall.SIGUSR2)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openClaw starts the real gateway in a home of its own and ends it with the test.
func openClaw(t *testing.T) (cmd *exec.Cmd, port int) {
	t.Helper()
	cmd, port, _ = openClawWith(t, "", "OPENCLAW_GATEWAY_TOKEN=real-test-token")
	return cmd, port
}

// openClawWith starts it with a configuration and more variables.
func openClawWith(t *testing.T, config string, env ...string) (cmd *exec.Cmd, port int, home string) {
	t.Helper()
	command, path := testreal.OpenClaw(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	home = t.TempDir()
	if config != "" {
		if err := os.Mkdir(filepath.Join(home, ".openclaw"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".openclaw", "openclaw.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	//nolint:noctx // ended by its own signals
	cmd = exec.Command(command[0],
		append(command[1:], "gateway", "--port", strconv.Itoa(port), "--bind", "loopback", "--allow-unconfigured")...)
	cmd.Env = append([]string{
		"HOME=" + home, "PATH=" + strings.Join(append(path, os.Getenv("PATH")), ":"),
		"OPENCLAW_NO_RESPAWN=1",
		"OPENCLAW_DISABLE_BONJOUR=1", "OPENCLAW_EXEC_SHELL_SNAPSHOT=0", "OPENCLAW_NO_AUTO_UPDATE=1",
		"OPENCLAW_SKIP_CHANNELS=1",
	}, env...)
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text)
		}
	})
	return cmd, port, home
}

// untilOpen dials as long as the refusals say that it is worth it.
func untilOpen(t *testing.T, o session.Options) *session.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	for {
		s, err := session.Dial(ctx, o)
		if err == nil {
			t.Cleanup(func() { hangUp(s) })
			return s
		}
		if ctx.Err() != nil || strings.Contains(err.Error(), "unauthorized") {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // a poll
	}
}
