package scaffold

import (
	"bytes"
	"errors"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// tree is the files below dir, by their slash-separated paths.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "__pycache__") {
			return fs.SkipDir // what an author's tools have made in an example
		}
		if err == nil && !entry.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryKindInEveryLanguageIsAWholeProject(t *testing.T) {
	for _, kind := range plugin.Kinds() {
		for _, lang := range Languages(kind) {
			dir := filepath.Join(t.TempDir(), "my-"+string(kind))
			p, err := New(Options{Kind: kind, Dir: dir, Lang: lang})
			if err != nil {
				t.Fatalf("%s in %s: %v", kind, lang, err)
			}
			if p.Name != "my-"+string(kind) || p.Dir != dir || p.Next[0] != "cd "+dir ||
				p.Next[len(p.Next)-1] != "gatehost plugin verify ." {
				t.Errorf("%s in %s: %+v", kind, lang, p)
			}
			files := tree(t, dir)
			for _, want := range []string{"README.md", "plugin.toml", ".gitignore"} {
				if !strings.Contains(strings.Join(files, "\n"), want) {
					t.Errorf("%s in %s has no %s: %q", kind, lang, want, files)
				}
			}
			for _, name := range files {
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if path.Ext(name) == ".go" && !strings.HasPrefix(name, "sdk/") {
					if formatted, err := format.Source(text); err != nil || !bytes.Equal(formatted, text) {
						t.Errorf("%s in %s: %s is not as gofmt writes it: %v", kind, lang, name, err)
					}
				}
				if bytes.Contains(text, []byte("{%")) || bytes.Contains(text, []byte("<no value>")) {
					t.Errorf("%s in %s: %s is still a template", kind, lang, name)
				}
			}
			if manifest, err := os.ReadFile(filepath.Join(dir, "plugin.toml")); err != nil ||
				!bytes.Contains(manifest, []byte(`name = "my-`+string(kind)+`"`)) ||
				!bytes.Contains(manifest, []byte(`kinds = ["`+string(kind)+`"]`)) {
				t.Errorf("manifest of %s in %s: %v\n%s", kind, lang, err, manifest)
			}
		}
	}
}

func TestReleasedModuleIsRequiredAndNotCopied(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if _, err := New(Options{Kind: plugin.KindDoctor, Dir: dir, Release: "1.2.3"}); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !bytes.Contains(mod, []byte("gatehost/gatehost v1.2.3\n")) ||
		bytes.Contains(mod, []byte("replace")) {
		t.Errorf("go.mod: %v\n%s", err, mod)
	}
	for _, name := range tree(t, dir) {
		if strings.HasPrefix(name, "sdk/") || name == "go.sum" {
			t.Errorf("%s is there", name)
		}
	}
}

