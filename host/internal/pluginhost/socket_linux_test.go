package pluginhost_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// TestPluginWithoutMutualTLS: transport = "socket", for languages where certificates are a burden.
func TestPluginWithoutMutualTLS(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		shut *sandbox.Spec
	}{
		{name: "as it is"},
		{name: "sandboxed", shut: &sandbox.Spec{}},
		{name: "a child of a script", args: []string{"script-of-another"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			spec := testPlugin(row.args...)
			spec.Transport, spec.Sandbox = pluginhost.TransportSocket, row.shut
			h, dir := newHost(t, quick(), spec)
			if text, err := attempt(t, h, "env PLUGIN_CLIENT_CERT"); err != nil || text != "" {
				t.Errorf("a certificate: %q, %v", text, err)
			}
			if text, err := attempt(t, h, "env "+pluginkit.SecretVariable); err != nil || text != "" {
				t.Errorf("children would inherit %q, %v", text, err)
			}
			if err := h.Restart(t.Context(), "p"); err != nil {
				t.Error(err)
			}
			strangers(t, dir)
		})
	}
}

// strangers calls the plugins of a host on their sockets, as any process of their user can.
func strangers(t *testing.T, dir string) {
	t.Helper()
	sockets, err := filepath.Glob(filepath.Join(dir, "rt", "p*", "*", "*", "plugin*"))
	if err != nil || len(sockets) == 0 {
		t.Fatalf("sockets: %q, %v", sockets, err)
	}
	refused := 0
	for _, path := range sockets {
		conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = pluginkit.NewClient(conn).Describe(ctx, plugin.HostInfo{})
		switch {
		case err != nil && strings.Contains(err.Error(), "does not carry its secret"):
			refused++
		case !errors.Is(err, fault.ErrPluginGone): // the one that was replaced
			t.Errorf("%s answers a stranger: %v", path, err)
		}
		cancel()
		_ = conn.Close()
	}
	if refused == 0 {
		t.Error("no plugin was found that lives")
	}
}

func TestWhoAnswersOnTheSocketIsProved(t *testing.T) {
	for mode, want := range map[string]string{
		"impostor":   "answers on its socket",
		"old-socket": "not on a unix socket in",
		"elsewhere":  "not on",
	} {
		t.Run(mode, func(t *testing.T) {
			spec := testPlugin(mode)
			spec.Transport, spec.Env = pluginhost.TransportSocket, map[string]string{"GATEHOST_TEST_DIR": t.TempDir()}
			timing := quick()
			timing.CircuitAfter = 1
			h, _ := newHost(t, timing, spec)
			if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), want) {
				t.Errorf("error = %v, want %q", s.Err, want)
			}
		})
	}
}
