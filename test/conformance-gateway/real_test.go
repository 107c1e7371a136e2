//go:build real && unix

package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehost/gatehost/internal/testreal"
	"github.com/gatehost/gatehost/shared/gatewaytest"
)

func realTarget(t *testing.T) target {
	t.Helper()
	command, path := testreal.OpenClaw(t)
	return target{name: "openclaw", command: command, path: path, release: testreal.Release(t)}
}

// TestEmulatorLivesAsOpenClaw starts each once, one after the other. With GATEHOST_CAPTURE it writes down how the real
// one lived.
func TestEmulatorLivesAsOpenClaw(t *testing.T) {
	release := testreal.Release(t)
	want := live(t, realTarget(t))
	nothingLeft(t)
	if dir := os.Getenv("GATEHOST_CAPTURE"); dir != "" {
		capture(t, dir, want)
	}
	live(t, emulatorAs(t, "0.3", release)).compare(t, want)
}

// TestSignalsDoToTheEmulatorWhatTheyDoToOpenClaw sends SIGUSR2, which restarts the newest release and kills the older
// ones. SIGUSR1 is what TestEmulatorLivesAsOpenClaw restarts the oldest by; to the newest it is never sent.
func TestSignalsDoToTheEmulatorWhatTheyDoToOpenClaw(t *testing.T) {
	release := testreal.Release(t)
	signalled := func(tg target) []string {
		h := newHome(t)
		p := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
		conn, _ := untilOpen(t, h)
		defer func() { _ = conn.NetConn().Close() }()
		if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		shutdown, closed := untilClosed(t, conn)
		if shutdown == "" {
			return []string{"no event", "exit " + strconv.Itoa(p.exit())}
		}
		again, _ := untilOpen(t, h)
		_ = again.NetConn().Close()
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		return []string{shutdown, closed, "exit " + strconv.Itoa(p.exit())}
	}
	want := signalled(realTarget(t))
	if d := difference(signalled(emulatorAs(t, "0.05", release)), want); d != "" {
		t.Error(d)
	}
	nothingLeft(t)
}

// TestPortConflictEndsAsWithOpenClaw starts a second gateway with a home of its own on the port of the first.
func TestPortConflictEndsAsWithOpenClaw(t *testing.T) {
	release := testreal.Release(t)
	conflict := func(tg target) []string {
		h, other := newHome(t), newHome(t)
		first := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
		conn, _ := untilOpen(t, h)
		defer func() { _ = conn.NetConn().Close() }()
		second := tg.start(t, other, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
		out := []string{"exit " + strconv.Itoa(second.exit())}
		for _, l := range cleaned(second.output()) {
			if strings.Contains(l, "already listening") || strings.Contains(l, "already in use") {
				out = append(out, l)
			}
		}
		_ = first.cmd.Process.Signal(syscall.SIGTERM)
		first.exit()
		return out
	}
	want := conflict(realTarget(t))
	if d := difference(conflict(emulatorAs(t, "0.05", release)), want); d != "" {
		t.Error(d)
	}
	nothingLeft(t)
}

func TestEmulatorRefusesBrokenConfigsAsOpenClaw(t *testing.T) {
	for name, config := range brokenConfigs() {
		t.Run(name, func(t *testing.T) {
			want, wantCode := realTarget(t).startWithConfig(t, config)
			release := testreal.Release(t)
			got, code := emulatorAs(t, "0.01", release).startWithConfig(t, config)
			if code != wantCode {
				t.Errorf("exit %d, want %d", code, wantCode)
			}
			if release == gatewaytest.Version {
				compareStreams(t, got, want)
				return
			}
			compareKeys(t, "line", set(complaints(got)), set(complaints(want))) // the older ones say much beside, and traces
		})
	}
	nothingLeft(t)
}

// TestEmulatorValidatesConfigsAsOpenClaw compares `config validate --json`, which changes nothing.
func TestEmulatorValidatesConfigsAsOpenClaw(t *testing.T) {
	configs := brokenConfigs()
	configs["good"] = `{"gateway":{"mode":"local"}}`
	configs["missing"] = "-"
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			if config != "-" {
				if err := os.WriteFile(h.config(), []byte(config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			validate := func(tg target) []string {
				p := tg.start(t, h, "config", "validate", "--json")
				code := p.exit()
				var text strings.Builder
				for _, l := range p.output() {
					if rest, ok := strings.CutPrefix(l, "stdout "); ok {
						text.WriteString(rest)
					}
				}
				var v any
				_ = json.Unmarshal([]byte(text.String()), &v) // what is no JSON is null
				return []string{"exit " + strconv.Itoa(code), strings.ReplaceAll(exact(v), filepath.Dir(h.config()), "STATE")}
			}
			want := validate(realTarget(t))
			if d := difference(validate(emulatorAs(t, "0", testreal.Release(t))), want); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDoctorTableHoldsForOpenClaw keeps the table that the emulator plays honest.
func TestDoctorTableHoldsForOpenClaw(t *testing.T) {
	for _, row := range doctorTable(testreal.Release(t)) {
		t.Run(row.name, func(t *testing.T) { checkDoctor(t, realTarget(t), row) })
	}
	nothingLeft(t)
}

// nothingLeft waits until no process of a test's home is alive.
func nothingLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := ofOurs()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", left)
		}
		time.Sleep(100 * time.Millisecond) // a poll
	}
}

// ofOurs is every process with a home of these tests in its environment.
func ofOurs() []string {
	var out []string
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range entries {
		data, _ := os.ReadFile(e) //nolint:gosec // a process that is gone is not left
		if strings.Contains(string(data), "HOME="+filepath.Join(os.TempDir(), "ghcf")) {
			out = append(out, e)
		}
	}
	return out
}
