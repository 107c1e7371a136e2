package behaviour

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryClaimAboutSecurityIsHeldByATest(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range claims(string(doc), tests) {
		t.Error("docs/security.md: " + fault)
	}
}

func TestClaimsWithoutATestAreFound(t *testing.T) {
	tests := suite{}
	tests.add("a/b", "package b\nfunc TestOne(t *testing.T) {}\n")
	const table = "| claim | test |\n|---|---|\n"
	for doc, want := range map[string]string{
		table + "| x | `b.TestOne` |":                                "",
		table + "| x | TestOne |":                                    "",
		table + "| x | TestOne, TestTwo |":                           "there is no test TestTwo",
		table + "| x | c.TestOne |":                                  "no package c",
		table + "| x | b.TestTwo |":                                  "no test b.TestTwo",
		table + "| x | believe it |":                                 "no test holds the claim",
		"| What | Bound | Then | Test |\n|---|---|\n| x | y | z | |": "no test holds the claim",
		"- `b.TestTwo`: in a list":                                   "no test b.TestTwo",
		"| who | what |\n|---|---|\n| x | y |":                       "",
		table + "\n| x | y |":                                        "",
	} {
		got := strings.Join(claims(doc, tests), "; ")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", doc, got, want)
		}
	}
}
