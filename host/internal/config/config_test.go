package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/config"
	"github.com/gatehost/gatehost/shared/fault"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(filepath.Join(t.TempDir(), "config.toml"), []byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

// faultsOf parses a text that is wrong.
func faultsOf(t *testing.T, text string) config.Faults {
	t.Helper()
	_, err := config.Parse("config.toml", []byte(text))
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		t.Fatalf("error = %v, want Faults\n%s", err, text)
	}
	if !errors.Is(err, fault.ErrInvalidArgument) {
		t.Errorf("%v is not an invalid argument", err)
	}
	return faults
}

func TestEachFaultIsNamedWithItsPlaceAndAdvice(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{
			"misspelt key", "[gateways.main]\nprot = 1",
			`config.toml:2:1: gateways.main.prot: unknown key (did you mean "port"?)`,
		},
		{
			"misspelt table", "[gatways.main]\nport = 1",
			`config.toml:1:2: gatways: unknown key (did you mean "gateways"?)`,
		},
		{"unlike anything", "[gateways.main]\nzzzzzzzz = 1", `config.toml:2:1: gateways.main.zzzzzzzz: unknown key`},
		{
			"swapped letters", "[log]\nlevle = \"info\"",
			`config.toml:2:1: log.levle: unknown key (did you mean "level"?)`,
		},
		{
			"wrong type", "[gateways.main]\nport = \"x\"",
			`config.toml:2:1: gateways.main.port: expected an integer, got a string`,
		},
		{
			"number for a duration", "[gateways.main.ready]\ntimeout = 30",
			`gateways.main.ready.timeout: expected a string with a unit, such as "30s", got an integer`,
		},
		{"not a duration", "[gateways.main.ready]\ntimeout = \"30\"", `"30" is not a duration such as`},
		{
			"duration of nought", "[gateways.main.launch]\ngrace = \"0s\"",
			`0s is not between 100ms and 1h (remove the key to use its default`,
		},
		{"not a size", "[journal]\nmax_size = \"8 potatoes\"", `"8 potatoes" is not a size`},
		{"fraction out of range", "[gateways.main.reconnect]\njitter = 1.5", `1.5 is not between 0 and 0.9`},
		{"not a number", "[gateways.main.reconnect]\njitter = nan", `NaN is not between 0 and 0.9`},
		{"not a fraction", "[gateways.main.reconnect]\njitter = \"some\"", `expected a number, got a string`},
		{"size out of range", "[journal]\nmax_size = \"1B\"", `1B is not between 64KiB and 1TiB`},
		{"port out of range", "[gateways.main]\nport = 70000", `70000 is not between 1 and 65535`},
		{
			"none of the words", "[gateways.main.repair]\nmode = \"atuo\"",
			`"atuo" is none of auto, ask, off (did you mean "auto"?)`,
		},
		{
			"no grant", "[plugins.mine]\npath = \"mine\"\ngrant = [\"gateway-confg\"]",
			`"gateway-confg" is none of gateway-config, gateway-files, gateway-token, command:WORDS ` +
				`(did you mean "gateway-config"?)`,
		},
		{
			"a grant of a pattern", "[plugins.mine]\npath = \"mine\"\ngrant = [\"gateway-files\", \"command:plugins *\"]",
			`plugins.mine.grant.1: names the word "*"`,
		},
		{
			"a grant of two blanks", "[plugins.mine]\npath = \"mine\"\ngrant = [\"command:plugins  list\"]",
			`names the word ""`,
		},
		{
			"a grant twice", "[plugins.mine]\npath = \"mine\"\ngrant = [\"command:a b\", \"command:a b\"]",
			`"command:a b" is listed twice`,
		},
		{
			"a secret in a grant", "[plugins.mine]\npath = \"mine\"\ngrant = [\"command:login --token=abc\"]",
			`--token would show a secret`,
		},
		{
			"the home of another user", "[gateways.main.repair]\nevidence_read = [\"~other/oc\"]",
			`"~other/oc" is in the home directory of another user, which gatehost does not look up (write the whole path)`,
		},
		{
			"string for a list", "[gateways.main.launch]\ncommand = \"openclaw\"",
			`expected an array of strings, got a string (write ["openclaw"])`,
		},
		{"empty command", "[gateways.main.launch]\ncommand = []", `gateways.main.launch.command: must not be empty`},
		{
			"integer in a list", "[gateways.main.launch]\nargs = [\n\"a\",\n1]",
			`config.toml:4:1: gateways.main.launch.args.1: expected a string`,
		},
		{
			"unknown plugin", "[gateways.main]\nlauncher = \"utilty\"\ndoctors = [\"utility\"]",
			`gateways.main.launcher: no plugin "utilty" (did you mean "utility"?)`,
		},
		{
			"unknown doctor", "[gateways.main]\ndoctors = [\"surgeon\"]",
			`config.toml:2:12: gateways.main.doctors.0: no plugin "surgeon" (add [plugins.surgeon] with its path)`,
		},
		{
			"one port twice", "[gateways.a]\nport = 5\n[gateways.b]\nport = 5",
			`config.toml:4:1: gateways.b.port: 5 is also the port of gateway "a"`,
		},
		{
			"one state directory twice",
			"[gateways.a]\nport = 5\nlaunch.state_dir = \"/x\"\n[gateways.b]\nport = 6\nlaunch.state_dir = \"/x/../x\"",
			`gateways.b.launch.state_dir: /x is also the state directory of gateway "a"`,
		},
		{
			"no fingerprint", "[gateways.main.tls]\nfingerprint = \"abc\"",
			`gateways.main.tls.fingerprint: is not the fingerprint of a certificate`,
		},
		{
			"a name without an authority", "[gateways.main.tls]\nserver_name = \"x\"",
			`gateways.main.tls.server_name: means nothing without tls.ca`,
		},
		{
			"one profile of OpenClaw twice",
			"[gateways.a]\nport = 5\nlaunch.args = [\"--profile\", \"w\", \"gateway\"]\n[gateways.b]\nport = 6\n" +
				"launch.env = {OPENCLAW_STATE_DIR = \"~/.openclaw-w\"}",
			`/.openclaw-w is also the state directory of gateway "a"`,
		},
		{
			"newer format", "version = 2\nwhatever = 1",
			`config.toml:1:1: version: 2 is newer than this gatehost supports, which is 1 (update gatehost)`,
		},
		{
			"token in args", "[gateways.main.launch]\nargs = [\"gateway\", \"--token=abc\"]",
			`--token would show a secret in the process list (use gateways.main.token`,
		},
		{
			"two sources of a token", "[gateways.main]\ntoken = {env = \"A\", generate = true}",
			`gateways.main.token: exactly one source is needed, got 2`,
		},
		{"no source of a token", "[gateways.main]\ntoken = {}", `exactly one source is needed, got 0`},
		{
			"a token for a source", "[gateways.main]\ntoken = \"abc\"",
			`gateways.main.token: expected a table, got a string`,
		},
		{
			"variable that is no string", "[gateways.main.launch.env]\nPIN = 1234",
			`gateways.main.launch.env.PIN: expected a string, got an integer (put the value in quotes)`,
		},
		{"bad sum", "[plugins.x]\npath = \"x\"\nsha256 = \"beef\"", `is not 64 hexadecimal digits`},
		{"plugin without a path", "[plugins.x]\n", `plugins.x: path is missing`},
		{"bad name", "[gateways.\"a/b\"]\nport = 1", `"a/b" is not a usable name`},
		{"key of an API by TCP", "[control]\ntcp = \"127.0.0.1:0\"", `config.toml:2:1: control.tcp: unknown key`},
		{
			"user of a plugin", "[plugins.x]\npath = \"x\"\nuser = \"daemon\"",
			`config.toml:3:1: plugins.x.user: unknown key`,
		},
		{
			"base above max", "[gateways.main.reconnect]\nbase = \"1m\"",
			`gateways.main.reconnect.base: must not be longer than reconnect.max`,
		},
		{
			"not a number for JSON", "[plugins.doctor.config]\nx = nan",
			`plugins.doctor.config.x: nan and inf cannot be passed on`,
		},
		{
			"hook without a command", "[[gateways.main.launch.hooks]]\nrequired = true",
			`gateways.main.launch.hooks.0: command is missing`,
		},
		{"malformed", "version = \n", `config.toml:1:11: cannot read as TOML`},
		{"key given twice", "version = 1\nversion = 1\n", `config.toml:2`},
		{"not UTF-8", "version = 1\n# \xff\n", `config.toml:2: not valid UTF-8`},
		{"too large", strings.Repeat("#\n", 1<<20), `larger than 1 MiB`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := faultsOf(t, row.text).Error(); !strings.Contains(got, row.want) {
				t.Errorf("got:\n%s\nwant in it:\n%s", got, row.want)
			}
		})
	}
}

