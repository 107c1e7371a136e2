package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxCircle is how many files of a package of the host may name each other in a circle: two or three chapters of one
// idea.
const maxCircle = 4

// house is the packages into which the host was split.
func house() []string {
	patterns := []string{"./host"}
	for _, name := range []string{
		"api", "conditions", "doctors", "gateway", "lastgood", "observe", "pluginspec", "plugintool", "registry",
		"reload", "view",
	} {
		patterns = append(patterns, "./host/internal/"+name)
	}
	return patterns
}

// TestFilesOfTheHostCanBeReadAlone reports the largest circle of files in each package of the host, and holds it for
// the facade and for the packages into which it was split.
func TestFilesOfTheHostCanBeReadAlone(t *testing.T) {
	all, err := circles(filepath.Join("..", ".."), "./host/...")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range house() {
		if _, ok := all[module+strings.TrimPrefix(pattern, "./")]; !ok {
			t.Errorf("there is no package %s", pattern)
		}
	}
	for pkg, circle := range all {
		t.Logf("%s: %d %v", strings.TrimPrefix(pkg, module), len(circle), circle)
		held := slices.Contains(house(), "./"+strings.TrimPrefix(pkg, module))
		if held && len(circle) > maxCircle {
			t.Errorf("%s: %d files name each other in a circle, %d may: %v", pkg, len(circle), maxCircle, circle)
		}
	}
}

// TestPlantedCircleIsFound: by a type, a method, a field and a constant; a reference in one direction is none.
func TestPlantedCircleIsFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.test/planted\n\ngo 1.26\n",
		"a.go":    "package planted\n\ntype A struct{ B *B }\n\nconst Limit = 3\n",
		"b.go":    "package planted\n\ntype B struct{ n int }\n\nfunc (b *B) More() C { return C{} }\n",
		"c.go":    "package planted\n\ntype C struct{}\n\nfunc (C) All() int { return Limit }\n",
		"leaf.go": "package planted\n\nfunc Leaf(a A) int { return a.B.n + a.B.More().All() }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := circles(dir, "./...")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.go", "b.go", "c.go"}; !slices.Equal(got["example.test/planted"], want) {
		t.Errorf("circle %v, want %v", got, want)
	}
}

// gatewayPackages is what one gateway is made of, without the leaves that it uses (session, output, health, repair,
// journal).
func gatewayPackages() []string {
	return []string{"doctors", "engine", "gateway", "lastgood", "lifecycle", "observe", "view"}
}

// maxMutexes is how many locks one gateway may have beside the owner of its state.
const maxMutexes = 6

// TestAGatewayHasOneOwnerAndFewLocks counts the mutexes of the packages that a gateway is made of. Each says at its
// declaration what it guards and against whom.
func TestAGatewayHasOneOwnerAndFewLocks(t *testing.T) {
	count := 0
	for _, name := range gatewayPackages() {
		found, err := mutexes(filepath.Join("..", "..", "host", "internal", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range found {
			count++
			t.Logf("%s: %s", m.place, m.reason)
			if !strings.Contains(m.reason, "guards") || len(strings.Fields(m.reason)) < 6 {
				t.Errorf("%s: say what it guards and against whom, not %q", m.place, m.reason)
			}
		}
	}
	if count > maxMutexes || count == 0 {
		t.Errorf("a gateway has %d mutexes, %d may be", count, maxMutexes)
	}
}
