package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == aloneArg {
		os.Exit(runAlone(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// containable reports whether this machine lets us make namespaces; a container may not. The package of these tests is
// harmless without them.
func containable(t *testing.T) bool {
	t.Helper()
	return alone(t.Context(), []string{t.TempDir()}, "true").Run() == nil
}

// TestSurvivorsAreListed runs the tool on a package of which two conditions are noticed, one of them in a process whose
// environment is empty, two are not, and one has a reason.
func TestSurvivorsAreListed(t *testing.T) {
	var out bytes.Buffer
	n, err := run(t.Context(), &out, options{
		pkg: "./testdata/small", only: regexp.MustCompile(""), jobs: 2, uncontained: !containable(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	const small = "internal/mutate/testdata/small"
	for _, want := range []string{
		"survives " + small + "/small.go:9: n > 1000\n  no test evaluates it\n",
		"survives " + small + "/small.go:19: a\n  1 tests evaluate it\n",
		"accepted " + small + "/small.go:12: n == 0\n  because the sign of no number is asked for\n",
		small + ": 5 mutants, 2 killed, 1 accepted, 2 survive\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
	if n != 2 {
		t.Errorf("%d survivors, want 2", n)
	}
}

// TestOnlyWhatIsChosenIsNegated: the expression chooses by file and line, and without a survivor the count is 0.
func TestOnlyWhatIsChosenIsNegated(t *testing.T) {
	var out bytes.Buffer
	o := options{
		pkg: "./testdata/small", tests: "./testdata/small", only: regexp.MustCompile(`small.go:6$`), jobs: 1,
		uncontained: !containable(t),
	}
	n, err := run(t.Context(), &out, o)
	if err != nil || n != 0 || !strings.Contains(out.String(), "1 mutants, 1 killed, 0 accepted, 0 survive") {
		t.Errorf("%d survivors, %v:\n%s", n, err, out.String())
	}
}

func TestAFailingTestIsNoVerdict(t *testing.T) {
	t.Setenv("SMALL_FAILS", "1")
	_, err := run(t.Context(), &bytes.Buffer{}, options{
		pkg: "./testdata/small", only: regexp.MustCompile(""), jobs: 1, uncontained: !containable(t),
	})
	if err == nil || !strings.Contains(err.Error(), "TestNegativeNumbers of") {
		t.Errorf("a package whose tests fail: %v", err)
	}
}

func TestConditionsOfAFile(t *testing.T) {
	const src = `package p
const c = true && false
func f(a, b, c bool, n int) bool {
	if a && (b || c) {
		for n < 3 { n++ }
	}
	switch {
	case n == 4, n == 5:
	}
	switch n { case 6: }
	return a || b
}
`
	want := []string{"a && (b || c)", "a", "(b || c)", "b", "c", "n < 3", "n == 4", "n == 5", "a", "b"}
	found, err := conditionsOf("p.go", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, m := range found {
		got = append(got, m.text)
		found[i].id = i + 1
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
	line := strings.Split(string(instrument([]byte(src), found)), "\n")[3]
	if line != "\tif gatehostMutate(1, gatehostMutate(2, a) && gatehostMutate(3, (gatehostMutate(4, b) || "+
		"gatehostMutate(5, c)))) {" {
		t.Error(line)
	}
}

func TestMarkersNeedAReasonAndACondition(t *testing.T) {
	for src, want := range map[string]string{
		"package p\nfunc f(a bool) {\n\tif a { //mutate:ignore\n\t}\n}\n":      "p.go:3: //mutate:ignore needs a reason",
		"package p\n\n//mutate:ignore it is small\nfunc f() {}\n":              "p.go:4: //mutate:ignore has no condition",
		"package p\nfunc f(a bool) {\n\t//mutate:ignore r\n\n\tif a {\n\t}\n}": "p.go:4: //mutate:ignore has no condition",
	} {
		if _, err := conditionsOf("p.go", []byte(src)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v for %q, want %q", err, src, want)
		}
	}
	src := "package p\nfunc f(a bool) {\n\t//mutate:ignore it is small\n\tif a {\n\t}\n}\n"
	if found, err := conditionsOf("p.go", []byte(src)); err != nil || found[0].ignore != "it is small" {
		t.Errorf("a marker above its line: %+v, %v", found, err)
	}
}

// TestFilesOfARunAreRemoved: what a test leaves in its temporary directory is gone after the run.
func TestFilesOfARunAreRemoved(t *testing.T) {
	b := bench{tmp: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(b.tmp, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if left, err := os.ReadDir(b.tmp); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}
