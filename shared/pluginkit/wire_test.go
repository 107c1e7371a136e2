package pluginkit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

// TestOtherLanguagesAreToldTheSameWire compares the page for authors without an SDK, and the two plugins that were made
// by it, with what this package says on the wire.
func TestOtherLanguagesAreToldTheSameWire(t *testing.T) {
	codes := []fault.Code{
		fault.NotFound, fault.AlreadyExists, fault.InvalidArgument, fault.FailedPrecondition, fault.PermissionDenied,
		fault.Unsupported,
		fault.Unavailable, fault.DeadlineExceeded, fault.Cancelled, fault.Exhausted, fault.Conflict, fault.Internal,
	}
	for _, name := range []string{
		"docs/plugin-wire.md", "examples/doctor-node/gatehost.js",
		"examples/doctor-python/gatehost.py",
	} {
		text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		wants := []string{
			pluginkit.CookieKey, pluginkit.CookieValue, pluginkit.SecretEnv, pluginkit.SecretKey,
			"UNAUTHENTICATED", "PLUGIN_UNIX_SOCKET_DIR", "PLUGIN_CLIENT_CERT",
			"GATEHOST_PLUGIN", "--describe",
			fmt.Sprintf("1|%d|unix|", pluginkit.ProtocolVersion), "|grpc", "gatehost.plugin.v1alpha1",
			"grpc-status-details-bin",
		}
		for _, code := range codes {
			wants = append(wants, string(code))
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
	}
}
