package view

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

func askText(asks []control.PluginAsk) string {
	var lines []string
	for _, a := range asks {
		lines = append(lines, fmt.Sprintf("%s %s asked=%t given=%t %s", a.What, a.Value, a.Asked, a.Given, a.Key))
	}
	return strings.Join(lines, "\n")
}

// The report compares what the manifest asks for, what Describe asks for, and what the operator gave.
func TestTrustReportHasEachThingThatWasAskedOrGiven(t *testing.T) {
	s := pluginhost.State{
		Manifest: &manifest.Manifest{
			Plugin: "x", Grants: []string{"gateway-config"}, Read: []string{"/opt/a/b", "/opt/notes/x", "/srv/no"},
			Write: []string{"/opt/notes", "/opt/a"}, Network: true,
		},
		Wants: []string{"gateway-config", "gateway-token"},
		Refused: []pluginhost.Refusal{
			{What: "/root/.ssh", Key: "plugins.mine.sandbox.read", Times: 2, Last: time.Unix(1, 0)},
		},
	}
	p := &config.Plugin{
		Name: "mine", Grant: []string{"gateway-token"},
		Sandbox: config.Sandbox{Read: []string{"/opt/a", "/etc/odd"}, Write: []string{"/opt/notes"}},
	}
	out := control.Plugin{Sandbox: &control.Sandbox{State: control.SandboxOn}}
	Trust(&out, s, p)
	want := `grant gateway-config asked=true given=false plugins.mine.grant
grant gateway-token asked=true given=true plugins.mine.grant
read /etc/odd asked=false given=true plugins.mine.sandbox.read
read /opt/a asked=false given=true plugins.mine.sandbox.read
read /opt/a/b asked=true given=true plugins.mine.sandbox.read
read /opt/notes/x asked=true given=true plugins.mine.sandbox.read
read /srv/no asked=true given=false plugins.mine.sandbox.read
write /opt/a asked=true given=false plugins.mine.sandbox.write
write /opt/notes asked=true given=true plugins.mine.sandbox.write
network  asked=true given=false plugins.mine.sandbox.network`
	if got := askText(out.Asks); got != want {
		t.Errorf("asks:\n%s\nwant\n%s", got, want)
	}
	if len(out.Refused) != 1 || out.Refused[0].What != "/root/.ssh" || out.Refused[0].Times != 2 ||
		out.Manifest.Name != "x" {
		t.Errorf("refused = %+v, manifest = %+v", out.Refused, out.Manifest)
	}
	// A plugin without a sandbox has files and network, whatever the table says; it has no secrets.
	out = control.Plugin{Sandbox: &control.Sandbox{State: control.SandboxNone}}
	Trust(&out, s, p)
	if got := askText(out.Asks); strings.Count(got, "given=false") != 1 ||
		!strings.Contains(got, "gateway-config asked=true given=false") || strings.Contains(got, "asked=false") {
		t.Errorf("without a sandbox:\n%s", got)
	}
}

func TestTrustReportSaysHowThePinIs(t *testing.T) {
	sum := strings.Repeat("0", 64)
	mismatch := &fault.Error{Code: fault.PermissionDenied, Details: map[string]string{pluginhost.DetailSHA256: "1234"}}
	for _, row := range []struct {
		name, pin string
		err       error
		want      control.PluginPin
	}{
		{"none", "", nil, control.PluginPin{State: control.PinNone}},
		{"it holds", sum, nil, control.PluginPin{State: control.PinHolds, SHA256: sum}},
		{
			"it holds, and something else is wrong", sum, fault.New(fault.Unavailable, "x"),
			control.PluginPin{State: control.PinHolds, SHA256: sum},
		},
		{
			"it does not", sum, fmt.Errorf("wrapped: %w", mismatch),
			control.PluginPin{State: control.PinMismatch, SHA256: sum, Found: "1234"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := pinOf(pluginhost.State{Err: row.err}, &config.Plugin{SHA256: row.pin}); *got != row.want {
				t.Errorf("pin = %+v, want %+v", *got, row.want)
			}
		})
	}
}

// TestWhatAPluginSaysAboutItselfIsShown: the keys of its table with their sentence for the operator, and its homepage.
func TestWhatAPluginSaysAboutItselfIsShown(t *testing.T) {
	got := Plugin(pluginhost.State{
		Name: "mine", Homepage: "https://example.com/mine",
		Fields: []plugin.ConfigField{{Path: "days", Type: "integer", Required: true, DefaultJSON: "14", Doc: "how long"}},
	}, "/opt/mine")
	want := control.PluginConfigField{Path: "days", Type: "integer", Required: true, Default: "14", Doc: "how long"}
	if got.Homepage != "https://example.com/mine" || len(got.ConfigFields) != 1 || got.ConfigFields[0] != want {
		t.Errorf("plugin = %+v", got)
	}
}
