package pluginspec

import (
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/control"
)

func TestWhichPluginsAreSandboxed(t *testing.T) {
	landlock := sandbox.Support{Level: 7}
	for _, row := range []struct {
		name, table, plugin string
		here                sandbox.Support
		state, why, err     string
		sandboxed           bool
	}{
		{"a doctor", "", "doctor", landlock, control.SandboxOn, "", "", true},
		{"a doctor that demands it", `mode = "on"`, "doctor", landlock, control.SandboxOn, "", "", true},
		{"a doctor that is to run without", `mode = "off"`, "doctor", landlock, control.SandboxOff, "mode is off", "", false},
		{"a launcher", "", "utility", landlock, control.SandboxOff, "what it starts", "", false},
		{"no landlock", "", "doctor", sandbox.Support{}, control.SandboxNone, "no landlock", "", false},
		{
			"no landlock, but it is demanded", `mode = "on"`, "doctor",
			sandbox.Support{},
			control.SandboxOff, "", "no landlock", false,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, err := config.Parse("config.toml", []byte("version = 1\n[plugins.doctor]\npath = \"doctor\"\n"+
				"[plugins.doctor.sandbox]\n"+row.table+"\nread = [\"/opt/x\"]\n"))
			if err != nil {
				t.Fatal(err)
			}
			spec, told, err := sandboxWith(cfg, row.plugin, row.here)
			if (err != nil) != (row.err != "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Fatalf("error = %v", err)
			}
			if (spec != nil) != row.sandboxed || told.State != row.state || !strings.Contains(told.Why, row.why) {
				t.Errorf("spec %+v, told %+v", spec, told)
			}
			if row.sandboxed && (len(spec.Read) != 1 || spec.OpenFiles != 1024 || len(told.Gaps) == 0) {
				t.Errorf("spec %+v, told %+v", spec, told)
			}
		})
	}
}
