package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// result is what the tests did on one release.
type result struct {
	release string
	tests   map[string]outcome
}

type outcome struct {
	action  string // pass, fail, skip, or run: it never ended
	seconds float64
}

// read takes the top-level tests out of the output of `go test -json`. A package that failed without a failing test
// counts as one.
func read(release string, r io.Reader) (result, error) {
	out := result{release: release, tests: map[string]outcome{}}
	for dec := json.NewDecoder(r); ; {
		var e struct {
			Action, Package, Test string
			Elapsed               float64
		}
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return out, err
		}
		name := path.Base(e.Package) + "." + e.Test
		switch {
		case strings.Contains(e.Test, "/"):
		case e.Test == "" && e.Action == "fail" && !out.failed(path.Base(e.Package)):
			out.tests[path.Base(e.Package)+" (package)"] = outcome{"fail", e.Elapsed}
		case e.Test == "":
		case e.Action == "run" || e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			out.tests[name] = outcome{e.Action, e.Elapsed}
		}
	}
}

func (r result) failed(pkg string) bool {
	for name, o := range r.tests {
		if strings.HasPrefix(name, pkg+".") && o.action != "pass" {
			return true
		}
	}
	return false
}

// table is the markdown; ok says that each test passed on each release.
func table(results []result, now time.Time) (text string, ok bool) {
	var b strings.Builder
	var names []string
	fmt.Fprintf(&b, "%s, %s/%s:\n\n| test |", now.Format("2006-01-02"), runtime.GOOS, runtime.GOARCH)
	for _, r := range results {
		fmt.Fprintf(&b, " %s |", r.release)
		for name := range r.tests {
			names = append(names, name)
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(results)) + "\n")
	slices.Sort(names)
	names = slices.Compact(names)
	ok = len(names) > 0
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range results {
			o, ran := r.tests[name]
			word := o.action
			switch {
			case !ran:
				word = "not run"
			case o.action == "run":
				word = "did not end"
			case o.action == "fail":
				word = "FAIL"
			}
			ok = ok && o.action == "pass"
			fmt.Fprintf(&b, " %s, %.0f s |", word, o.seconds)
		}
		b.WriteString("\n")
	}
	return b.String(), ok
}

// Between these lines of a document is the table of the last run.
const (
	begin = "<!-- results: written by make test-releases -->"
	end   = "<!-- end of results -->"
)

// put replaces the table in a document.
func put(document, text string) (string, error) {
	before, rest, found := strings.Cut(document, begin+"\n")
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("it lacks the lines %q and %q", begin, end)
	}
	return before + begin + "\n\n" + strings.TrimSpace(text) + "\n\n" + end + after, nil
}
