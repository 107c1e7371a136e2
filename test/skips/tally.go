package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

const module = "github.com/gatehost/gatehost/"

// event is a line of `go test -json`. Test is empty when it speaks of the package.
type event struct {
	Time                          time.Time
	Action, Package, Test, Output string
}

type skipped struct{ name, reason string }

// tally counts tests as gotestsum does: subtests are tests, a test that never ended has failed.
type tally struct {
	tests, failed, errors int
	skipped               []skipped
	elapsed               time.Duration
}

func (t *tally) add(o tally) {
	t.tests += o.tests
	t.failed += o.failed
	t.errors += o.errors
	t.skipped = append(t.skipped, o.skipped...)
	t.elapsed += o.elapsed
}

// line is in gotestsum's words, since a reader of the end of a run expects those.
func (t *tally) line(unlisted int) string {
	parts := []string{fmt.Sprintf("DONE %d tests", t.tests)}
	for _, part := range []struct {
		n         int
		one, many string
	}{
		{len(t.skipped), "skipped", "skipped"},
		{t.failed, "failure", "failures"},
		{t.errors, "error", "errors"},
		{unlisted, "skipped without permission", "skipped without permission"},
	} {
		switch {
		case part.n == 1:
			parts = append(parts, "1 "+part.one)
		case part.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.many))
		}
	}
	return fmt.Sprintf("%s in %.1fs", strings.Join(parts, ", "), t.elapsed.Seconds())
}

// unlisted is what was skipped and is not on the list with this reason.
func (t *tally) unlisted(allowed map[string]string) []skipped {
	return slices.DeleteFunc(slices.Clone(t.skipped), func(s skipped) bool {
		reason, ok := allowed[s.name]
		return ok && strings.Contains(s.reason, reason)
	})
}

func readResults(path string) (tally, error) {
	f, err := os.Open(path)
	if err != nil {
		return tally{}, fmt.Errorf("cannot read the results of a suite, did it run? %w", err)
	}
	defer f.Close()
	t, err := count(f)
	if err != nil {
		err = fmt.Errorf("cannot read %s: %w", path, err)
	}
	return t, err
}

// count reads the events of one suite.
func count(r io.Reader) (tally, error) {
	var (
		t           tally
		first, last time.Time
		running     = map[string]bool{}             // tests that have begun and not ended
		text        = map[string]*strings.Builder{} // what such a test printed
		badPackage  = map[string]bool{}
		badTest     = map[string]bool{} // by package
	)
	in := bufio.NewReader(r)
	for {
		raw, err := in.ReadBytes('\n')
		var e event
		if json.Unmarshal(raw, &e) == nil && e.Action != "" {
			first = cmp.Or(first, e.Time)
			if e.Time.After(last) {
				last = e.Time
			}
			name := strings.TrimPrefix(e.Package, module) + "." + e.Test
			switch {
			case e.Test == "":
				badPackage[e.Package] = badPackage[e.Package] || e.Action == "fail" || e.Action == "build-fail"
			case e.Action == "run":
				running[name] = true
				text[name] = &strings.Builder{}
			case e.Action == "output":
				if b := text[name]; b != nil {
					b.WriteString(e.Output)
				}
			case e.Action == "pass", e.Action == "fail", e.Action == "skip":
				t.tests++
				if e.Action == "fail" {
					t.failed++
					badTest[e.Package] = true
				}
				if e.Action == "skip" {
					t.skipped = append(t.skipped, skipped{name, reason(text[name])})
				}
				delete(running, name)
				delete(text, name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t, err
		}
	}
	t.tests += len(running) // a panic or a timeout ended them
	t.failed += len(running)
	for pkg, bad := range badPackage {
		if bad && !badTest[pkg] { // it did not compile, or its TestMain failed
			t.errors++
		}
	}
	t.elapsed = last.Sub(first)
	return t, nil
}

var frame = regexp.MustCompile(`(?m)^\s*(=== |--- |\S+_test\.go:\d+: ?)`)

// reason is what a test said when it was skipped, on one line.
func reason(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	var lines []string
	for line := range strings.Lines(b.String()) {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "=== ") &&
			!strings.HasPrefix(trimmed, "--- ") {
			lines = append(lines, frame.ReplaceAllString(trimmed, ""))
		}
	}
	return strings.Join(lines, " ")
}

// readList reads lines of `package.TestName reason`; a # begins a comment.
func readList(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the list of tests that may be skipped: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, " ")
		if why = strings.TrimSpace(why); !ok || why == "" {
			return nil, fmt.Errorf("%s: %q has no reason: write `package.TestName reason`", path, line)
		}
		out[name] = why
	}
	return out, nil
}
