package scaffold

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what go mod tidy says of the SDK and of projects, and the examples")

// sums are the files that go mod tidy writes; new projects get them, so that they build without it.
var sums = []string{"go.mod", "go.sum", "sdk/go.mod", "sdk/go.sum"}

const goCommon = "templates/go/common"

// TestSumsAreThoseOfOurOwnModules holds the templates and our go.mod together: a project builds with what we build
// with. -update brings them up to date; that needs the module proxy.
func TestSumsAreThoseOfOurOwnModules(t *testing.T) {
	if *update {
		tidy(t)
	}
	ours, ourSums := versions(t, "../../go.mod"), read(t, "../../go.sum")
	for _, name := range []string{"go.mod.tmpl", "sdk/go.mod.tmpl"} {
		theirs := versions(t, filepath.Join(goCommon, name))
		for module, version := range theirs {
			// what only tests of dependencies need is not among ours
			if own, known := ours[module]; known && own != version {
				t.Errorf("%s requires %s %s, we %s: run go test ./internal/scaffold -update", name, module, version,
					own)
			}
		}
		for _, module := range []string{
			"github.com/hashicorp/go-plugin", "google.golang.org/grpc",
			"google.golang.org/protobuf",
		} {
			if theirs[module] == "" {
				t.Errorf("%s does not require %s", name, module)
			}
		}
	}
	for _, name := range []string{"go.sum.tmpl", "sdk/go.sum.tmpl"} {
		for line := range strings.Lines(read(t, filepath.Join(goCommon, name))) {
			if !strings.Contains(ourSums, line) {
				t.Errorf("%s has a sum that our go.sum has not: %s", name, line)
			}
		}
	}
}

// versions are the modules that a go.mod requires.
func versions(t *testing.T, path string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, m := range regexp.MustCompile(
		`(?m)^(?:require )?\s*([a-z0-9.-]+\.[a-z]+/\S+) (v\S+)`).FindAllStringSubmatch(read(t, path), -1) {
		out[m[1]] = m[2]
	}
	return out
}

// tidy makes go write the four files of a project that imports everything, beginning with the versions of our own
// go.mod.
func tidy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	files, err := contents(data{Name: "x", Kind: "doctor", Lang: Go, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	own := read(t, "../../go.mod")
	_, requires, _ := strings.Cut(own, "\nrequire")
	requires = regexp.MustCompile(`(?m)^.*rapid.*\n`).ReplaceAllString("\nrequire"+requires, "")
	files["sdk/go.mod"] = file{data: []byte(own)}
	files["go.mod"] = file{data: []byte("module example.com/x\n\n" + goVersion(own) +
		"\n\nrequire github.com/gatehost/gatehost v0.0.0\n\nreplace github.com/gatehost/gatehost => ./sdk\n" +
		requires)}
	var all strings.Builder
	all.WriteString("package main\n\nimport (\n\t_ \"github.com/hashicorp/go-hclog\"\n")
	for name := range files {
		if pkg, ok := strings.CutPrefix(filepath.Dir(name), "sdk/shared/"); ok &&
			!strings.Contains(pkg, "internal") && strings.HasSuffix(name, ".go") {
			all.WriteString("\t_ \"github.com/gatehost/gatehost/shared/" + pkg + "\"\n")
		}
	}
	files["all.go"] = file{data: []byte(all.String() + ")\n")}
	delete(files, "go.sum")
	delete(files, "sdk/go.sum")
	if err := fill(dir, files); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"sdk", "."} {
		cmd := exec.Command("go", "mod", "tidy")
		cmd.Dir, cmd.Env = filepath.Join(dir, at), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go mod tidy in %s: %v\n%s", at, err, text)
		}
	}
	for _, name := range sums {
		text := []byte(read(t, filepath.Join(dir, name)))
		if name == "go.mod" {
			text = asTemplate(text)
		}
		if err := os.WriteFile(filepath.Join(goCommon, name+".tmpl"), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func goVersion(mod string) string { return regexp.MustCompile(`(?m)^go .*$`).FindString(mod) }

// asTemplate puts in what differs from project to project.
func asTemplate(mod []byte) []byte {
	mod = bytes.Replace(mod, []byte("module example.com/x"), []byte("module example.com/{% .Name %}"), 1)
	mod = bytes.Replace(mod, []byte("gatehost/gatehost v0.0.0"),
		[]byte("gatehost/gatehost v{% or .Release `0.0.0` %}"), 1)
	replace := regexp.MustCompile(`(?m)^replace .*\n\n?`)
	line := bytes.TrimSpace(replace.Find(mod))
	mod = bytes.TrimRight(replace.ReplaceAll(mod, nil), "\n")
	return append(mod, []byte("\n{%- if not .Release %}\n\n"+string(line)+"\n{%- end %}\n")...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
