package pluginhost_test

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
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
			h, _ := newHost(t, quick(), spec)
			if text, err := attempt(t, h, "env PLUGIN_CLIENT_CERT"); err != nil || text != "" {
				t.Errorf("a certificate: %q, %v", text, err)
			}
			if err := h.Restart(t.Context(), "p"); err != nil {
				t.Error(err)
			}
		})
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
