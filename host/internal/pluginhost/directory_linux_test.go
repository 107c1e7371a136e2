package pluginhost_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/gatehost/gatehost/host/internal/manifest"
	"github.com/gatehost/gatehost/host/internal/pluginhost"
	"github.com/gatehost/gatehost/host/internal/sandbox"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// directory makes a sealed directory of a plugin: run is TOML, more follows it, files are name and text; a name with a
// star is a program.
func directory(t *testing.T, run, more string, files map[string]string) string {
	t.Helper()
	dir := unsealed(t, run, more, files)
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func unsealed(t *testing.T, run, more string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my plugin") // a space in its name
	put(t, filepath.Join(dir, "plugin.toml"),
		fmt.Sprintf("manifest = 1\nname = \"test-plugin\"\nversion = \"1.2.3\"\nkinds = [\"doctor\"]\nrun = %s\n%s",
			run, more))
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

// compiled is the test plugin in a directory of its own.
func compiled(t *testing.T, more string) string {
	t.Helper()
	dir := unsealed(t, `["./bin/test-plugin"]`, more, map[string]string{"notes": "not listed"})
	copyProgram(t, filepath.Join(pluginDir, "test-plugin"), filepath.Join(dir, "bin", "test-plugin"))
	if _, err := manifest.Seal(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	put(t, to, "")
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Chmod(0o755); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryWithAManifestIsAPlugin(t *testing.T) {
	dir := compiled(t, "")
	for _, row := range []struct {
		name string
		shut *sandbox.Spec
	}{{"as it is", nil}, {"sandboxed", &sandbox.Spec{}}} {
		t.Run(row.name, func(t *testing.T) {
			h, _ := newHost(t, quick(), pluginhost.Spec{
				Name: "p", Path: dir, SHA256: checksum(t, filepath.Join(dir, "plugin.toml")), Sandbox: row.shut,
			})
			awaitState(t, h, pluginhost.Running)
			if name, err := attempt(t, h, "read /proc/self/cmdline"); err != nil ||
				strings.TrimRight(name, "\uFFFD") != filepath.Join(dir, "bin", "test-plugin") {
				t.Errorf("it sees itself as %q, %v", name, err)
			}
			_, err := attempt(t, h, "read "+filepath.Join(dir, "notes"))
			if (err != nil) != (row.shut != nil) {
				t.Errorf("what is not listed: %v", err)
			}
			if _, err := attempt(t, h, "read "+filepath.Join(dir, "plugin.toml")); err != nil {
				t.Errorf("its manifest: %v", err)
			}
			if _, err := attempt(t, h, "list "+dir); err != nil {
				t.Errorf("the names in its directory: %v", err)
			}
		})
	}
}

func TestBareNameMayBeADirectory(t *testing.T) {
	h := pluginhost.New(pluginhost.Options{
		PluginDir: filepath.Dir(compiled(t, "")), DataDir: t.TempDir(),
		RuntimeDir: shortDir(t), Log: hclog.NewNullLogger(), Timing: quick(),
	})
	if err := h.Add(pluginhost.Spec{Name: "p", Path: "my plugin"}); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context())
	defer h.Close()
	pid(t, h)
}

func TestTransportIsTheManifestsUnlessTheOperatorSaysOtherwise(t *testing.T) {
	dir := compiled(t, `transport = "socket"`)
	for transport, mtls := range map[string]bool{
		"": false, pluginhost.TransportSocket: false,
		pluginhost.TransportMTLS: true,
	} {
		h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir, Transport: transport})
		text, err := attempt(t, h, "env PLUGIN_CLIENT_CERT")
		if err != nil || (text != "") != mtls {
			t.Errorf("transport %q: certificate %.20q, %v", transport, text, err)
		}
	}
}

// TestPluginThatIsNotWhatItsManifestSaysIsRefused: Describe must agree with what was pinned.
func TestPluginThatIsNotWhatItsManifestSaysIsRefused(t *testing.T) {
	for old, row := range map[string]struct{ text, want string }{
		`name = "test-plugin"`: {
			`name = "another"`,
			`it says that its name is "test-plugin", its plugin.toml says "another"`,
		},
		`kinds = ["doctor"]`: {
			`kinds = ["doctor", "launcher"]`,
			"its plugin.toml says that it serves as launcher, and it does not",
		},
		`["doctor"]`: {`["classifier", "doctor"]`, "serves as classifier, and it does not"},
	} {
		dir := compiled(t, "")
		edit(t, filepath.Join(dir, "plugin.toml"), old, row.text)
		h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir})
		s := awaitState(t, h, pluginhost.Failed)
		if !strings.Contains(s.Err.Error(), row.want) || fault.HintOf(s.Err) == "" {
			t.Errorf("error = %v, want %s", s.Err, row.want)
		}
	}
	dir := compiled(t, "")
	h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir, Args: []string{"classifies"}})
	if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(),
		"it serves as classifier, which its plugin.toml does not say") {
		t.Errorf("error = %v", s.Err)
	}
}