func TestBadInputIsRefusedAndNothingIsMade(t *testing.T) {
	parent := t.TempDir()
	in := func(name string) string { return filepath.Join(parent, name) }
	for name, text := range map[string]string{"file": "x", "full/kept": "x", "hidden/.git": "x"} {
		if err := os.MkdirAll(filepath.Dir(in(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := strings.Join(tree(t, parent), "\n")
	for what, c := range map[string]struct {
		o    Options
		code fault.Code
		say  string
	}{
		"no kind":     {Options{Kind: "doktor", Dir: in("a")}, fault.InvalidArgument, "doktor"},
		"no language": {Options{Kind: "doctor", Dir: in("a"), Lang: "rust"}, fault.InvalidArgument, "rust"},
		"not in this language": {
			Options{Kind: "launcher", Dir: in("a"), Lang: Python},
			fault.InvalidArgument,
			"launcher in python",
		},
		"a name with capitals": {Options{Kind: "doctor", Dir: in("My-Doctor")}, fault.InvalidArgument, "My-Doctor"},
		"a name with dots":     {Options{Kind: "doctor", Dir: in("a"), Name: "../x"}, fault.InvalidArgument, "../x"},
		"a name with a zero byte": {
			Options{Kind: "doctor", Dir: in("a"), Name: "x\x00"},
			fault.InvalidArgument,
			`x\x00`,
		},
		"a name that is too long": {
			Options{Kind: "doctor", Dir: in("a"), Name: strings.Repeat("a", 65)},
			fault.InvalidArgument, "aaa",
		},
		"no directory":     {Options{Kind: "doctor"}, fault.InvalidArgument, "directory"},
		"a file":           {Options{Kind: "doctor", Dir: in("file")}, fault.FailedPrecondition, "file"},
		"a full directory": {Options{Kind: "doctor", Dir: in("full")}, fault.FailedPrecondition, "kept"},
		"a hidden file":    {Options{Kind: "doctor", Dir: in("hidden")}, fault.FailedPrecondition, ".git"},
		"no parent": {
			Options{Kind: "doctor", Dir: in("none/a")},
			fault.FailedPrecondition,
			"no directory",
		},
	} {
		_, err := New(c.o)
		if fault.CodeOf(err) != c.code || fault.HintOf(err) == "" && c.say != "directory" ||
			!strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v (%s, hint %q), want %s that says %q", what, err, fault.CodeOf(err), fault.HintOf(err),
				c.code, c.say)
		}
	}
	if after := strings.Join(tree(t, parent), "\n"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestEmptyDirectoryIsFilledAndStaysTheSame(t *testing.T) {
	dir := t.TempDir()
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Kind: plugin.KindDoctor, Dir: dir, Name: "mine"}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(dir)
	if err != nil || !os.SameFile(before, after) { // a shell may be in it
		t.Errorf("it is another directory now: %v", err)
	}
	if files := strings.Join(tree(t, dir), "\n"); !strings.Contains(files, "main.go") ||
		strings.Contains(files, "gatehost-new") {
		t.Errorf("files: %s", files)
	}
}

// TestFailureHalfWayLeavesNothing plants a file whose directory is a file of the same project.
func TestFailureHalfWayLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	impossible := map[string]file{"a": {data: []byte("x")}, "b/c": {data: []byte("x")}, "a/d": {data: []byte("x")}}
	for _, dir := range []string{filepath.Join(parent, "new"), empty} {
		if err := write(dir, impossible); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("error = %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(parent, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the new directory: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(parent, "*", "*")); err != nil || len(left) > 0 ||
		len(tree(t, parent)) > 0 {
		t.Errorf("left: %q, %q, %v", left, tree(t, parent), err)
	}
}

func TestNextCommandsFindGatehostWhereItIs(t *testing.T) {
	for _, c := range []struct{ dir, lang, gatehost, want string }{
		{"x", Go, "", "cd x; make; gatehost plugin verify ."},
		{".", Go, "/a b/gatehost", "make GATEHOST='/a b/gatehost'; '/a b/gatehost' plugin verify ."},
		{"x y", Node, "", "cd 'x y'; npm ci; npm test; npm run seal; gatehost plugin verify ."},
		{".", Node, "/b/gatehost", "npm ci; npm test; /b/gatehost plugin seal .; /b/gatehost plugin verify ."},
		{".", Python, "", "make; gatehost plugin verify ."},
	} {
		if got := strings.Join(next(c.dir, c.lang, c.gatehost), "; "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestMakefilesFindGatehostWhereItIs has make print what it would do: the path that New names may have a space.
func TestMakefilesFindGatehostWhereItIs(t *testing.T) {
	for _, kind := range plugin.Kinds() {
		for _, lang := range Languages(kind) {
			dir := filepath.Join(t.TempDir(), "x")
			if _, err := New(Options{Kind: kind, Dir: dir, Lang: lang}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "Makefile")); err != nil {
				continue // npm has its own way
			}
			out, err := exec.Command("make", "-C", dir, "-n", "verify", "GATEHOST=/a b/gatehost").CombinedOutput()
			if err != nil ||
				strings.Count(string(out), "/a b/gatehost") != strings.Count(string(out), `"/a b/gatehost"`) ||
				!strings.Contains(string(out), `"/a b/gatehost" plugin verify .`) {
				t.Errorf("%s in %s: %v\n%s", kind, lang, err, out)
			}
		}
	}
}

func TestInterpreterIsOneStringOfTheManifest(t *testing.T) {
	for _, lang := range []string{Node, Python} {
		files, err := contents(data{
			Name: "x", Kind: plugin.KindDoctor, Lang: lang,
			Interpreter: `C:\Program Files\run.exe`,
		})
		if err != nil {
			t.Fatal(err)
		}
		if text := string(files["plugin.toml"].data); !strings.Contains(text, `run = ["C:\\Program Files\\run.exe", `) {
			t.Errorf("%s: %s", lang, text)
		}
	}
}

func TestPathsAreOneWordOfAShell(t *testing.T) {
	for path, want := range map[string]string{
		"a/b-c": "a/b-c", "a b": "'a b'", "it's": `'it'\''s'`, "~x": "'~x'",
		"$HOME": "'$HOME'",
	} {
		if got := quote(path); got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
}