func TestLauncherWithoutMutualTLSIsWarnedOf(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{
			"a launcher", "[gateways.main]\nport = 1\n[plugins.utility]\npath = \"x\"\ntransport = \"socket\"",
			`config.toml:5:1: plugins.utility.transport: a gateway uses it as launcher or unloader`,
		},
		{
			"an unloader", "[gateways.main]\nunload = [\"u\"]\n[plugins.u]\npath = \"x\"\ntransport = \"socket\"",
			`config.toml:5:1: plugins.u.transport: a gateway uses it as launcher or unloader`,
		},
		{"a doctor", "[gateways.main]\ndoctors = [\"d\"]\n[plugins.d]\npath = \"x\"\ntransport = \"socket\"", ""},
		{"a launcher with mutual TLS", "[plugins.utility]\npath = \"x\"\ntransport = \"auto_mtls\"", ""},
	} {
		c, err := config.Parse("config.toml", []byte(row.text))
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		var got strings.Builder
		for _, w := range c.Warnings() {
			got.WriteString(w.String())
		}
		if !strings.Contains(got.String(), row.want) || (got.Len() == 0) != (row.want == "") {
			t.Errorf("%s: %q, want %q", row.name, got.String(), row.want)
		}
	}
}

func TestAllFaultsComeAtOnceInOrderOfTheFile(t *testing.T) {
	faults := faultsOf(t, `version = 1
[gateways.main]
prot = 18789
autostart = "yes"
[gateways.main.ready]
timeout = "soon"
[gatways.x]
[plugins.doctor]
path = 7
`)
	var lines []int
	for _, f := range faults {
		lines = append(lines, f.Line)
	}
	if want := []int{3, 4, 6, 7, 9}; !reflect.DeepEqual(lines, want) {
		t.Errorf("lines = %v, want %v\n%v", lines, want, faults)
	}
}

