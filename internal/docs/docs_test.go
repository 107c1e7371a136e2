package docs

import (
	_ "embed"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	root        = "../.."
	ratchetFile = "testdata/ratchet.txt"
)

var update = flag.Bool("update", false, "tighten testdata/ratchet.txt and write the types of docs/reference/api.md")

//go:embed testdata/ratchet.txt
var ratchetText string

//go:embed testdata/planned.txt
var plannedText string

var readOnce = sync.OnceValues(func() (*tree, error) {
	r, err := read(root)
	if err != nil {
		return nil, err
	}
	r.planned = map[string]bool{}
	for line := range strings.Lines(plannedText) {
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(name, "#") {
			r.planned[name] = true
		}
	}
	return r, nil
})

func repository(t *testing.T) *tree {
	t.Helper()
	r, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hold fails for each fault that the ratchet does not allow, or tightens the ratchet.
func hold(t *testing.T, check string, faults []fault) {
	t.Helper()
	c, err := parseCounts(ratchetText)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		tight, err := c.tightened(check, faults)
		if err != nil {
			t.Error(err)
		} else {
			ratchetText = tight.String()
			if err := os.WriteFile(ratchetFile, []byte(ratchetText), 0o600); err != nil {
				t.Fatal(err)
			}
			c = tight
		}
	}
	for _, f := range c.beyond(check, faults) {
		t.Error(f)
	}
	if left, allowed := len(faults), c.sum(check); left > 0 || allowed > 0 {
		t.Logf("%d faults of the check %s are left, %d are allowed", left, check, allowed)
	}
}

func TestCitationsResolve(t *testing.T) {
	for _, f := range repository(t).citations() {
		t.Error(f)
	}
}

func TestReplacedWordsAreNotUsed(t *testing.T) {
	r := repository(t)
	if len(r.words()) < 20 {
		t.Fatalf("%s replaces %d words only", glossaryDoc, len(r.words()))
	}
	hold(t, "words", r.prose())
}

func TestDocumentsAreAtMost120ColumnsWide(t *testing.T) { hold(t, "width", repository(t).width()) }

func TestPathsInDocumentsExist(t *testing.T) {
	r := repository(t)
	for name := range r.planned {
		if r.paths[name] {
			t.Errorf("testdata/planned.txt: %s exists: remove the line", name)
		}
	}
	for _, f := range r.repoPaths() {
		t.Error(f)
	}
}

