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
)

// capture writes down what the emulator plays of a release: how it lived, and its hello and samples, which are read,
// shortened and copied to shared/gatewaytest/data by hand.
func capture(t *testing.T, dir string, l life) {
	t.Helper()
	tg, h := realTarget(t), newHome(t)
	p := tg.start(t, h, "gateway", "--port", strconv.Itoa(h.port), "--bind", "loopback", "--allow-unconfigured")
	conn, hello := untilOpen(t, h)
	defer func() { _ = conn.NetConn().Close() }()
	samples := map[string]any{}
	for _, method := range sampled() {
		if err := conn.WriteJSON(map[string]any{
			"type": "req", "id": method, "method": method, "params": map[string]any{},
		}); err != nil {
			t.Fatal(err)
		}
		for {
			var f map[string]any
			if err := conn.ReadJSON(&f); err != nil {
				t.Fatal(err)
			}
			if f["type"] == "event" && f["event"] == "health" {
				samples["event health"] = f
			}
			if f["type"] == "res" && f["id"] == method {
				samples[method] = f["payload"]
				if f["ok"] != true {
					t.Logf("%s: %v", method, f["error"])
					delete(samples, method)
				}
				break
			}
		}
	}
	for name, v := range map[string]any{tg.release: l, "hello-" + tg.release: hello, "samples-" + tg.release: samples} {
		data, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), h.dir, "$HOME") + "\n"
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.exit()
}

// sampled are the methods whose answers are played as they were captured.
func sampled() []string {
	return []string{
		"health", "status", "system-presence", "system.info", "last-heartbeat", "gateway.identity.get",
		"gateway.restart.preflight", "channels.status", "node.list", "agents.list", "logs.tail", "doctor.memory.status",
		"diagnostics.stability", "diagnostics.lanes", "models.list", "sessions.list", "update.status", "cron.status",
		"device.pair.list", "gateway.suspend.status",
	}
}
