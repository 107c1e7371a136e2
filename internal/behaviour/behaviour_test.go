package behaviour

import (
	_ "embed"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

//go:embed rows.txt
var rows string

func TestEveryRowOfTheTableIsShownByATest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "behaviour.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs", "adr", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var adrs []string
	for _, f := range files {
		adrs = append(adrs, filepath.Base(f)[:4])
	}
	for _, fault := range check(string(doc), parseRows(rows), tests, adrs) {
		t.Error("docs/behaviour.md: " + fault)
	}
}

func TestFalseClaimsAreFound(t *testing.T) {
	tests := suite{}
	tests.add("host/internal/session",
		"func TestA(t *testing.T) { t.Run(\"a name\", nil) }\nfunc TestB(t *testing.T) {}\n")
	tests.add("plugins/doctor", "func TestC(t *testing.T) {}\n")
	tests.add("shared/doctor", "func TestD(t *testing.T) {}\n")
	table := []row{{"B001", "keep"}, {"B002", "out"}}
	const second = "\n| B002 | nothing | out: launch.hooks |"
	for _, r := range []struct{ name, doc, want string }{
		{"all well", "| B001 | we do | session.TestA, session.TestB |" + second, ""},
		{"a subtest", "| B001 | we do | session.TestA/a name |" + second, ""},
		{"a decision", "| B001 | we don't | docs/adr/0001-x.md |" + second, ""},
		{"a package by more of its path", "| B001 | we do | plugins/doctor.TestC |" + second, ""},
		{"either of two packages", "| B001 | we do | doctor.TestD |" + second, ""},
		{"a test that is not there", "| B001 | we do | session.TestNone |" +
			second, "B001: there is no test session.TestNone"},
		{"one of two", "| B001 | we do | session.TestA, session.TestNone |" +
			second, "B001: there is no test session.TestNone"},
		{"a test of another package", "| B001 | we do | session.TestC |" +
			second, "B001: there is no test session.TestC"},
		{"a package that is not there", "| B001 | we do | sess.TestA |" +
			second, "B001: there is no package sess with tests"},
		{"a subtest that is not there", "| B001 | we do | session.TestA/other |" +
			second, `B001: session.TestA has no subtest "other"`},
		{"a decision that is not there", "| B001 | we don't | docs/adr/0009 |" + second, "B001: there is no ADR 0009"},
		{"no test", "| B001 | we do | by hand |" + second, "B001: no test is cited: by hand"},
		{"said to be missing", "| B001 | we do | MISSING: no time |" +
			second, "B001: no test is cited: MISSING: no time"},
		{"nothing said", "| B001 |  | session.TestA |" + second, "B001 does not say what we do"},
		{"left out without a verdict", "| B001 | not ours | out: launch.hooks |" +
			second, "B001: only a row whose verdict is out may go without a test"},
		{
			"no hook", "| B001 | we do | session.TestA |\n| B002 | nothing | out: |",
			"B002: an out row names the hook that replaces it",
		},
		{"a row without an answer", "| B001 | we do | session.TestA |", "B002 has no answer"},
		{"two answers", "| B001 | we do | session.TestA |\n| B001 | we do | session.TestB |" +
			second, "B001 is answered twice"},
		{"a row that the table does not have", "| B003 | we do | session.TestA |\n| B001 | we do | session.TestA |" +
			second, "B003 is no row of the table"},
		{"a broken line", "| B001 | we do |" +
			second, "line 1 is no answer: want | row | what we do | package.TestName |"},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := check(r.doc, table, tests, []string{"0001"})
			if r.want == "" && len(got) > 0 || r.want != "" && !slices.Contains(got, r.want) {
				t.Errorf("got %q, want %q", got, r.want)
			}
		})
	}
}

func TestTheTreeIsRead(t *testing.T) {
	tests, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	if fault := tests.has("behaviour", "TestTheTreeIsRead", ""); fault != "" {
		t.Error(fault)
	}
	var real int
	for dir, f := range tests {
		for name := range f.tests {
			if dir == "test/e2e" && strings.Contains(name, "OpenClaw") {
				real++
			}
		}
	}
	if real == 0 {
		t.Error("tests behind a build tag were not found")
	}
}