func TestReferenceHasAllThatTheCodeHas(t *testing.T) {
	r := repository(t)
	faults, err := r.reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	c, err := r.parse("shared/control")
	if err != nil {
		t.Fatal(err)
	}
	doc := r.pages[apiDoc].raw
	before, rest, ok := strings.Cut(doc, typesBegin)
	_, after, ok2 := strings.Cut(rest, typesEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for types", apiDoc)
	}
	want := before + typesBegin + c.types() + typesEnd + after
	if *update {
		if err := os.WriteFile(filepath.Join(root, apiDoc), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if doc != want {
		t.Errorf("the types of %s are not those of shared/control: run go test ./internal/docs -update", apiDoc)
	}
}

// planted is a small repository in which everything resolves.
func planted(more map[string]string) *tree {
	t := &tree{pages: map[string]page{}, paths: map[string]bool{}}
	for name, text := range map[string]string{
		behaviourDoc: "# Rows\n\n## 1. State\n\n| B001 | one | x.TestA |\n| T002 | two | x.TestB |\n\n" +
			"## 19. Patterns\n",
		architectureDoc: "# A\n\n## Invariants\n\n1. one\n2. two\n\n## Findings\n\n| R7 | a | b |\n\n" +
			"## Other\n\n3. no\n",
		"docs/openclaw.md":            "# Facts\n\n## 4. Exit codes, `signals`\n\nAs in §4.\n",
		adrDir + "/README.md":         "# Decisions\n\n| [0002](0002-three-ids.md) | Three ids |\n",
		adrDir + "/0002-three-ids.md": "# 2. Three ids\n\nSee [A](../architecture.md#invariants) and `host/gone.go`.\n",
		glossaryDoc: "# Words\n\n## Words that we do not use\n\n| word | write |\n|---|---|\n" +
			"| `wish`, `wishes` | request |\n| `shut in` | sandboxed |\n| `nobody` | say who |\n\n## More\n",
		"README.md":                     "# R\n",
		"host/internal/lifecycle/up.go": "package lifecycle\n",
	} {
		t.add(name, text)
	}
	for name, text := range more {
		t.add(name, text)
	}
	return t
}

func TestPlantedCitationsAreFound(t *testing.T) {
	for _, row := range []struct{ name, file, text, want string }{
		{"a row", "a.go", "package a // B001, T002\n", ""},
		{"a row that is not there", "a.go", "package a\n\n// B001 and B099\n", "a.go:3: B099 is not in docs/behaviour.md"},
		{"a test that is not there", "a.proto", "// T003\n", "a.proto:1: T003 is not in docs/behaviour.md"},
		{"code is not read", "a.go", "package a\n\nvar B099 = 1\n", ""},
		{"a string is read", "a.go", "package a\n\nvar x = \"see B099\"\n", "a.go:3: B099 is not in docs/behaviour.md"},
		{"a finding", "a.go", "package a // R7\n", ""},
		{"a finding that is not there", "a.go", "package a // R8\n", "a.go:1: R8 is not in docs/architecture.md"},
		{
			"a finding of a review", "a.go", "package a // review R7\n",
			`a.go:1: "review R7" names a document outside of the repository`,
		},
		{"an invariant", "a.go", "package a // invariants 1 and 2\n", ""},
		{
			"an invariant that is not there", "a.go", "package a // invariants 1, 2 and 3\n",
			"a.go:1: invariant 3 is not in docs/architecture.md",
		},
		{
			"an invariant of elsewhere", "a.go", "package a // invariant 1 of the design\n",
			`a.go:1: "invariant 1 of the design" names a document outside of the repository`,
		},
		{"a decision", "a.go", "package a // ADR 2, docs/adr/0002, docs/adr/0002-three-ids.md\n", ""},
		{"a decision that is not there", "a.go", "package a // ADR 9\n", "a.go:1: there is no ADR 9"},
		{"a decision by its number in a path", "a.go", "package a // docs/adr/0009\n", "a.go:1: there is no ADR 0009"},
		{
			"a decision by another name", "a.go", "package a // docs/adr/0002-ids.md\n",
			"a.go:1: there is no document docs/adr/0002-ids.md",
		},
		{"a section", "a.go", "package a // docs/openclaw.md §4, docs/behaviour.md §1 and §19\n", ""},
		{"a section of the document named before", "a.go", "package a // docs/openclaw.md §4\n\n// §4\n", ""},
		{
			"a section that is not there", "a.go", "package a // docs/openclaw.md §4 to §5\n",
			"a.go:1: docs/openclaw.md has no section 5",
		},
		{"a section of nothing", "a.go", "package a // §4\n", "a.go:1: §4 names no document: write docs/NAME.md §4"},
		{"an own section that is not there", "docs/x.md", "# X\n\n§1\n", "docs/x.md:3: docs/x.md has no section 1"},
		{"an anchor", "a.go", "package a // docs/openclaw.md#4-exit-codes-signals\n", ""},
		{
			"an anchor that is not there", "a.go", "package a // docs/openclaw.md#exit\n",
			"a.go:1: docs/openclaw.md has no heading for #exit",
		},
		{
			"a document that is not there", "Makefile", "x: ## see docs/none.md\n",
			"Makefile:1: there is no document docs/none.md",
		},
		{
			"a document outside", "a.go", "package a\n\nvar x = `print JSON, as in interface.md`\n",
			"a.go:3: there is no document interface.md",
		},
		{
			"facts outside", "a.proto", "// (gateway-facts §4)\n",
			`a.proto:1: "gateway-facts" names a document outside of the repository`,
		},
		{
			"a design outside", "a.go", "package a // design §7\n",
			`a.go:1: "design §" names a document outside of the repository`,
		},
		{
			"a folder outside", "config.toml.example", "# see /work/shared/x\n",
			`config.toml.example:1: "/work/s" names a document outside of the repository`,
		},
		{"an address", "docs/x.md", "# X\n\nhttps://example.org/a.md\n", ""},
		{
			"a link", "docs/x.md",
			"# X\n\n[a](adr/0002-three-ids.md), [b](openclaw.md#4-exit-codes-signals), [c](#x), [d](../host)\n", "",
		},
		{
			"a link that leads nowhere", "docs/x.md", "# X\n\n[a](../hosts)\n",
			"docs/x.md:3: the link to ../hosts leads nowhere",
		},
		{"a link to no heading", "docs/x.md", "# X\n\n[a](#y)\n", "docs/x.md:3: docs/x.md has no heading for #y"},
		{
			"a decision that is not in the list", "docs/adr/0003-x.md", "# 3. X y\n",
			"docs/adr/README.md:1: this row is missing: | [0003](0003-x.md) | X y |",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, row.want, planted(map[string]string{row.file: row.text}).citations())
		})
	}
}