// TestPinIsComparedBeforeTheManifestIsParsed: a manifest that was not pinned is foreign text.
func TestPinIsComparedBeforeTheManifestIsParsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	put(t, filepath.Join(dir, "plugin.toml"), "this is no TOML")
	h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir, SHA256: strings.Repeat("0", 64)})
	if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), "the manifest's sha256 is ") {
		t.Errorf("error = %v", s.Err)
	}
	h, _ = newHost(t, quick(), pluginhost.Spec{
		Name: "p", Path: dir, SHA256: checksum(t, filepath.Join(dir, "plugin.toml")),
	})
	if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), "cannot read as TOML") {
		t.Errorf("error = %v", s.Err)
	}
}

func edit(t *testing.T, path, old, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%v, or no %q", err, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, text, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDirectoryThatCannotBeTrustedIsRefusedInWords(t *testing.T) {
	for _, row := range []struct {
		name       string
		code       fault.Code
		hint, want string
		make       func(t *testing.T) string
	}{
		{
			"no manifest", fault.InvalidArgument, "name the executable inside it", "it is a directory without plugin.toml",
			func(t *testing.T) string { return t.TempDir() },
		},
		{
			"a faulty one", fault.InvalidArgument, "correct ", "plugin.toml:3:1: version: \"one\" is not a version",
			func(t *testing.T) string {
				dir := compiled(t, "")
				edit(t, filepath.Join(dir, "plugin.toml"), `"1.2.3"`, `"one"`)
				return dir
			},
		},
		{
			"not sealed", fault.FailedPrecondition, "run `gatehost plugin seal ", "[files] is empty",
			func(t *testing.T) string { return unsealed(t, `["./x"]`, "", nil) },
		},
		{
			"another file", fault.InvalidArgument, "correct ", `files."bin/test-plugin": has another sum`,
			func(t *testing.T) string {
				dir := compiled(t, "")
				edit(t, filepath.Join(dir, "bin", "test-plugin"), "ELF", "FLE")
				return dir
			},
		},
		{
			"a manifest that is no file", fault.PermissionDenied, "correct ", "is a directory, not a file",
			func(t *testing.T) string {
				dir := t.TempDir()
				if err := os.Mkdir(filepath.Join(dir, "plugin.toml"), 0o755); err != nil {
					t.Fatal(err)
				}
				return dir
			},
		},
		{
			"no interpreter", fault.NotFound, "install it", "the interpreter that its manifest names is not there",
			func(t *testing.T) string {
				return directory(t, `["/nowhere/node", "./main.js"]`, "", map[string]string{"main.js": ""})
			},
		},
		{
			"an interpreter that everybody may change", fault.PermissionDenied, "chmod", "every user may write to it",
			func(t *testing.T) string {
				path := filepath.Join(t.TempDir(), "node")
				put(t, path, "\x7fELF")
				if err := os.Chmod(path, 0o777); err != nil {
					t.Fatal(err)
				}
				return directory(t, fmt.Sprintf(`[%q, "./main.js"]`, path), "", map[string]string{"main.js": ""})
			},
		},
		{
			"an interpreter that is a script", fault.InvalidArgument, "name the program that it starts", "is itself a script",
			func(t *testing.T) string {
				path := filepath.Join(t.TempDir(), "node")
				put(t, path, "#!/bin/sh\n")
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
				return directory(t, fmt.Sprintf(`[%q, "./main.js"]`, path), "", map[string]string{"main.js": ""})
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: row.make(t)})
			s := awaitState(t, h, pluginhost.Failed)
			if text := s.Err.Error(); !strings.Contains(text, row.want) || !strings.Contains(text, `plugin "p"`) ||
				fault.CodeOf(s.Err) != row.code || !strings.Contains(fault.HintOf(s.Err), row.hint) {
				t.Errorf("error = %s (%s, hint %q), want %s", text, fault.CodeOf(s.Err), fault.HintOf(s.Err), row.want)
			}
		})
	}
}

func TestPinOfADirectoryIsThatOfItsManifest(t *testing.T) {
	dir := compiled(t, "")
	path, sum, err := pluginhost.Checksum(t.Context(), pluginhost.Spec{Name: "p", Path: dir}, pluginDir)
	if err != nil || path != dir || sum != checksum(t, filepath.Join(dir, "plugin.toml")) {
		t.Fatalf("%s, %s, %v", path, sum, err)
	}
	edit(t, filepath.Join(dir, "plugin.toml"), "manifest = 1", "manifest = 1 # by another user")
	h, _ := newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir, SHA256: sum})
	if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), "the manifest's sha256 is ") ||
		!strings.Contains(s.Err.Error(), "config.toml wants "+sum) {
		t.Errorf("error = %v", s.Err)
	}
}

