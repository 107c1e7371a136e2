package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/tomltext"
	"github.com/gatehost/gatehost/shared/fault"
)

const sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const whole = `manifest = 1
name = "my-doctor"
version = "0.1.0-rc.1"
kinds = ["doctor", "classifier"]
run = ["/usr/bin/node", "--no-warnings", "./main.js"]
transport = "socket"
[wants]
grants = ["gateway-config"]
[sandbox]
read = ["/opt/data"]
write = ["/opt/notes"]
network = true
[files]
"main.js" = "` + sum + `"
node_modules = "tree:` + sum + `"
`

func TestManifestSaysWhatThePluginIsAndAsksFor(t *testing.T) {
	m, err := manifest.Parse("plugin.toml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	m.Dir = filepath.FromSlash("/plugins/x")
	for what, pair := range map[string][2]any{
		"name":        {m.Plugin, "my-doctor"},
		"version":     {m.Version, "0.1.0-rc.1"},
		"kinds":       {m.Kinds, []string{"doctor", "classifier"}},
		"interpreter": {m.Interpreter(), "/usr/bin/node"},
		"program":     {m.Program(), ""},
		"argv":        {m.Argv(), []string{"/usr/bin/node", "--no-warnings", filepath.FromSlash("/plugins/x/main.js")}},
		"transport":   {m.Transport, "socket"},
		"grants":      {m.Grants, []string{"gateway-config"}},
		"read":        {m.Read, []string{"/opt/data"}},
		"write":       {m.Write, []string{"/opt/notes"}},
		"network":     {m.Network, true},
		"files":       {m.Files, map[string]string{"main.js": sum, "node_modules": "tree:" + sum}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s = %#v, want %#v", what, pair[0], pair[1])
		}
	}
}

// TestEveryFaultOfAManifestIsToldWithItsLine changes one line of a sound manifest.
func TestEveryFaultOfAManifestIsToldWithItsLine(t *testing.T) {
	for _, row := range []struct{ name, old, text, want string }{
		{"no TOML", `name = "my-doctor"`, `name = `, "plugin.toml:2:"},
		{
			"of the future", "manifest = 1", "manifest = 2",
			"plugin.toml:1:1: manifest: 2 is newer than this gatehost supports, which is 1 (update gatehost)",
		},
		{"an odd format", "manifest = 1", `manifest = "1"`, "manifest: is not a format"},
		{"no format", "manifest = 1", "", "manifest: is missing"},
		{
			"a misspelt key", "transport =", "transprt =",
			`plugin.toml:6:1: transprt: unknown key (did you mean "transport"?)`,
		},
		{
			"a misspelt key in a table", "network =", "networks =",
			`sandbox.networks: unknown key (did you mean "network"?)`,
		},
		{
			"a key that grants", `grants = ["gateway-config"]`, "grants = [\"gateway-config\"]\ngrant = 1",
			"plugin.toml:9:1: wants.grant: unknown key",
		},
		{"no name", `name = "my-doctor"`, "", "name: is missing"},
		{"an odd name", `"my-doctor"`, `"../my doctor"`, "is not a usable name"},
		{"a name of two lines", `"my-doctor"`, `"my\ndoctor"`, "control characters"},
		{"no version", `version = "0.1.0-rc.1"`, "", "version: is missing"},
		{"an odd version", `"0.1.0-rc.1"`, `"v1"`, `"v1" is not a version`},
		{"no kinds", `kinds = ["doctor", "classifier"]`, "kinds = []", "kinds: is missing or empty"},
		{
			"an odd kind", `"classifier"]`, `"docktor"]`,
			`plugin.toml:4:20: kinds.1: "docktor" is none of launcher, unloader, doctor, classifier (did you mean ` +
				`"doctor"?)`,
		},
		{"a kind twice", `"classifier"]`, `"doctor"]`, `"doctor" is listed twice`},
		{"no run", `run = ["/usr/bin/node", "--no-warnings", "./main.js"]`, "", "run: is missing or empty"},
		{
			"run is a text", `run = ["/usr/bin/node", "--no-warnings", "./main.js"]`, `run = "./main.js"`,
			"run: expected an array of strings, got a string",
		},
		{
			"a bare interpreter", `"/usr/bin/node"`, `"node"`,
			"neither a file of the plugin's directory nor an absolute path",
		},
		{"a search for the interpreter", `"/usr/bin/node"`, `"/usr/bin/env", "node"`, "a search path would decide"},
		{
			"an entry above", `"./main.js"`, `"./../main.js"`,
			`"./../main.js" is not a file inside the plugin's directory`,
		},
		{
			"an entry above, without ./", `"./main.js"]`, `"./main.js", "../x.js"]`,
			`"../x.js" leaves the plugin's directory`,
		},
		{"an absolute entry", `"./main.js"`, `"/srv/main.js"`, `"/srv/main.js" is outside the plugin's directory`},
		{"no entry", `, "./main.js"`, ``, "does not name a file of the plugin's directory"},
		{"an entry that is not listed", `"./main.js"`, `"./other.js"`, `"./other.js" is not in [files] (run`},
		{
			"an odd transport", `"socket"`, `"sockets"`,
			`"sockets" is none of auto_mtls, socket (did you mean "socket"?)`,
		},
		{
			"a launcher without mutual TLS", `"classifier"]`, `"launcher"]`,
			`plugin.toml:6:1: transport: a launcher or an unloader is called by "auto_mtls" only`,
		},
		{"an unloader without mutual TLS", `"classifier"]`, `"unloader"]`, `transport: a launcher or an unloader`},
		{
			"an odd grant", `"gateway-config"`, `"root"`,
			`"root" is none of gateway-config, gateway-files, gateway-token, command:WORDS`,
		},
		{"a grant of no command", `"gateway-config"`, `"command:"`, `wants.grants.0: names the word ""`},
		{"a grant of a pattern", `"gateway-config"`, `"command:plugins *"`, `names the word "*"`},
		{"a relative place", `"/opt/data"`, `"data"`, `sandbox.read.0: "data" is not an absolute path`},
		{"a place by a way round", `"/opt/data"`, `"/opt/../etc"`, "is not an absolute path"},
		{"everything", `"/opt/data"`, `"/"`, "is not an absolute path"},
		{"a home", `"/opt/data"`, `"~/x"`, "is not an absolute path"},
		{
			"network is a text", "network = true", `network = "yes"`,
			"sandbox.network: expected true or false, got a string",
		},
		{
			"a table is none", "[wants]\ngrants = [\"gateway-config\"]", "wants = 1",
			"wants: expected a table, got an integer",
		},
		{"a file above", `"main.js" = `, `"../main.js" = `, `files."../main.js": is not a name inside`},
		{"an absolute file", `"main.js" = `, `"/main.js" = `, "is not a name inside"},
		{"a file by another name", `"main.js" = `, `"./main.js" = `, "is not a name inside"},
		{"a file the Windows way", `"main.js" = `, `'a\b.js' = `, "is not a name inside"},
		{"itself", `"main.js" = `, `"plugin.toml" = `, "a manifest cannot hold its own sum"},
		{"a file twice", `node_modules = `, `"main.js" = `, "plugin.toml:15"},
		{
			"a file in a directory that is listed", `"main.js" = `, `"node_modules/x.js" = `,
			`is in "node_modules", which is also listed`,
		},
		{"a short sum", `"main.js" = "e3`, `"main.js" = "`, "is not 64 lower-case hexadecimal digits"},
		{"a sum in capitals", `"main.js" = "e3`, `"main.js" = "E3`, "is not 64 lower-case hexadecimal digits"},
		{"a sum that is a number", `"main.js" = "` + sum +
			`"`, `"main.js" = 3`, `files."main.js": expected a string, got an integer`},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := strings.Replace(whole, row.old, row.text, 1)
			if text == whole {
				t.Fatal("the row changes nothing")
			}
			_, err := manifest.Parse("plugin.toml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), row.want) || !errors.Is(err, fault.ErrInvalidArgument) {
				t.Errorf("error = %v\nwant %s", err, row.want)
			}
		})
	}
}