func expect(t *testing.T, want string, got []fault) {
	t.Helper()
	switch {
	case want == "" && len(got) > 0:
		t.Errorf("got %v, want nothing", got)
	case want != "" && !slices.ContainsFunc(got, func(f fault) bool { return f.String() == want }):
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestPlantedPathsAreFound(t *testing.T) {
	for _, row := range []struct{ name, file, text, want string }{
		{"a file", "docs/x.md", "`host/internal/lifecycle/up.go`", ""},
		{"a folder", "docs/x.md", "`host/internal/lifecycle/`", ""},
		{"a member of a package", "docs/x.md", "`host/internal/lifecycle.TestX`", ""},
		{"a file that is not there", "docs/x.md", "\n`host/host.go`", "docs/x.md:2: host/host.go does not exist"},
		{"a planned file", "docs/x.md", "`host/planned.go`", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := planted(map[string]string{row.file: row.text})
			r.planned = map[string]bool{"host/planned.go": true}
			expect(t, row.want, r.repoPaths())
		})
	}
}

func TestPlantedWordsAreFound(t *testing.T) {
	for _, row := range []struct{ name, file, text, want string }{
		{"a word", "docs/x.md", "One.\nA Wish of the operator.\n", `docs/x.md:2: "wish": write request`},
		{"a form of it", "a.go", "package a\n\n// wishes are kept\n", `a.go:3: "wishes": write request`},
		{"in a string", "a.go", "package a\n\nvar x = \"a wish\"\n", `a.go:3: "wish": write request`},
		{"a part of a word", "a.go", "package a\n\n// swish, TestLastWishIsKept\nfunc wish() {}\n", ""},
		{"a phrase", "README.md", "is shut in before it runs\n", `README.md:1: "shut in": write sandboxed`},
		{
			"a phrase over two lines of a comment", "a.go", "package a\n\n// it is shut\n// in before\n",
			`a.go:3: "shut in": write sandboxed`,
		},
		{"a phrase over two strings", "a.go", "package a\n\nvar x, y = \"shut\", \"in\"\n", ""},
		{"an exception", "config.toml.example", "# user = \"nobody\"\n", ""},
		{"no exception", "config.toml.example", "# nobody reads it\n", `config.toml.example:1: "nobody": write say who`},
		{"the glossary itself", "README.md", "", ""},
		{
			"the rest of the glossary", glossaryDoc, planted(nil).pages[glossaryDoc].raw + "a wish\n",
			`docs/glossary.md:12: "wish": write request`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, row.want, planted(map[string]string{row.file: row.text}).prose())
		})
	}
}

