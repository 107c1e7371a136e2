package main

import (
	"strings"
	"testing"
	"time"
)

const passed = `{"Action":"run","Package":"x/test/e2e","Test":"TestA"}
{"Action":"run","Package":"x/test/e2e","Test":"TestA/sub"}
{"Action":"fail","Package":"x/test/e2e","Test":"TestA/sub","Elapsed":1}
{"Action":"pass","Package":"x/test/e2e","Test":"TestA","Elapsed":12.4}
{"Action":"pass","Package":"x/test/e2e","Elapsed":13}
`

func TestTableSaysWhatEachReleaseDid(t *testing.T) {
	for _, row := range []struct {
		name, other, want string
		ok                bool
	}{
		{"passed", passed, "| e2e.TestA | pass, 12 s | pass, 12 s |", true},
		{
			"failed", strings.ReplaceAll(passed, `"pass","Package":"x/test/e2e","Test"`, `"fail","Package":"x/test/e2e","Test"`),
			"| e2e.TestA | pass, 12 s | FAIL, 12 s |", false,
		},
		{"skipped", strings.ReplaceAll(passed, `"pass"`, `"skip"`), "| e2e.TestA | pass, 12 s | skip, 12 s |", false},
		{
			"never ended", strings.Join(strings.SplitAfter(passed, "\n")[:3], ""),
			"| e2e.TestA | pass, 12 s | did not end, 0 s |", false,
		},
		{"not run", "", "| e2e.TestA | pass, 12 s | not run, 0 s |", false},
		{
			"not built", `{"Action":"fail","Package":"x/test/e2e","Elapsed":1}`,
			"| e2e (package) | not run, 0 s | FAIL, 1 s |", false,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			first, err := read("1.0", strings.NewReader(passed))
			if err != nil {
				t.Fatal(err)
			}
			second, err := read("2.0", strings.NewReader(row.other))
			if err != nil {
				t.Fatal(err)
			}
			text, ok := table([]result{first, second}, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
			if ok != row.ok || !strings.Contains(text, row.want) || !strings.Contains(text, "| test | 1.0 | 2.0 |") ||
				!strings.HasPrefix(text, "2026-11-23") {
				t.Errorf("ok = %v, want %v and %q in\n%s", ok, row.ok, row.want, text)
			}
		})
	}
	if _, ok := table(nil, time.Now()); ok {
		t.Error("nothing at all passes")
	}
	if _, err := read("1.0", strings.NewReader("not json")); err == nil {
		t.Error("what is no result is read")
	}
}

func TestTableOfTheLastRunIsReplaced(t *testing.T) {
	const document = "# Title\n" + begin + "\nold\n" + end + "\nrest\n"
	once, err := put(document, "| new |\n")
	if want := "# Title\n" + begin + "\n\n| new |\n\n" + end + "\nrest\n"; err != nil || once != want {
		t.Fatalf("%q, %v; want %q", once, err, want)
	}
	if twice, err := put(once, "| new |\n"); err != nil || twice != once {
		t.Errorf("%q, %v", twice, err)
	}
	for _, bad := range []string{"", begin + "\n", end, end + begin + "\n"} {
		if _, err := put(bad, "x"); err == nil {
			t.Errorf("a table is put into %q", bad)
		}
	}
}
