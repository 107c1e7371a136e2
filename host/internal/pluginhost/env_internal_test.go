package pluginhost

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/sandbox"
)

// TestEnvironmentOfAPluginIsWhatTheContractNames: a variable that the host does not have is absent, and not empty.
func TestEnvironmentOfAPluginIsWhatTheContractNames(t *testing.T) {
	for _, k := range passed {
		t.Setenv(k, "of-the-host") // so that it is restored
		if err := os.Unsetenv(k); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("TMPDIR", "/var/tmp")
	t.Setenv("OPENCLAW_GATEWAY_TOKEN", "canary")
	spec := Spec{Name: "p", Env: map[string]string{"OWN": "1"}}
	without := func(env []string) []string { // PATH depends on the system
		return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PATH=") })
	}
	want := []string{"GATEHOST_PLUGIN_NAME=p", "LANG=C.UTF-8", "OWN=1", "TMPDIR=/var/tmp"}
	if got := without(environment(spec, "/data")); !slices.Equal(got, want) {
		t.Errorf("environment = %q, want %q", got, want)
	}
	spec.Sandbox, want[3] = &sandbox.Spec{}, "TMPDIR=/data"
	if got := without(environment(spec, "/data")); !slices.Equal(got, want) {
		t.Errorf("in a sandbox = %q, want %q", got, want)
	}
}
