package sim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mostSchedules is how many schedules a planted bug may survive. The hardest needs about a thousand.
const mostSchedules = 10_000

// burdenSchedules is how many schedules have to hold under a burden.
const burdenSchedules = 1000

// change replaces a text that stands exactly once in a file.
type change struct{ old, planted string }

// plant is a bug of testdata/mutants or a burden of testdata/burdens: a change of one file of production code. Its file
// has the fields `bug:` (what it does), `found:` (how it was found, if it was a real one) and `file:`, and after them
// one or more pairs of sections `-- old --` and `-- new --`.
type plant struct {
	name, bug, found, file string
	changes                []change
}

// plants reads all files of a folder.
func plants(t *testing.T, dir string) []plant {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files in testdata/%s, %v", len(paths), dir, err)
	}
	var out []plant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePlant(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, p)
	}
	return out
}

func parsePlant(name, text string) (plant, error) {
	p := plant{name: name}
	sections := strings.Split("\n"+text, "\n-- old --\n")
	for line := range strings.Lines(sections[0]) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "bug":
			p.bug = value
		case "found":
			p.found = value
		case "file":
			p.file = value
		case "":
		default:
			return p, fmt.Errorf("unknown field %q", key)
		}
	}
	for _, s := range sections[1:] {
		old, planted, ok := strings.Cut(s, "\n-- new --\n")
		if !ok || old == "" {
			return p, fmt.Errorf("a section old without a section new")
		}
		p.changes = append(p.changes, change{old, strings.TrimSuffix(planted, "\n")})
	}
	if p.bug == "" || p.file == "" || len(p.changes) == 0 {
		return p, fmt.Errorf("it needs the fields bug and file, and a change")
	}
	return p, nil
}

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// planted is the text of the file with the bug in it. Each old text must stand there exactly once.
func (p plant) planted(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), p.file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, c := range p.changes {
		if n := strings.Count(text, c.old); n != 1 {
			t.Fatalf("the old text stands %d times in %s, and must stand there exactly once:\n%s", n, p.file, c.old)
		}
		text = strings.Replace(text, c.old, c.planted, 1)
	}
	if _, err := parser.ParseFile(token.NewFileSet(), p.file, text, parser.SkipObjectResolution); err != nil {
		t.Fatalf("with the bug in it: %v", err)
	}
	return text
}

// build compiles the tests of this package with the bug in the code, which is not touched for that.
func (p plant) build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, overlay, binary := filepath.Join(dir, "planted.go"), filepath.Join(dir, "overlay.json"), filepath.Join(
		dir, "sim.test",
	)
	if err := os.WriteFile(source, []byte(p.planted(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root(t), p.file): source}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot compile with the bug: %v\n%s", err, out)
	}
	return binary
}

var violationLine = regexp.MustCompile(`seed (\d+): invariant (.*)`)

// simulate runs schedules in a planted binary until one fails. The seed is "" when none does.
func simulate(t *testing.T, binary string, schedules int) (seed, violation string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "TestSchedules$", "-test.timeout", "10m")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SIM_") })
	cmd.Env = append(cmd.Env, fmt.Sprintf("SIM_SCHEDULES=%d", schedules), "SIM_BRIEF=1", "SIM_VIOLATIONS=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if m := violationLine.FindStringSubmatch(out.String()); m != nil {
		return m[1], m[2], nil
	}
	if err != nil {
		text := out.String()
		err = fmt.Errorf("%w\n%s", err, text[max(0, len(text)-4000):])
	}
	return "", "", err
}

// planting reports whether bugs are planted, and not only held against the source: it takes minutes.
func planting() bool { return os.Getenv("SIM_MUTANTS") != "" }

// TestPlantedBugsAreFound holds each bug of testdata/mutants against the source: its text must stand there. With
// SIM_MUTANTS set (make mutants, make test-sim) it also plants one after the other: a check that finds none of them
// would be worth nothing.
func TestPlantedBugsAreFound(t *testing.T) {
	var mu sync.Mutex
	var table []string
	t.Run("bug", func(t *testing.T) {
		for _, p := range plants(t, "mutants") {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				p.planted(t)
				if !planting() {
					return
				}
				seed, violation, err := simulate(t, p.build(t), mostSchedules)
				if err != nil {
					t.Fatalf("%s: %v", p.bug, err)
				}
				if seed == "" {
					t.Fatalf("%s: it survives %d schedules", p.bug, mostSchedules)
				}
				mu.Lock()
				defer mu.Unlock()
				table = append(table, fmt.Sprintf("| %s | %s | %s |", p.bug, violation, seed))
			})
		}
	})
	if planting() {
		slices.Sort(table)
		t.Logf(
			"%d bugs were found:\n| bug | invariant that found it | seed |\n|---|---|---|\n%s", len(table),
			strings.Join(table, "\n"),
		)
	}
}

// TestAnswersThatComeTwiceChangeNothing: with SIM_MUTANTS set, schedules hold as well when every answer is sent a
// second time.
func TestAnswersThatComeTwiceChangeNothing(t *testing.T) {
	for _, p := range plants(t, "burdens") {
		t.Run(p.name, func(t *testing.T) {
			p.planted(t)
			if !planting() {
				return
			}
			if seed, violation, err := simulate(t, p.build(t), burdenSchedules); err != nil || seed != "" {
				t.Errorf("%s: seed %s: invariant %s, %v", p.bug, seed, violation, err)
			}
		})
	}
}
