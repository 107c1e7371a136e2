package profile

import (
	"maps"
	"strings"
	"testing"
)

// TestEnvFileIsReadAsSystemdReadsIt: each row is a file and what `systemd-run -p EnvironmentFile=` gives for it; a byte
// order mark and "export" are additions that docker and docker compose have.
func TestEnvFileIsReadAsSystemdReadsIt(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       map[string]string
		remarks    int
	}{
		{"plain values", "A=1\nB = two words \n\n# c\n; c\nC=\n", map[string]string{"A": "1", "B": "two words", "C": ""}, 0},
		{"a byte order mark", "\ufeffA=1\n", map[string]string{"A": "1"}, 0},
		{"lines of Windows", "A=1\r\nB='2'\r\n", map[string]string{"A": "1", "B": "2"}, 0},
		{"export", "export A=1\nexport\tB=2\n  export  C='3'", map[string]string{"A": "1", "B": "2", "C": "3"}, 0},
		{"a name that begins with export", "exported=1\n", map[string]string{"exported": "1"}, 0},
		{"single quotes", `A='x\ny "$H" # z'`, map[string]string{"A": `x\ny "$H" # z`}, 0},
		{
			"double quotes", `A="x\ny \"q\" \\ \$H \` + "`" + ` 'z'"`,
			map[string]string{"A": `x\ny "q" \ $H ` + "`" + ` 'z'`},
			0,
		},
		{"a value of several lines", "A='-----BEGIN\nKEY'\nB=2", map[string]string{"A": "-----BEGIN\nKEY", "B": "2"}, 0},
		{"a line that continues", "A=\"x\\\ny\"\nB=x\\\ny\n", map[string]string{"A": "xy", "B": "xy"}, 0},
		{"quotes that follow one another", `A="x"'y'z`, map[string]string{"A": "xyz"}, 0},
		{"a quote inside", `A=it's "so"`, map[string]string{"A": `it's "so"`}, 0},
		{"an equals sign inside", "A=b=c==\n", map[string]string{"A": "b=c=="}, 0},
		{"a backslash outside of quotes", `A=a\b\ `, map[string]string{"A": "ab "}, 1},
		{"a # behind a value", "A=b # c\nB=b#c\nC='b' # c\n", map[string]string{"A": "b # c", "B": "b#c", "C": "b# c"}, 2},
		{"a name twice", "A=1\nA=2\n", map[string]string{"A": "2"}, 0},
	} {
		got, err := parseEnvFile(row.text)
		if err != nil || !maps.Equal(got.values, row.want) || len(got.remarks) != row.remarks {
			t.Errorf("%s: %q, remarks %q, %v, want %q", row.name, got.values, got.remarks, err, row.want)
		}
	}
}

func TestFaultsOfAnEnvFileNameTheLineAndNoValue(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\ncanary\n": "line 2 is not NAME=value", "=canary": "line 1 is not", "a b=canary": "line 1 is not",
		"A='1\n2'\nexport canary": "line 3 is not",
		"A=1\nB=\"canary\nC=2\n":  "line 2: the value of B has a quote without an end",
		"A=can\x00ary":            "line 1: the value of A contains a NUL", "1A=canary": "line 1 is not",
	} {
		if _, err := parseEnvFile(text); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\nexport B=\"x\\\ny\" 'z'\\\n# c\nC=\\")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseEnvFile(text)
		if err == nil && len(got.values) != len(got.lines) {
			t.Errorf("%d values in %d lines", len(got.values), len(got.lines))
		}
	})
}