func TestSecretsAreNotInFaults(t *testing.T) {
	got := faultsOf(t, `[gateways.main]
token = {env = "canary=x", file = 1}
[gateways.main.launch]
args = ["--token=canary"]
env = {A = 5, "B=canary2" = "x"}
`).Error()
	if strings.Contains(strings.ReplaceAll(got, `"B=canary2"`, ""), "canary") {
		t.Errorf("a secret is in:\n%s", got)
	}
}

func TestMissingAndUnreadableFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "missing.toml"), "no such file"},
		{"a directory", dir, "not a regular file"},
	} {
		_, err := config.Load(row.path)
		if err == nil || !strings.Contains(err.Error(), row.path) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestWithoutAFileThereIsOneGatewayNamedMain(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	c, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	g := c.Gateways["main"]
	if len(c.Gateways) != 1 || g.Port != 18789 || !g.Autostart || !g.Token.Generate ||
		g.Launch.Command[0] != "openclaw" || c.Path != "" {
		t.Errorf("config = %+v, main = %+v", c, g)
	}
	if c.Plugins["utility"].Path != "launcher-utility" || c.Plugins["doctor"].Path != "doctor" ||
		c.Plugins["doctor-environment"].Path != "doctor-environment" || len(c.Plugins) != 3 {
		t.Errorf("plugins = %v", c.Plugins)
	}
	if !slices.Equal(g.Doctors, []string{"doctor-environment", "doctor"}) {
		t.Errorf("doctors = %q", g.Doctors)
	}
}

func TestPathsAreMeantFromTheFile(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/xdg/state")
	dir := t.TempDir()
	c, err := config.Parse(filepath.Join(dir, "config.toml"), []byte(`
plugin_dir = "p"
[control]
socket = "s/host.sock"
[plugins.bare]
path = "bare"
[plugins.mine]
path = "./mine"
[gateways.main]
token = {file = "token"}
[gateways.main.launch]
command = ["./run.sh", "x/y"]
env_file = "e"
path_prepend = ["bin", "/abs"]
[gateways.other]
port = 1
`))
	if err != nil {
		t.Fatal(err)
	}
	g := c.Gateways["main"]
	got := []string{
		c.StateDir, c.PluginDir, c.Control.Socket, c.Plugins["bare"].Path, c.Plugins["mine"].Path, g.Token.File,
		g.Launch.Command[0], g.Launch.Command[1], g.Launch.EnvFile, g.Launch.PathPrepend[0], g.Launch.PathPrepend[1],
		g.Launch.StateDir, c.Gateways["other"].Launch.StateDir,
	}
	want := []string{
		"/xdg/state/gatehost", dir + "/p", dir + "/s/host.sock", "bare", dir + "/mine", dir + "/token",
		dir + "/run.sh", "x/y", dir + "/e", dir + "/bin", "/abs",
		"", "/xdg/state/gatehost/gateways/other/openclaw",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPluginTableBecomesJSONAndItsKeysHaveLines(t *testing.T) {
	c := parse(t, `[plugins.doctor]
path = "doctor"
[plugins.doctor.config]
when = 2026-05-27T07:32:00Z
day = 2026-05-27
n = 3
rules = [
  {pattern = "a\tb"},
  {pattern = "c"},
]
[plugins.doctor.config."odd key".deep]
x = 1.5
`)
	want := `{"day":"2026-05-27","n":3,"odd key":{"deep":{"x":1.5}},"rules":[{"pattern":"a\tb"},{"pattern":"c"}],` +
		`"when":"2026-05-27T07:32:00Z"}`
	if got := string(c.Plugins["doctor"].Config); got != want {
		t.Errorf("config = %s\nwant     %s", got, want)
	}
	for path, line := range map[string]int{
		"": 3, "n": 6, "rules": 7, "rules[1].pattern": 9, "rules.0": 8, "odd key.deep.x": 12, "no.such": 3,
	} {
		if got := c.PluginLine("doctor", path); got != line {
			t.Errorf("line of %q = %d, want %d", path, got, line)
		}
	}
	if got := c.PluginLine("missing", "x"); got != 1 {
		t.Errorf("line of a plugin that is not there = %d", got)
	}
}

func TestPositionsSurviveEveryFormOfTOML(t *testing.T) {
	c := parse(t, "# [plugins.x]\r\n\"plugins\" . 'utility'.path = \"launcher-utility\" # path = 1\r\n"+
		"[plugins.utility . config]\na = '''\n[not.a.table]\nb = 1\n'''\nb = \"\"\"x\\\"\"\"\"\"\n"+
		"c = [[1, 2], [\n# ]\n3]]\nd = {e = {f = \"}\"}, g = []}\n[[plugins.utility.config.list]]\nx = 1\n"+
		"[[plugins.utility.config.list]]\n"+
		"[plugins.utility.config.list.sub]\ny = 2\n")
	for path, line := range map[string]int{
		"a": 4, "b": 8, "c": 9, "c[1][0]": 11, "d.e.f": 12, "d.g": 12, "list[0].x": 14, "list[1]": 15,
		"list[1].sub.y": 17,
	} {
		if got := c.PluginLine("utility", path); got != line {
			t.Errorf("line of %q = %d, want %d", path, got, line)
		}
	}
}

func TestWhatIsShownReadsBackAndHidesSecrets(t *testing.T) {
	c := parse(t, `[plugins.doctor]
path = "doctor"
[plugins.doctor.config]
n = 3
api_key = "canary"
[gateways.main.launch]
env = {MY_TOKEN = "canary", PLAIN = "x"}
proxy = "http://user:canary@proxy:1"
https_proxy = "user:canary@proxy:2"
no_proxy = ["localhost"]
[[gateways.main.launch.hooks]]
command = ["a"]
`)
	text, err := c.TOML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "canary") {
		t.Errorf("a secret is in:\n%s", text)
	}
	again, err := config.Parse(c.Path, []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c.Gateways["main"].Launch.Env["MY_TOKEN"] = "[redacted]"
	c.Gateways["main"].Launch.Proxy = "http://redacted@proxy:1"
	c.Gateways["main"].Launch.HTTPSProxy = "http://redacted@proxy:2"
	c.Plugins["doctor"].Config = again.Plugins["doctor"].Config
	for name := range c.Plugins {
		if !reflect.DeepEqual(again.Plugins[name], c.Plugins[name]) {
			t.Errorf("plugin %s = %+v\nwant %+v", name, again.Plugins[name], c.Plugins[name])
		}
	}
	if !reflect.DeepEqual(again.Gateways, c.Gateways) {
		t.Errorf("gateways = %+v\nwant %+v", again.Gateways["main"], c.Gateways["main"])
	}
}

func TestTokenIsReadFromItsSource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"T": "from-env"}[name] }
	for _, row := range []struct {
		token config.Token
		want  string
	}{
		{config.Token{Env: "T"}, "from-env"},
		{config.Token{File: file}, "from-file"},
		{config.Token{Generate: true}, ""},
	} {
		if got, err := row.token.Read(getenv); got != row.want || err != nil {
			t.Errorf("%+v = %q, %v", row.token, got, err)
		}
	}
	if _, err := (config.Token{Env: "UNSET"}).Read(getenv); err == nil || fault.HintOf(err) == "" {
		t.Errorf("unset variable: %v", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (config.Token{File: file}).Read(getenv); err == nil ||
		!strings.Contains(err.Error(), "others can read") {
		t.Errorf("open file: %v", err)
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]config.Size{
		"8MiB": 8 << 20, "1 GiB": 1 << 30, "2MB": 2e6, "0B": 0, "7B": 7,
		"3kB": 3000,
	} {
		got, err := config.ParseSize(in)
		if got != want || err != nil {
			t.Errorf("%q = %d, %v, want %d", in, got, err, want)
		}
		if again, err := config.ParseSize(got.String()); again != got || err != nil {
			t.Errorf("%q printed as %q", in, got)
		}
	}
	for _, in := range []string{"", "8", "-1B", "9999999999TiB", "1.5MiB", "MiB"} {
		if got, err := config.ParseSize(in); err == nil {
			t.Errorf("%q = %d, want an error", in, got)
		}
	}
}

// TestFilesThatDecideAreRefusedWhenOthersCanChangeThem: they name programs to run, and hold secrets.
func TestFilesThatDecideAreRefusedWhenOthersCanChangeThem(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are not known there")
	}
	dir := t.TempDir()
	path, token, env := filepath.Join(dir, "config.toml"), filepath.Join(dir, "token"), filepath.Join(dir, "env")
	text := "[gateways.main]\nport = 1\ntoken = {file = \"token\"}\nlaunch.env_file = \"env\"\n"
	for file, text := range map[string]string{path: text, token: "secret", env: "A=b"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, row := range map[string]struct {
		file string
		mode os.FileMode
		want []string // none: it is accepted
	}{
		"only the owner's":               {path, 0o600, nil},
		"a configuration read by others": {path, 0o644, nil},
		"a configuration for every user": {
			path, 0o666,
			[]string{path + ": every user may write to it (mode 0666)", "run: chmod go-w " + path},
		},
		"its directory": {dir, 0o777, []string{dir + ": every user may write to it (mode 0777)", "run: chmod go-w " + dir}},
		"a token for every user": {
			token, 0o602,
			[]string{"config.toml:3:", "gateways.main.token.file: " + token, "run: chmod go-w " + token},
		},
		"a token read by others": {
			token, 0o644,
			[]string{"config.toml:3:", token + ": others can read it (mode 0644)", "run: chmod go= " + token},
		},
		"an env_file for every user": {
			env, 0o666,
			[]string{"config.toml:4:", "gateways.main.launch.env_file: " + env, "run: chmod go-w " + env},
		},
		"an env_file read by others": {env, 0o604, []string{"config.toml:4:", "others can read it (mode 0604)"}},
	} {
		info, err := os.Stat(row.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(row.file, row.mode); err != nil {
			t.Fatal(err)
		}
		for verb, load := range map[string]func(string) (*config.Config, error){
			"load": config.Load, "reload": config.LoadAgain,
		} {
			_, err := load(path)
			if (err == nil) != (row.want == nil) {
				t.Errorf("%s, %s: error = %v", name, verb, err)
			}
			for _, want := range row.want {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%s, %s: %v\nwant %q", name, verb, err, want)
				}
			}
		}
		if err := os.Chmod(row.file, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(token); err != nil { // it may be made later
		t.Fatal(err)
	}
	if _, err := config.Load(path); err != nil {
		t.Errorf("without the token: %v", err)
	}
}

func TestSocketIsFoundInAFileWithFaults(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1")
	dir := t.TempDir()
	path := filepath.Join(dir, "config.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("state_dir = \"/state\"\nprot = 7\n[control]\n")
	good, err := config.Parse(path, []byte("state_dir = \"/state\""))
	if err != nil {
		t.Fatal(err)
	}
	want := config.RuntimeDirs(good.StateDir)
	got, err := config.Sockets(path)
	if err != nil || len(got) != 2 || len(want) != 2 || filepath.Dir(got[0]) != want[0] ||
		!strings.HasPrefix(got[0], "/run/user/1/gatehost/") {
		t.Errorf("sockets = %v, runtime dirs = %v", got, want)
	}
	write("control.socket = \"x.sock\"\nversion = 99\n")
	if got, err := config.Sockets(path); err != nil || len(got) != 1 || got[0] != filepath.Join(dir, "x.sock") {
		t.Errorf("sockets = %v, %v", got, err)
	}
	write("state_dir = \"/state\"\nthis is no TOML\n[gateways.main]\n")
	if got, err := config.Sockets(path); err != nil || len(got) != 2 || filepath.Dir(got[0]) != want[0] {
		t.Errorf("in a file that is no TOML: %v, %v", got, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/"+strings.Repeat("long", 30))
	if got := config.RuntimeDirs("/state"); len(got) != 1 || !strings.HasPrefix(got[0], "/tmp/gatehost-") {
		t.Errorf("with a long runtime directory: %v", got)
	}
}

// TestTildeIsTheHomeDirectory: a directory of that name beside config.toml would take half of the state.
func TestTildeIsTheHomeDirectory(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	c := parse(t, "state_dir = \"~/gatehost\"\nplugin_dir = \"~\"\n[control]\nsocket = \"~/s\"\n"+
		"[plugins.mine]\npath = \"~/mine\"\nsandbox = {read = [\"~/r\"], write = [\"/w\", \"~\"]}\n"+
		"[gateways.main]\ntoken = {file = \"~/token\"}\nrepair.evidence_read = [\"~/evidence\"]\n"+
		"[gateways.main.launch]\ncommand = [\"~/bin/openclaw\"]\ncwd = \"~/w\"\nenv_file = \"a~/e\"\n"+
		"path_prepend = [\"/p\", \"~/p\"]\nstate_dir = \"~/oc\"\nconfig_path = \"~/oc.json\"\n"+
		"[[gateways.main.launch.hooks]]\ncommand = [\"~/hook\", \"~/word\"]\ninputs = [\"~/input\"]\n")
	l := c.Gateways["main"].Launch
	for got, want := range map[string]string{
		c.Plugins["mine"].Sandbox.Read[0]: "/home/x/r", c.Plugins["mine"].Sandbox.Write[1]: "/home/x",
		c.Gateways["main"].Token.File: "/home/x/token", c.Gateways["main"].Repair.EvidenceRead[0]: "/home/x/evidence",
		l.PathPrepend[1]: "/home/x/p", l.StateDir: "/home/x/oc", l.ConfigPath: "/home/x/oc.json",
		l.Hooks[0].Command[0]: "/home/x/hook", l.Hooks[0].Inputs[0]: "/home/x/input", l.Hooks[0].Command[1]: "~/word",
		c.StateDir: "/home/x/gatehost", c.PluginDir: "/home/x", c.Control.Socket: "/home/x/s",
		c.Plugins["mine"].Path: "/home/x/mine", l.Command[0]: "/home/x/bin/openclaw", l.Cwd: "/home/x/w",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if !strings.HasSuffix(l.EnvFile, "/a~/e") {
		t.Errorf("a tilde inside a name: %q", l.EnvFile)
	}
	for _, path := range []string{"~bob/x", "$HOME/x", "${HOME}", "$HOME"} {
		_, err := config.Parse("config.toml", []byte(fmt.Sprintf("state_dir = %q", path)))
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want a refusal", path, err)
		}
	}
	if c := parse(t, "state_dir = \"a/$HOME\"\nplugin_dir = \"$9\""); filepath.Base(c.StateDir) != "$HOME" {
		t.Errorf("a dollar sign inside a path: %q", c.StateDir)
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte("control.socket = \"~/s\""), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := config.Sockets(path); err != nil || !slices.Equal(got, []string{"/home/x/s"}) {
		t.Errorf("clients look at %v, %v", got, err)
	}
}

// TestFileThatWasNamedNeverMeansTheDefaultHost: a command for another host would reach it.
func TestFileThatWasNamedNeverMeansTheDefaultHost(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	for name, text := range map[string]string{
		"absent": "", "no TOML, and the place behind": "what\nstate_dir = \"/state\"\n",
		"a socket behind": "[a\n[control]\nsocket = \"/run/x\"\n", "a directory": "",
	} {
		path := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name == "a directory" {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		got, err := config.Sockets(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := config.Sockets(""); err != nil || len(got) == 0 {
		t.Errorf("no file was named, and there is none: %v, %v", got, err)
	}
}

// A gateway that is not main gets a state directory of its own, unless the operator chose one, in whatever way.
func TestStateDirectoryThatIsChosenIsNotReplacedByADefault(t *testing.T) {
	c := parse(t, `state_dir = "/state"
[gateways.a]
port = 1
[gateways.b]
port = 2
launch.args = ["--profile", "work", "gateway"]
[gateways.c]
port = 3
launch.env = {OPENCLAW_HOME = "/other"}
[gateways.d]
port = 4
launch.env = {OPENCLAW_CONFIG_PATH = "/c.json"}
`)
	for name, want := range map[string]string{
		"a": "/state/gateways/a/openclaw", "b": "", "c": "", "d": "/state/gateways/d/openclaw",
	} {
		if l := c.Gateways[name].Launch; l.StateDir != want || l.StateDirByDefault != (want != "") {
			t.Errorf("%s: %q, by default %v", name, l.StateDir, l.StateDirByDefault)
		}
	}
}

func TestTokenMayBeAlignedWithoutNamingASource(t *testing.T) {
	for text, want := range map[string]config.Token{
		"":                             {Generate: true, Align: config.AlignFill},
		`{align = "write"}`:            {Generate: true, Align: config.AlignWrite},
		`{env = "T", align = "write"}`: {Env: "T", Align: config.AlignWrite},
		`{file = "/t"}`:                {File: "/t", Align: config.AlignFill},
	} {
		if text != "" {
			text = "token = " + text
		}
		c := parse(t, "[gateways.main]\n"+text)
		if got := c.Gateways["main"].Token; got != want || got.Named() != (want.Env+want.File != "") {
			t.Errorf("%s: %+v", text, got)
		}
		shown, err := c.TOML()
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, shown).Gateways["main"].Token; got != want {
			t.Errorf("%s: shown as %+v", text, got)
		}
	}
}

func TestRuntimeDirIsOursAndClosed(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // short: sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if err := os.Mkdir(filepath.Join(dir, "gatehost"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := parse(t, "state_dir = \"/state\"")
	got, _, err := c.RuntimeDir()
	if err != nil || got != config.RuntimeDirs("/state")[0] {
		t.Fatalf("%q, %v", got, err)
	}
	for _, d := range []string{got, filepath.Dir(got)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info, err)
		}
	}
}

func TestDurationsAreShownShort(t *testing.T) {
	c := parse(t, "[gateways.main.ready]\ntimeout = \"24h\"\n")
	text, err := c.TOML()
	if err != nil || !strings.Contains(text, `timeout = "24h"`) || !strings.Contains(text, `no_progress = "1m30s"`) {
		t.Errorf("%v\n%s", err, text)
	}
	if c.Gateways["main"].Ready.Timeout != 24*time.Hour {
		t.Error("timeout")
	}
}