// interpreters are Node and Python as they are installed here, and the files that they need besides themselves.
func interpreters(t *testing.T) (node, python string, needs []string) {
	t.Helper()
	say := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("this test needs %s: %v", name, err)
		}
		return strings.TrimSpace(string(out))
	}
	node = say("node", "-p", "process.execPath")
	words := strings.Split(say("python3", "-c", "import sys; print(sys.executable); print(sys.base_prefix)"), "\n")
	if !strings.HasPrefix(words[1], "/usr") {
		needs = append(needs, words[1])
	}
	return node, words[0], needs
}

// TestScriptsOfNodeAndPythonAreShutInToo: they start by the absolute path of their file, and load what is sealed and
// nothing else.
func TestScriptsOfNodeAndPythonAreShutInToo(t *testing.T) {
	node, python, needs := interpreters(t)
	for _, row := range []struct {
		name, run string
		files     map[string]string
	}{
		{"node", fmt.Sprintf(`[%q, "--no-warnings", "./main.js"]`, node), map[string]string{
			"main.js": `const fs = require("fs"); const path = require("path");
console.error("own", require("./lib/own.js"), require("dep"), process.argv.slice(1).join(" "), __filename);
for (const f of [path.join(__dirname, ".env"), "/etc/shadow"]) {
  try { fs.readFileSync(f); console.error("open", f); } catch (e) { console.error("shut", f, e.code); }
}
process.exit(7);`,
			"lib/own.js": "module.exports = 41;", "node_modules/dep/index.js": "module.exports = 42;",
			"package.json": "{}", ".env": "canary",
		}},
		{"python", fmt.Sprintf(`[%q, "-u", "./main.py"]`, python), map[string]string{
			"main.py": `import sys, os, lib.own, dep, json, ssl
print("own", lib.own.value, dep.value, " ".join(sys.argv), os.path.abspath(__file__), file=sys.stderr)
for f in [os.path.join(os.path.dirname(__file__), ".env"), "/etc/shadow"]:
    try:
        open(f).read()
        print("open", f, file=sys.stderr)
    except OSError as e:
        print("shut", f, e.strerror, file=sys.stderr)
sys.exit(7)`,
			"lib/own.py": "value = 41", "lib/__init__.py": "", "dep.py": "value = 42", ".env": "canary",
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := directory(t, row.run, "", row.files)
			entry := filepath.Join(dir, strings.Fields(strings.Trim(row.run, `[]`))[2][3:10])
			own := fmt.Sprintf("own 41 42 %s --word %s", entry, entry)
			timing := quick()
			timing.CircuitAfter = 1
			h, _ := newHost(t, timing, pluginhost.Spec{
				Name: "p", Path: dir, Args: []string{"--word"},
				Sandbox: &sandbox.Spec{Read: needs}, StartTimeout: patience,
			})
			s := awaitState(t, h, pluginhost.Failed)
			text := s.Err.Error()
			if !strings.Contains(text, own) || strings.Count(text, "shut ") != 2 || strings.Contains(text, "open ") {
				t.Errorf("it says: %s\nlines: %q", text, s.Lines)
			}
			h, _ = newHost(t, timing, pluginhost.Spec{
				Name: "p", Path: dir, Args: []string{"--word"},
				StartTimeout: patience,
			})
			if s := awaitState(t, h, pluginhost.Failed); !strings.Contains(s.Err.Error(), own) {
				t.Errorf("not sandboxed, it says: %v", s.Err)
			}
		})
	}
}