func TestPlantedWideLinesAreFound(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for _, row := range []struct{ name, text, want string }{
		{"a narrow line", strings.Repeat("ü", maxColumns), ""},
		{"a wide line", "x\n" + long, "docs/x.md:2: 150 columns, 120 are the most"},
		{"a row of a table", "| " + long, ""},
		{"a block of code", "```text\n" + long + "\n```\n", ""},
		{"after a block of code", "```text\n```\n" + long, "docs/x.md:3: 150 columns, 120 are the most"},
		{"an address", long + "https://example.org", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, row.want, planted(map[string]string{"docs/x.md": row.text}).width())
		})
	}
}

func TestReferenceSeesWhatIsMissing(t *testing.T) {
	api := "# Ref\n\n## Routes\n\n| method | path |\n|---|---|\n| GET | `/a` |\n| GET | `/gone` |\n\n" +
		"## Errors\n\n| code | x |\n|---|---|\n| `bad` | x |\n\n" +
		"## Events\n\n| type | x |\n|---|---|\n\n## Conditions\n\n| code | x |\n|---|---|\n| `silent` | x |\n\n" +
		"## Exit codes\n\n| exit | x |\n|---|---|\n| 0 | x |\n"
	got, err := planted(map[string]string{
		apiDoc: api,
		"host/internal/httpapi/routes.go": "package httpapi\n\nvar table = []route" +
			"{{http.MethodGet, \"/a\", 1}, {http.MethodPost, \"/b\", 1}}\n",
		"shared/control/a.go": "package control\n\nconst (\n\tCodeBad = \"bad\"\n\tEventSome = \"x.y\"\n)\n",
		"host/internal/observe/a.go": "package observe\n\nconst codeDrift = \"drift\"\n\n" +
			"var a, b = Condition{Code: codeDrift}, &control.Condition{Code: \"silent\"}\n",
		"cmd/host/exit.go": "package main\n\nconst (\n\texitDone = 0\n\texitUsage = 2\n)\n",
	}).reference()
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, f := range got {
		text = append(text, f.what)
	}
	want := []string{
		"Routes: POST /b is missing", "Routes: GET /gone is not in the code", "Events: x.y is missing",
		"Conditions: drift is missing", "Exit codes: 2 is missing",
	}
	if !slices.Equal(text, want) {
		t.Errorf("got  %q\nwant %q", text, want)
	}
}

func TestRatchetCanOnlyShrink(t *testing.T) {
	c, err := parseCounts("# head\n2 words a.go\n1 width b.md\n")
	if err != nil {
		t.Fatal(err)
	}
	two := []fault{{"a.go", 1, "x"}, {"a.go", 2, "y"}}
	if got := c.beyond("words", two); len(got) != 0 {
		t.Errorf("what is allowed is reported: %v", got)
	}
	three := append(two, fault{"a.go", 3, "z"})
	if got := c.beyond("words", three); len(got) != 3 {
		t.Errorf("%v: all places of the file are to be seen", got)
	}
	if got := c.beyond("width", two); len(got) != 2 {
		t.Errorf("%v: another check has another count", got)
	}
	if _, err := c.tightened("words", three); err == nil {
		t.Error("the ratchet has grown")
	}
	tight, err := c.tightened("words", []fault{{"moved.go", 1, "x"}})
	if err != nil || tight["words moved.go"] != 1 || tight["words a.go"] != 0 || tight["width b.md"] != 1 {
		t.Errorf("%v, %v", tight, err)
	}
	if back, err := parseCounts(tight.String()); err != nil || len(back) != 2 {
		t.Errorf("%v, %v", back, err)
	}
	if _, err := parseCounts("words a.go 2\n"); err == nil {
		t.Error("a line that cannot be understood is accepted")
	}
}
