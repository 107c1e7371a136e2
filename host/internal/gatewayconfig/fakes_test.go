package gatewayconfig_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehost/gatehost/host/internal/gatewayconfig"
	"github.com/gatehost/gatehost/internal/frame"
	"github.com/gatehost/gatehost/internal/json5"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const placeholder = gatewayconfig.Placeholder

// gateway is a gateway with a configuration file. It behaves as 2026.9.6 was measured to: config.get hides tokens and
// adds defaults, config.set takes that shape, puts secrets back and takes defaults out.
type gateway struct {
	t    *testing.T
	path string

	mu       sync.Mutex // guards all below
	presence gatewayconfig.Presence
	calls    []string
	sets     []json.RawMessage

	OnPresence func(n int) gatewayconfig.Presence        // of the n-th look, from 1
	OnSet      func(n int, persist func()) (bool, error) // of the n-th config.set; true: that is the answer
	OnGet      func(n int, payload map[string]any)       // may change the payload
	Restarts   string                                    // the path that is not hot
	looks      int
}

func (g *gateway) Presence() gatewayconfig.Presence {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looks++
	if g.OnPresence != nil {
		return g.OnPresence(g.looks)
	}
	return g.presence
}

func (g *gateway) read() string {
	g.t.Helper()
	data, err := os.ReadFile(g.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Error(err)
	}
	return string(data)
}

func (g *gateway) write(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.path, []byte(text), 0o600); err != nil {
		g.t.Error(err)
	}
}

func (g *gateway) count(method string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, c := range g.calls {
		if c == method {
			n++
		}
	}
	return n
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "hash:" + hex.EncodeToString(sum[:4])
}

func (g *gateway) source() map[string]any {
	g.t.Helper()
	doc, err := json5.Parse(g.read())
	if err != nil {
		g.t.Errorf("the file is not JSON5: %v", err)
		return nil
	}
	return doc.Value().(map[string]any)
}

// defaults are what the gateway adds to what it runs by.
func defaults() map[string]any {
	return map[string]any{"messages": map[string]any{"ackReactionScope": "group-mentions"}}
}

func hide(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, x := range m {
		if out[k] = hide(x); strings.Contains(k, "token") {
			out[k] = placeholder
		}
	}
	return out
}

func restore(v, from any) any {
	if v == placeholder {
		return from
	}
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	f, _ := from.(map[string]any)
	for k := range m {
		m[k] = restore(m[k], f[k])
	}
	return m
}

func (g *gateway) Call(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.calls = append(g.calls, method)
	g.mu.Unlock()
	switch method {
	case "config.get":
		runtime := hide(g.source()).(map[string]any)
		for k, v := range defaults() {
			if _, ok := runtime[k]; !ok {
				runtime[k] = v
			}
		}
		payload := map[string]any{
			"path": g.path, "exists": true, "raw": g.read(), "valid": true, "hash": hashOf(g.read()), "config": runtime,
			"parsed": hide(g.source()), "resolved": hide(g.source()), "issues": []any{},
		}
		if g.OnGet != nil {
			g.OnGet(g.count(method), payload)
		}
		return json.Marshal(payload)
	case "config.schema.lookup":
		var p struct{ Path string }
		_ = json.Unmarshal(params, &p)
		kind := "hot"
		if p.Path == g.Restarts {
			kind = "restart"
		}
		return json.Marshal(map[string]any{"path": p.Path, "reloadKind": kind})
	case "config.set":
		return g.set(params)
	default:
		return nil, &frame.Error{Code: "INVALID_REQUEST", Message: "unknown method: " + method}
	}
}

func (g *gateway) set(params json.RawMessage) (json.RawMessage, error) {
	g.mu.Lock()
	g.sets = append(g.sets, params)
	n := len(g.sets)
	g.mu.Unlock()
	var p struct{ Raw, BaseHash string }
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, err
	}
	persist := func() {
		doc, err := json5.Parse(p.Raw)
		if err != nil {
			g.t.Errorf("config.set got %q: %v", p.Raw, err)
			return
		}
		value := restore(doc.Value(), g.source()).(map[string]any)
		for k, v := range defaults() {
			if fmt.Sprint(value[k]) == fmt.Sprint(v) {
				delete(value, k)
			}
		}
		value["meta"] = map[string]any{"lastTouchedVersion": "2026.9.6"}
		text, _ := json.MarshalIndent(value, "", "  ")
		g.write(string(text) + "\n")
	}
	if g.OnSet != nil {
		if answered, err := g.OnSet(n, persist); answered {
			return json.RawMessage(`{"ok":true}`), err
		}
	}
	if p.BaseHash != hashOf(g.read()) {
		return nil, conflict()
	}
	persist()
	return json.RawMessage(`{"ok":true}`), nil
}

func conflict() error {
	return &frame.Error{Code: "INVALID_REQUEST", Message: "config changed since last load; re-run config.get and retry"}
}

const plain = `{
  "gateway": {
    "mode": "local",
    "auth": {
      "mode": "token",
      "token": "sesame-12345678"
    }
  },
  "logging": {
    "level": "info"
  }
}
`

func newGateway(t *testing.T, presence gatewayconfig.Presence, text string) (*gateway, *gatewayconfig.Editor) {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, path: filepath.Join(dir, "openclaw.json"), presence: presence}
	if text != "" {
		g.write(text)
	}
	return g, g.editor()
}

// editor is that of a new host.
func (g *gateway) editor() *gatewayconfig.Editor {
	return gatewayconfig.New(gatewayconfig.Options{
		Gateway: g, Path: func() (string, error) { return g.path, nil },
		Dir:  filepath.Join(filepath.Dir(g.path), "edits", "main"),
		Wait: 10 * time.Second, Settle: 300 * time.Millisecond, Poll: 5 * time.Millisecond,
		CallTimeout: 10 * time.Second, Keep: 3,
	})
}

func path(t *testing.T, s string) json5.Path {
	t.Helper()
	p, err := json5.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (g *gateway) at(s string) any {
	g.t.Helper()
	v, _ := gatewayconfig.Lookup(g.source(), path(g.t, s))
	return v
}
