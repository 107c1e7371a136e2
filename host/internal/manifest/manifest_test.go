package manifest_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
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
		{"of the future", "manifest = 1", "manifest = 2", "plugin.toml:1:1: manifest: 2 is newer than this host understands, which is 1 (update gatehost)"},
		{"an odd format", "manifest = 1", `manifest = "1"`, "manifest: is no format"},
		{"no format", "manifest = 1", "", "manifest: is missing"},
		{"a misspelt key", "transport =", "transprt =", `plugin.toml:6:1: transprt: unknown key (did you mean "transport"?)`},
		{"a misspelt key in a table", "network =", "networks =", `sandbox.networks: unknown key (did you mean "network"?)`},
		{"a key that grants", `grants = ["gateway-config"]`, "grants = [\"gateway-config\"]\ngrant = 1", "plugin.toml:9:1: wants.grant: unknown key"},
		{"no name", `name = "my-doctor"`, "", "name: is missing"},
		{"an odd name", `"my-doctor"`, `"../my doctor"`, "is not a usable name"},
		{"a name of two lines", `"my-doctor"`, `"my\ndoctor"`, "control characters"},
		{"no version", `version = "0.1.0-rc.1"`, "", "version: is missing"},
		{"an odd version", `"0.1.0-rc.1"`, `"v1"`, `"v1" is not a version`},
		{"no kinds", `kinds = ["doctor", "classifier"]`, "kinds = []", "kinds: is missing or empty"},
		{"an odd kind", `"classifier"]`, `"docktor"]`, `plugin.toml:4:20: kinds.1: "docktor" is none of launcher, unloader, doctor, classifier (did you mean "doctor"?)`},
		{"a kind twice", `"classifier"]`, `"doctor"]`, `"doctor" is listed twice`},
		{"no run", `run = ["/usr/bin/node", "--no-warnings", "./main.js"]`, "", "run: is missing or empty"},
		{"run is a text", `run = ["/usr/bin/node", "--no-warnings", "./main.js"]`, `run = "./main.js"`, "run: expected an array of strings, got a string"},
		{"a bare interpreter", `"/usr/bin/node"`, `"node"`, "neither a file of the plugin's directory nor an absolute path"},
		{"a search for the interpreter", `"/usr/bin/node"`, `"/usr/bin/env", "node"`, "a search path would decide"},
		{"an entry above", `"./main.js"`, `"./../main.js"`, `"./../main.js" is no file inside of the plugin's directory`},
		{"an entry above, without ./", `"./main.js"]`, `"./main.js", "../x.js"]`, `"../x.js" leaves the plugin's directory`},
		{"an absolute entry", `"./main.js"`, `"/srv/main.js"`, `"/srv/main.js" is outside of the plugin's directory`},
		{"no entry", `, "./main.js"`, ``, "names no file of the plugin's directory"},
		{"an entry that is not listed", `"./main.js"`, `"./other.js"`, `"./other.js" is not in [files] (run`},
		{"an odd transport", `"socket"`, `"sockets"`, `"sockets" is none of auto_mtls, socket (did you mean "socket"?)`},
		{"an odd grant", `"gateway-config"`, `"root"`, `"root" is none of gateway-config, gateway-token`},
		{"a relative place", `"/opt/data"`, `"data"`, `sandbox.read.0: "data" is not an absolute path`},
		{"a place by a way round", `"/opt/data"`, `"/opt/../etc"`, "is not an absolute path"},
		{"everything", `"/opt/data"`, `"/"`, "is not an absolute path"},
		{"a home", `"/opt/data"`, `"~/x"`, "is not an absolute path"},
		{"network is a text", "network = true", `network = "yes"`, "sandbox.network: expected true or false, got a string"},
		{"a table is none", "[wants]\ngrants = [\"gateway-config\"]", "wants = 1", "wants: expected a table, got an integer"},
		{"a file above", `"main.js" = `, `"../main.js" = `, `files."../main.js": is no name inside`},
		{"an absolute file", `"main.js" = `, `"/main.js" = `, "is no name inside"},
		{"a file by another name", `"main.js" = `, `"./main.js" = `, "is no name inside"},
		{"a file the Windows way", `"main.js" = `, `'a\b.js' = `, "is no name inside"},
		{"itself", `"main.js" = `, `"plugin.toml" = `, "a manifest cannot hold its own sum"},
		{"a file twice", `node_modules = `, `"main.js" = `, "plugin.toml:15"},
		{"a file in a directory that is listed", `"main.js" = `, `"node_modules/x.js" = `, `is in "node_modules", which is listed, too`},
		{"a short sum", `"main.js" = "e3`, `"main.js" = "`, "is not 64 lower-case hexadecimal digits"},
		{"a sum in capitals", `"main.js" = "e3`, `"main.js" = "E3`, "is not 64 lower-case hexadecimal digits"},
		{"a sum that is a number", `"main.js" = "` + sum + `"`, `"main.js" = 3`, `files."main.js": expected a string, got an integer`},
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
	_, err := manifest.Parse("plugin.toml", []byte("manifest = 1\nname = 3\nkinds = [\"x\", 4]\nrun = [\"node\"]\nodd = 1\n[sandbox]\nread = [\"x\"]\n"))
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
	if _, err := manifest.Parse("plugin.toml", []byte(long)); err == nil || !strings.Contains(err.Error(), "larger than 256 KiB") {
		t.Errorf("error = %.200v", err)
	}
	many := strings.Replace(whole, `"/opt/data"`, strings.Repeat(`"/opt/data",`, 300), 1)
	if _, err := manifest.Parse("plugin.toml", []byte(many)); err == nil || !strings.Contains(err.Error(), "more than 256 elements") {
		t.Errorf("error = %.200v", err)
	}
}

