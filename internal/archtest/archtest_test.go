package archtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

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
	for _, row := range []struct{ folder, pkg, imp, want string }{
		{"host/internal/lifecycle", "lifecycle", "context", "a decision that logs or waits"},
		{"plugins/doctor", "openclawdoctor", module + "host", "nothing that a stranger could not"},
		{"shared/shim", "shim", "github.com/google/uuid", "it must stay small"},
		{"host/internal/session", "session", module + "host/internal/lifecycle", "does not know what they mean"},
	} {
		t.Run(row.folder, func(t *testing.T) {
			dir := t.TempDir()
			planted := filepath.Join(dir, "planted.go")
			if err := os.WriteFile(planted, []byte("package "+row.pkg+"\n\nimport _ \""+row.imp+"\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(filepath.Join(root, row.folder, "planted.go"))
			if err != nil {
				t.Fatal(err)
			}
			overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {abs: planted}})
			file := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(file, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			pkgs, err := list(root, "-overlay", file)
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(violations(pkgs, rules()), "\n")
			if !strings.Contains(found, row.folder+" imports "+row.imp) || !strings.Contains(found, row.want) {
				t.Errorf("the planted import of %s is not found:\n%s", row.imp, found)
			}
		})
	}
}

func TestRuleWithoutAPackageIsFound(t *testing.T) {
	if got := violations(nil, []rule{{from: "gone", reason: "x"}}); len(got) != 1 || !strings.Contains(got[0], "renamed") {
		t.Errorf("violations = %v", got)
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
	direct := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\s+(\S+\.\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		direct[m[1]] = true
		if !strings.Contains(string(doc), "| `"+m[1]+"` |") {
			t.Errorf("docs/dependencies.md gives no reason for %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\S+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md names %s, which is no direct dependency", m[1])
		}
	}
}
