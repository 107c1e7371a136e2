package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/fault"
)

func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("/etc/gatehost/config.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

const twoGateways = `version = 1
state_dir = "/state"
[plugins.mine]
path = "/opt/mine"
[plugins.mine.config]
level = 1
[gateways.main]
doctors = ["mine", "doctor"]
[gateways.other]
port = 4711
launch = {command = ["x"], env = {A = "1", B = "2"}}
`

func TestChangesAreNamedWithTheTimeWhenTheyCount(t *testing.T) {
	before := parsed(t, twoGateways)
	if got := before.Changes(parsed(t, "# a remark, and another order\n"+twoGateways)); len(got) != 0 {
		t.Errorf("the same: %v", got)
	}
	for _, row := range []struct {
		old, text string
		want      string
		when      config.When
	}{
		{`state_dir = "/state"`, `state_dir = "/elsewhere"`, "state_dir", config.HostRestart},
		{`version = 1`, "version = 1\nplugin_dir = \"/p\"", "plugin_dir", config.HostRestart},
		{`[plugins.mine]`, "[control]\nsocket = \"/s\"\n[plugins.mine]", "control.socket", config.HostRestart},
		{`[plugins.mine]`, "[journal]\nmax_files = 3\n[plugins.mine]", "journal.max_files", config.HostRestart},
		{`[plugins.mine]`, "[metrics]\nenabled = false\n[plugins.mine]", "metrics.enabled", config.HostRestart},
		{`[plugins.mine]`, "[log]\nformat = \"json\"\n[plugins.mine]", "log.format", config.HostRestart},
		{`[plugins.mine]`, "[log]\nlevel = \"debug\"\n[plugins.mine]", "log.level", config.Now},
		{`[plugins.mine]`, "[log]\nframes = true\n[plugins.mine]", "log.frames", config.NextSession},
		{`level = 1`, `level = 2`, "plugins.mine.config", config.Now},
		{`doctors = ["mine", "doctor"]`, `doctors = ["doctor", "mine"]`, "gateways.main.doctors", config.Now},
		{
			`doctors = ["mine", "doctor"]`, "doctors = [\"mine\", \"doctor\"]\nrepair = {mode = \"ask\"}",
			"gateways.main.repair.mode", config.Now,
		},
		{`port = 4711`, `port = 4712`, "gateways.other.port", config.NextLaunch},
		{`port = 4711`, "port = 4711\nlauncher = \"mine\"", "gateways.other.launcher", config.NextLaunch},
		{`port = 4711`, "port = 4711\ntoken = {env = \"T\"}", "gateways.other.token", config.NextLaunch},
		{`port = 4711`, "port = 4711\norphan_grace = \"1h\"", "gateways.other.orphan_grace", config.NextLaunch},
		{`port = 4711`, "port = 4711\nliveness = {ping = \"20s\"}", "gateways.other.liveness.ping", config.Now},
		{`port = 4711`, "port = 4711\nliveness = {silence = \"60s\"}", "gateways.other.liveness.silence", config.Now},
		{`command = ["x"]`, `command = ["y"]`, "gateways.other.launch.command", config.NextLaunch},
		{`command = ["x"]`, `command = ["x"], grace = "5s"`, "gateways.other.launch.grace", config.Now},
		{`command = ["x"]`, `command = ["x"], args = []`, "gateways.other.launch.args", config.NextLaunch},
		{`B = "2"`, `B = "3"`, "gateways.other.launch.env.B", config.NextLaunch},
	} {
		after := parsed(t, strings.Replace(twoGateways, row.old, row.text, 1))
		got := slices.DeleteFunc(before.Changes(after), func(c config.Change) bool { // what follows from state_dir
			return row.want == "state_dir" && c.String() == "gateways.other.launch.state_dir"
		})
		if len(got) != 1 || got[0].String() != row.want || got[0].When != row.when {
			t.Errorf("%s: %v, want %s, %s", row.text, got, row.want, row.when)
		}
	}
	if got := before.Changes(parsed(t,
		strings.Replace(twoGateways, "[gateways.other]", "[gateways.third]", 1))); len(got) != 0 {
		t.Errorf("gateways that came and went are no changes of keys: %v", got)
	}
}

// What only the next host can change stays as it is, with everything that follows from it.
func TestConfigurationUnderARunningHostKeepsWhatOnlyTheNextCanChange(t *testing.T) {
	running := parsed(t, twoGateways)
	wanted := parsed(t,
		strings.NewReplacer(`"/state"`, `"/elsewhere"`, "[plugins.mine]",
			"[journal]\nmax_files = 3\n[log]\nlevel = \"debug\"\nformat = \"json\"\n[plugins.mine]",
			"port = 4711", "port = 4712").Replace(twoGateways))
	got := wanted.Under(running)
	var left []string
	for _, c := range running.Changes(got) {
		left = append(left, c.String())
	}
	if !slices.Equal(left, []string{"gateways.other.port", "log.level"}) {
		t.Errorf("changes: %v", left)
	}
	if dir := got.Gateways["other"].Launch.StateDir; dir != "/state/gateways/other/openclaw" {
		t.Errorf("state_dir of a gateway = %s", dir)
	}
	if wanted.StateDir != "/elsewhere" ||
		wanted.Gateways["other"].Launch.StateDir != "/elsewhere/gateways/other/openclaw" {
		t.Errorf("the configuration that was read has changed: %+v", wanted)
	}
	got.Plugins["new"], got.Gateways["new"] = nil, nil
	if len(wanted.Plugins) == len(got.Plugins) || len(wanted.Gateways) == len(got.Gateways) {
		t.Error("both have the same maps")
	}
}

// An editor that empties a file before it writes it must not make the host forget its gateways.
func TestEmptyFileIsNoRequestForTheDefaultsWhileTheHostRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	for text, faulty := range map[string]bool{
		"": true, " \n\t\n": true, "version = 1\n": false,
		"# nothing\nversion = 1": false,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.LoadAgain(path)
		if (err != nil) != faulty || faulty && !errors.Is(err, fault.ErrInvalidArgument) {
			t.Errorf("%q: %v", text, err)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(t.TempDir(), "nothing"))
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if c, err := config.LoadAgain(""); err != nil || c.Path != "" { // there was no file, and there is none
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := config.LoadAgain(path + ".gone"); err == nil ||
		!strings.Contains(err.Error(), "cannot read configuration") {
		t.Errorf("error = %v", err)
	}
}
