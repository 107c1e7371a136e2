package archtest

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var update = flag.Bool("update", false, "write the table of arrows into docs/architecture.md")

func TestArrowsHold(t *testing.T) {
	pkgs, err := list(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations(pkgs, rules()) {
		t.Error(v)
	}
}

// TestPlantedViolationIsFound adds a file to a package by an overlay: the tree itself is not touched.
func TestPlantedViolationIsFound(t *testing.T) {
	for _, row := range []struct{ name, folder, file, pkg, imp, want string }{
		{
			"a lifecycle that may wait", "host/internal/lifecycle", "planted.go", "lifecycle", "context",
			"a decision that logs or waits",
		},
		{
			"a lifecycle that logs", "host/internal/lifecycle", "planted.go", "lifecycle", hclog,
			"a decision that logs or waits",
		},
		{"a plugin that knows the host", "plugins/doctor", "planted.go", "openclawdoctor", module +
			"host", "nothing that an author could not"},
		{"a plugin that knows another", "plugins/doctor", "planted.go", "openclawdoctor", module +
			"plugins/launcher-utility", "no other plugin"},
		{"a shim that grows", "shared/shim", "planted.go", "shim", uuid, "it must stay small"},
		{"a session with opinions", "host/internal/session", "planted.go", "session", module +
			"host/internal/lifecycle", noMeaning},
		{"an arrow on Windows only", "host/internal/session", "planted_windows.go", "session", module +
			"host/internal/journal", noMeaning},
		{"a test that reaches around", "host/internal/session", "planted_test.go", "session_test", module +
			"host/internal/engine", "a test of host/internal/session imports"},
		{"a kind that knows another", "shared/doctor", "planted.go", "doctor", module + "shared/launcher", stranger},
		{"a facade that knows a plugin", "host", "planted.go", "host", module +
			"plugins/doctor", "not implementations"},
		{"a black box test that looks inside", "test/e2e", "planted_test.go", "e2e_test", module + "host", "black box"},
		{
			"a package that has no rule", "host/internal/planted", "planted.go", "planted", "fmt",
			"host/internal/planted has no rule",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			planted := filepath.Join(dir, "planted.go")
			if err := os.WriteFile(planted, []byte("package "+row.pkg+"\n\nimport _ \""+row.imp+"\"\n"),
				0o600); err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(filepath.Join(root, row.folder, row.file))
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {abs: planted}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			pkgs, err := list(root, "-overlay", file)
			if err != nil {
				t.Fatal(err)
			}
			found := violations(pkgs, rules())
			if len(found) != 1 || !strings.Contains(found[0], row.folder) || !strings.Contains(found[0], row.want) {
				t.Errorf("the planted import of %s by %s gives %q, want one violation with %q", row.imp, row.folder,
					found, row.want)
			}
		})
	}
}

func TestRulesDoNotRot(t *testing.T) {
	there := []pkg{{ImportPath: module + "there"}}
	for _, row := range []struct {
		name string
		rule rule
		want string
	}{
		{"a rule whose package is gone", rule{from: "gone", reason: "x"}, "matches no package: was it renamed?"},
		{"a planned rule whose package is there", rule{from: "there", planned: true, reason: "x"}, "drop the mark"},
		{"a rule without a reason", rule{from: "there"}, "has no reason"},
		{"a planned rule whose package is not there", rule{from: "later", planned: true, reason: "x"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			rules := []rule{row.rule}
			if row.rule.from != "there" {
				rules = append(rules, rule{from: "there", reason: "x"})
			}
			if got := strings.Join(violations(there, rules), "\n"); !strings.Contains(got, row.want) ||
				(row.want == "") != (got == "") {
				t.Errorf("violations = %q, want %q", got, row.want)
			}
		})
	}
}

// TestArchitectureShowsTheArrows holds the table in the docs and the rules together; run with -update to write it.
func TestArchitectureShowsTheArrows(t *testing.T) {
	const begin, end = "<!-- arrows: written by go test ./internal/archtest -update -->\n", "<!-- end of arrows -->"
	path := filepath.Join(root, "docs", "architecture.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	shown, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the arrows: %s ... %s", path, begin, end)
	}
	want := "\n" + table(rules()) + "\n"
	if shown == want {
		return
	}
	if !*update {
		t.Fatal("docs/architecture.md does not show the rules: go test ./internal/archtest -update")
	}
	if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRealTestsAreRun: make test-real picks tests by folder and by the word OpenClaw, so one elsewhere or without it
// would never run.
func TestRealTestsAreRun(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	picked := regexp.MustCompile(`-tags real -run OpenClaw (.*)`).FindStringSubmatch(string(makefile))
	if picked == nil {
		t.Fatal("the Makefile runs no tests with -tags real -run OpenClaw: has test-real changed?")
	}
	tag, test := regexp.MustCompile(`(?m)^//go:build .*\breal\b`), regexp.MustCompile(`(?m)^func (Test[A-Z_]\w*)\(`)
	found := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || !tag.Match(text) {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(rel)
		if !slices.ContainsFunc(strings.Fields(picked[1]),
			func(p string) bool { return matches(strings.TrimPrefix(p, "./"), folder) }) {
			t.Errorf("%s has tests of the real gateway, and make test-real does not run that folder", folder)
		}
		for _, m := range test.FindAllSubmatch(text, -1) {
			found++
			if name := string(m[1]); !strings.Contains(name, "OpenClaw") && name != "TestMain" {
				t.Errorf(
					"%s: %s needs the real gateway and has no OpenClaw in its name: make test-real would not run it",
					folder, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no test with the build tag real is found")
	}
}

// TestDependenciesHaveReasons holds docs/dependencies.md and go.mod together.
func TestDependenciesHaveReasons(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\| *(\\S.*?) *\\|$").FindAllStringSubmatch(string(doc),
		-1) {
		reasons[m[1]] = true
	}
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+) v\S+$`).FindAllStringSubmatch(string(mod),
		-1) {
		direct[m[1]] = true
		if !reasons[m[1]] {
			t.Errorf("docs/dependencies.md gives no reason for %s", m[1])
		}
	}
	if len(direct) == 0 {
		t.Error("go.mod has no direct dependency: has its form changed?")
	}
	for m := range reasons {
		if !direct[m] {
			t.Errorf("docs/dependencies.md names %s, which is no direct dependency", m)
		}
	}
}