// TestProcessOfAPluginHasItsNameAndNotThatOfADescriptor: as `ps` shows it, however the plugin is started.
func TestProcessOfAPluginHasItsNameAndNotThatOfADescriptor(t *testing.T) {
	node, python, needs := interpreters(t)
	script := filepath.Join(t.TempDir(), "a-script")
	put(t, script, "#!/bin/sh\nread comm </proc/$$/comm; echo \"comm: $comm.\" >&2; exit 7\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	pyScript := filepath.Join(t.TempDir(), "py-script")
	put(t, pyScript, "#!"+python+"\nimport sys; print('comm: ' + open('/proc/self/comm').read().strip() + '.',"+
		" 'path: ' + sys.path[0], file=sys.stderr); sys.exit(7)\n")
	if err := os.Chmod(pyScript, 0o700); err != nil {
		t.Fatal(err)
	}
	inNode := directory(t, fmt.Sprintf(`[%q, "./main.js"]`, node), "", map[string]string{"main.js": "" +
		`const comm = require("fs").readFileSync("/proc/self/comm", "utf8"); console.error("comm: " + comm.trim() + ".");` +
		"\nprocess.exit(7)\n"})
	inPython := directory(t, fmt.Sprintf(`[%q, "./main.py"]`, python), "", map[string]string{"main.py": "" +
		"import sys; print('comm: ' + open('/proc/self/comm').read().strip() + '.', file=sys.stderr); sys.exit(7)\n"})
	for _, row := range []struct{ name, path, sum, want string }{
		{"a script", script, checksum(t, script), "comm: a-script."},
		{"a script in Python", pyScript, checksum(t, pyScript), "comm: py-script. path: " + filepath.Dir(pyScript)},
		{"a directory in Node", inNode, checksum(t, filepath.Join(inNode, "plugin.toml")), "comm: test-plugin."},
		{"a directory in Python", inPython, checksum(t, filepath.Join(inPython, "plugin.toml")), "comm: test-plugin."},
	} {
		for _, spec := range []pluginhost.Spec{
			{Name: "p", Path: row.path, Sandbox: &sandbox.Spec{Read: needs}},
			{Name: "p", Path: row.path, SHA256: row.sum, Uses: []plugin.Kind{plugin.KindDoctor}},
			{Name: "p", Path: row.path, SHA256: row.sum, Uses: []plugin.Kind{plugin.KindLauncher}},
		} {
			spec.StartTimeout = patience
			timing := quick()
			timing.CircuitAfter = 1
			h, _ := newHost(t, timing, spec)
			text := awaitState(t, h, pluginhost.Failed).Err.Error()
			// newer releases of Node name their main thread themselves
			text = strings.ReplaceAll(text, "comm: node-MainThread.", "comm: test-plugin.")
			if !strings.Contains(text, row.want) {
				t.Errorf("%s, sandboxed %v, used as %v: %v, want %q", row.name, spec.Sandbox != nil, spec.Uses, text, row.want)
			}
		}
	}
	for _, change := range []func(*pluginhost.Spec){
		func(s *pluginhost.Spec) { s.Sandbox = &sandbox.Spec{} },
		func(s *pluginhost.Spec) { s.SHA256 = checksum(t, filepath.Join(pluginDir, "test-plugin")) },
		func(s *pluginhost.Spec) {
			s.SHA256 = checksum(t, filepath.Join(pluginDir, "test-plugin"))
			s.Uses = []plugin.Kind{plugin.KindDoctor}
		},
	} {
		spec := testPlugin()
		change(&spec)
		h, _ := newHost(t, quick(), spec)
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", awaitState(t, h, pluginhost.Running).PID))
		if err != nil || strings.TrimSpace(string(comm)) != "test-plugin" {
			t.Errorf("the process is called %q, %v", comm, err)
		}
	}
}

// TestInterpreterThatNeedsMoreIsTold: an interpreter in an unusual place runs, and what it lacks has a key.
func TestInterpreterThatNeedsMoreIsTold(t *testing.T) {
	place := t.TempDir()
	copyProgram(t, filepath.Join(pluginDir, "test-plugin"), filepath.Join(place, "bin", "odd"))
	put(t, filepath.Join(place, "lib"), "a library")
	dir := directory(t, fmt.Sprintf(`[%q, "needs", %q, "./main.odd"]`, filepath.Join(place, "bin", "odd"),
		"lib="+filepath.Join(place, "lib")[1:]),
		fmt.Sprintf("[sandbox]\nread = [%q]\n", place), map[string]string{"main.odd": "words"})
	timing := quick()
	timing.BackoffBase, timing.BackoffMax = time.Hour, time.Hour
	h, _ := newHost(t, timing, pluginhost.Spec{Name: "p", Path: dir, Sandbox: &sandbox.Spec{}})
	s := awaitState(t, h, pluginhost.BackingOff)
	lib := filepath.Join(place, "lib")
	if len(s.Refused) != 1 || s.Refused[0].What != lib || s.Refused[0].Key != "plugins.p.sandbox.read" {
		t.Errorf("refused = %+v, want %s", s.Refused, lib)
	}
	if hint := fault.HintOf(s.Err); !strings.Contains(hint, "it was refused "+lib) ||
		!strings.Contains(hint, `plugins.p.sandbox.read "`+place) || !strings.Contains(hint, "interpreter") {
		t.Errorf("error = %v\nhint = %s", s.Err, hint)
	}
	h, _ = newHost(t, quick(), pluginhost.Spec{Name: "p", Path: dir, Sandbox: &sandbox.Spec{Read: []string{place}}})
	awaitState(t, h, pluginhost.Running)
}
