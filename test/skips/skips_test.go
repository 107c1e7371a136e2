package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const someRan = `{"Time":"2026-01-01T10:00:00Z","Action":"start","Package":"github.com/gatehost/gatehost/a"}
{"Time":"2026-01-01T10:00:00Z","Action":"run","Package":"github.com/gatehost/gatehost/a","Test":"TestOne"}
{"Time":"2026-01-01T10:00:01Z","Action":"pass","Package":"github.com/gatehost/gatehost/a","Test":"TestOne"}
{"Time":"2026-01-01T10:00:01Z","Action":"run","Package":"github.com/gatehost/gatehost/a","Test":"TestTwo"}
{"Time":"2026-01-01T10:00:01Z","Action":"output","Package":"github.com/gatehost/gatehost/a",` +
	`"Test":"TestTwo","Output":"=== RUN   TestTwo\n"}
{"Time":"2026-01-01T10:00:01Z","Action":"output","Package":"github.com/gatehost/gatehost/a",` +
	`"Test":"TestTwo","Output":"    a_test.go:12: no launchd here\n"}
{"Time":"2026-01-01T10:00:01Z","Action":"output","Package":"github.com/gatehost/gatehost/a",` +
	`"Test":"TestTwo","Output":"--- SKIP: TestTwo (0.00s)\n"}
{"Time":"2026-01-01T10:00:02Z","Action":"skip","Package":"github.com/gatehost/gatehost/a","Test":"TestTwo"}
`

func TestSkipsNeedPermissionAndTheCountClosesTheOutput(t *testing.T) {
	const panicked = `{"Time":"2026-01-01T10:00:00Z","Action":"run","Package":"p","Test":"TestHung"}
{"Time":"2026-01-01T10:00:09Z","Action":"fail","Package":"p"}
`
	const noBuild = `{"Time":"2026-01-01T10:00:00Z","Action":"fail","Package":"p"}` + "\n"
	for _, row := range []struct {
		name, list, results string
		ok                  bool
		says, last          string
	}{
		{"a skip on the list is fine", "a.TestTwo no launchd\n", someRan, true, "", "DONE 2 tests, 1 skipped in 2.0s"},
		{
			"a skip that is not on the list", "# none\n", someRan, false, "a.TestTwo: no launchd here",
			"DONE 2 tests, 1 skipped, 1 skipped without permission in 2.0s",
		},
		{
			"a skip for another reason", "a.TestTwo runs on Windows\n", someRan, false, "without permission",
			"DONE 2 tests, 1 skipped, 1 skipped without permission in 2.0s",
		},
		{
			"a list without reasons", "a.TestTwo\n", someRan, false, "has no reason",
			"DONE 2 tests, 1 skipped, 1 error, 1 skipped without permission in 2.0s",
		},
		{"a test that never ended has failed", "", panicked, false, "", "DONE 1 tests, 1 failure, 1 error in 9.0s"},
		{
			"a package that does not compile", "", someRan + noBuild, false, "",
			"DONE 2 tests, 1 skipped, 1 error, 1 skipped without permission in 2.0s",
		},
		{"no test at all", "", "not json\n", false, "", "DONE 0 tests in 0.0s"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			list, results := filepath.Join(dir, "skips.txt"), filepath.Join(dir, "r.json")
			for path, text := range map[string]string{list: row.list, results: row.results} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			if ok := run(&out, list, []string{results}); ok != row.ok {
				t.Errorf("run = %v, want %v\n%s", ok, row.ok, out.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if got := lines[len(lines)-1]; got != row.last {
				t.Errorf("last line = %q, want %q", got, row.last)
			}
			if !strings.Contains(out.String(), row.says) {
				t.Errorf("output lacks %q:\n%s", row.says, out.String())
			}
		})
	}
}

func TestSuiteWithoutResultsIsAnError(t *testing.T) {
	var out strings.Builder
	if run(&out, "../skips.txt", []string{filepath.Join(t.TempDir(), "missing.json")}) {
		t.Errorf("run is content:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "did it run?") || !strings.Contains(out.String(), "DONE 0 tests, 1 error") {
		t.Errorf("output = %q", out.String())
	}
}