// project is a sealed directory of a Node plugin.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plugin.toml":                     "# mine\nmanifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"/usr/bin/node\", \"./main.js\"]\n",
		"main.js":                         "require('dep')\n",
		"package.json":                    "{}\n",
		"node_modules/dep/index.js":       "1\n",
		"node_modules/dep/cli.js":         "2\n",
		".git/HEAD":                       "ref\n",
		"__pycache__/main.pyc":            "x\n",
		"node_modules/.package-lock.json": "{}\n",
	} {
		put(t, filepath.Join(dir, name), text)
	}
	if err := os.MkdirAll(filepath.Join(dir, "node_modules", ".bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../dep/cli.js", filepath.Join(dir, "node_modules", ".bin", "dep")); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) error {
	t.Helper()
	m, err := manifest.Read(dir)
	if err != nil {
		return err
	}
	f, err := m.Open(t.Context())
	if f != nil {
		_ = f.Close()
	}
	return err
}

func TestSealedDirectoryIsTakenAsItIs(t *testing.T) {
	dir := project(t)
	if err := open(t, dir); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range m.Files {
		names = append(names, name)
	}
	if len(names) != 3 || m.Files["main.js"] == "" || m.Files["package.json"] == "" || !strings.HasPrefix(m.Files["node_modules"], "tree:") {
		t.Errorf("files = %v, want main.js, package.json and the tree node_modules", m.Files)
	}
	// What does not count: times, modes that nobody minds, empty directories, what is not listed.
	put(t, filepath.Join(dir, ".git", "HEAD"), "other")
	if err := os.Mkdir(filepath.Join(dir, "node_modules", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "main.js"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir); err != nil {
		t.Error(err)
	}
}

// TestWhatIsNotWhatWasSealedIsRefused: each change of a file, of a tree and of a link in it.
func TestWhatIsNotWhatWasSealedIsRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(dir string) error
		want   string
	}{
		{"another file", func(dir string) error { return os.WriteFile(filepath.Join(dir, "main.js"), []byte("evil"), 0o644) }, `files."main.js": has another sum`},
		{"no file", func(dir string) error { return os.Remove(filepath.Join(dir, "main.js")) }, `files."main.js": there is no such file`},
		{"a link in its place", func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "main.js"), filepath.Join(dir, "x")), os.Symlink("x", filepath.Join(dir, "main.js")))
		}, `files."main.js": is a symbolic link`},
		{"a directory in its place", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "main.js")), os.Mkdir(filepath.Join(dir, "main.js"), 0o755))
		}, `files."main.js": has another sum: tree:`},
		{"a file more in a tree", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "node_modules/dep/new.js"), nil, 0o644)
		}, `files.node_modules: has another sum`},
		{"a file less in a tree", func(dir string) error { return os.Remove(filepath.Join(dir, "node_modules/dep/index.js")) }, `has another sum`},
		{"a file by another name in a tree", func(dir string) error {
			return os.Rename(filepath.Join(dir, "node_modules/dep/index.js"), filepath.Join(dir, "node_modules/dep/main.js"))
		}, `has another sum`},
		{"a link that leads elsewhere", func(dir string) error { return relink(dir, "../dep/index.js") }, `has another sum`},
		{"a link out of the directory", func(dir string) error { return relink(dir, "../../../x") }, `leaves the plugin's directory`},
		{"an absolute link", func(dir string) error { return relink(dir, "/etc/passwd") }, `leaves the plugin's directory`},
		{"a link to what is not listed", func(dir string) error { return relink(dir, "../../.git/HEAD") }, `leads to .git/HEAD, which is not in [files]`},
		{"a link to nothing", func(dir string) error { return relink(dir, "../gone") }, `leads nowhere`},
		{"a link to itself", func(dir string) error { return relink(dir, "dep") }, `leads nowhere`},
		{"a file that everybody may change", func(dir string) error { return os.Chmod(filepath.Join(dir, "main.js"), 0o666) }, `files."main.js": everybody may write to it (run: chmod o-w`},
		{"one in a tree", func(dir string) error { return os.Chmod(filepath.Join(dir, "node_modules/dep"), 0o777) }, `node_modules/dep in it: everybody may write to it`},
		{"the manifest", func(dir string) error { return os.Chmod(filepath.Join(dir, "plugin.toml"), 0o666) }, `plugin.toml: everybody may write to it`},
		{"the directory", func(dir string) error { return os.Chmod(dir, 0o777) }, `its directory: everybody may write to it`},
		{"a directory without a manifest", func(dir string) error { return os.Remove(filepath.Join(dir, "plugin.toml")) }, `no such file`},
		{"a link for a manifest", func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "plugin.toml"), filepath.Join(dir, "p")), os.Symlink("p", filepath.Join(dir, "plugin.toml")))
		}, `plugin.toml is a symbolic link`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("modes and links are of unix")
			}
			dir := project(t)
			if err := row.change(dir); err != nil {
				t.Fatal(err)
			}
			if err := open(t, dir); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error = %v\nwant %s", err, row.want)
			}
		})
	}
}

func relink(dir, target string) error {
	link := filepath.Join(dir, "node_modules", ".bin", "dep")
	return errors.Join(os.Remove(link), os.Symlink(target, link))
}

func TestUnsealedManifestIsNotRun(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "plugin.toml"), "manifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"./x\"]\n")
	if err := open(t, dir); !errors.Is(err, manifest.ErrUnsealed) {
		t.Errorf("error = %v", err)
	}
}

func TestProgramOfADirectoryIsOpenedAndExecutable(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "plugin.toml"), "manifest = 1\nname = \"x\"\nversion = \"0.1.0\"\nkinds = [\"doctor\"]\nrun = [\"./bin/x\"]\n[files]\nbin = \"\"\n")
	put(t, filepath.Join(dir, "bin", "x"), "program")
	if _, err := manifest.Seal(t.Context(), dir); runtime.GOOS != "windows" && (err == nil || !strings.Contains(err.Error(), "is run and is not executable")) {
		t.Errorf("error = %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Open(t.Context())
	if err != nil || f == nil {
		t.Fatalf("%v, %v", f, err)
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, 20)
	if n, _ := f.Read(text); string(text[:n]) != "program" {
		t.Errorf("it reads %q: not from the beginning, or another file", text[:n])
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