func TestAllFaultsOfAManifestAreToldAtOnce(t *testing.T) {
	_, err := manifest.Parse("plugin.toml",
		[]byte("manifest = 1\nname = 3\nkinds = [\"x\", 4]\nrun = [\"node\"]\nodd = 1\n[sandbox]\nread = [\"x\"]\n"))
	faults, ok := errors.AsType[tomltext.Faults](err)
	if !ok || len(faults) != 7 {
		t.Fatalf("%d faults:\n%v\nwant name, version, both kinds, run, odd and read", len(faults), err)
	}
	for i := 1; i < len(faults); i++ {
		if faults[i].Line < faults[i-1].Line {
			t.Errorf("not in the order of the file:\n%v", err)
		}
	}
}

func TestManifestIsBounded(t *testing.T) {
	long := whole + "# " + strings.Repeat("x", 300<<10)
	if _, err := manifest.Parse("plugin.toml", []byte(long)); err == nil ||
		!strings.Contains(err.Error(), "larger than 256 KiB") {
		t.Errorf("error = %.200v", err)
	}
	many := strings.Replace(whole, `"/opt/data"`, strings.Repeat(`"/opt/data",`, 300), 1)
	if _, err := manifest.Parse("plugin.toml", []byte(many)); err == nil ||
		!strings.Contains(err.Error(), "more than 256 elements") {
		t.Errorf("error = %.200v", err)
	}
	// the toml package takes gigabytes for it; sealing parses it, too
	deep := "a" + strings.Repeat(".a", 50_000) + " = 1\n"
	if _, err := manifest.Parse("plugin.toml", []byte(deep)); err == nil ||
		!strings.Contains(err.Error(), "more than 32 parts") {
		t.Errorf("error = %.200v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, manifest.Name), []byte(deep), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "more than 32 parts") {
		t.Errorf("sealing: error = %.200v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(whole)
	f.Add("manifest = 1\n[files]\n'a' = 'b'\n")
	f.Add("manifest = 9")
	f.Add("run = [[]]\nkinds = {}\n[[files]]\n[sandbox.read]\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Parse("plugin.toml", []byte(text))
		if err != nil {
			if _, ok := errors.AsType[tomltext.Faults](err); !ok || err.Error() == "" {
				t.Errorf("error = %#v", err)
			}
			return
		}
		m.Dir = filepath.FromSlash("/plugins/x")
		if len(m.Kinds) == 0 || m.Plugin == "" || len(m.Run) == 0 || (m.Interpreter() == "") == (m.Program() == "") {
			t.Errorf("taken: %+v", m)
		}
		for i, word := range m.Argv() {
			if word != m.Run[i] && !strings.HasPrefix(word, m.Dir+string(filepath.Separator)) {
				t.Errorf("%q leaves the directory as %q", m.Run[i], word)
			}
		}
		for name := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(name)) || name == manifest.Name {
				t.Errorf("the name %q is taken", name)
			}
		}
	})
}
