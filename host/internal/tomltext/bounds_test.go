package tomltext_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/gatehost/gatehost/host/internal/tomltext"
)

// dotted returns n names with dots between them.
func dotted(n int) string { return strings.TrimSuffix(strings.Repeat("a.", n), ".") }

// TestTextBeyondTheBoundsIsRefusedBeforeItIsParsed: the toml package takes gigabytes for some of these.
func TestTextBeyondTheBoundsIsRefusedBeforeItIsParsed(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a dotted key of 50,000 parts":   {dotted(50_000) + " = 1", "more than 32 parts"},
		"a table of 50,000 parts":        {"[" + dotted(50_000) + "]", "more than 32 parts"},
		"an array of tables":             {"[[" + dotted(50_000) + "]]", "more than 32 parts"},
		"quoted parts":                   {strings.Repeat(`"a".`, 50_000) + "a = 1", "more than 32 parts"},
		"parts with space around dots":   {strings.Repeat("a . ", 50_000) + "a = 1", "more than 32 parts"},
		"in an inline table":             {"x = {" + dotted(50_000) + " = 1}", "more than 32 parts"},
		"in an inline table of an array": {"x = [{}, {" + dotted(50_000) + " = 1}]", "more than 32 parts"},
		"after a string":                 {"x = '''\n'\n'''\n" + dotted(50_000) + " = 1", "more than 32 parts"},
		"after a byte order mark":        {"\ufeff[x]\n" + dotted(50_000) + " = 1", "more than 32 parts"},
		"arrays in arrays":               {"x = " + strings.Repeat("[", 100_000), "more than 64 deep"},
		"tables in tables":               {"x = " + strings.Repeat("{a = ", 100_000), "more than 64 deep"},
		"tables in a table of many parts": {
			"[" + dotted(32) + "]\n" + dotted(31) + " = {b = {c = 1}}", "nested more than 64 deep",
		},
		"many keys":        {numbered(20_001, "k%d = 1\n"), "more than 20000 keys"},
		"many elements":    {"x = [" + strings.Repeat("1,", 20_001) + "]", "more than 20000 keys"},
		"many long keys":   {"[" + strings.Repeat("x", 40_000) + "]\n" + numbered(1000, "k%d = 1\n"), "longer than 16 MiB"},
		"more than a file": {strings.Repeat("#\n", tomltext.MaxBytes), "larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			took := allocated(func() { _, err = tomltext.Decode("x.toml", []byte(c.text)) })
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.toml") {
				t.Errorf("error = %.200v, want %q", err, c.want)
			}
			if took > 64<<20 {
				t.Errorf("it took %d MiB", took>>20)
			}
		})
	}
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestTextAtTheBoundsIsParsedWithLittleMemory holds the bounds themselves: each text is just accepted.
func TestTextAtTheBoundsIsParsedWithLittleMemory(t *testing.T) {
	for name, text := range map[string]string{
		"parts":               numbered(600, "k%d."+dotted(31)+" = 1\n"),
		"tables":              numbered(600, "[k%d."+dotted(31)+"]\n"),
		"depth":               "[" + dotted(32) + "]\n" + dotted(31) + " = {b = 1}",
		"arrays":              "x = " + strings.Repeat("[", 63) + strings.Repeat("]", 63),
		"keys":                numbered(20_000, "k%d = 1\n"),
		"elements":            "x = [" + strings.Repeat("1,", 19_999) + "]",
		"tables of one array": numbered(9_000, "[[x]] # %d\n"),
		"long keys":           "[" + strings.Repeat("x", 16_000) + "]\n" + numbered(1000, "k%d = 1\n"),
		"one string":          `x = "` + strings.Repeat("y", tomltext.MaxBytes-7) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			took := allocated(func() {
				_, err = tomltext.Decode("x.toml", []byte(text))
				tomltext.FindPositions(text)
			})
			if err != nil {
				t.Errorf("error = %.200v", err)
			}
			if took > 400<<20 {
				t.Errorf("it took %d MiB", took>>20)
			}
			t.Logf("%d KiB", took>>10)
		})
	}
}

// FuzzBounds: what the toml package accepts is what the scan has counted. Otherwise a text could pass the scan and
// still hold a key that the scan did not see.
func FuzzBounds(f *testing.F) {
	for _, seed := range []string{
		"a = 1", "[a.b]\nc.d = {e = [1, {f = 2}], \"g.h\" = '''\n'x'''}", "[[a]]\n[a.b]\n[[a]]", "\ufeff[a]\r\nb=1",
		"a = \"\"\"\"x\"\"\"\"\"\nb.c.d = 1", "# x\n[ a . 'b' ] # y\n", "a = 1979-05-27T07:32:00Z\nb = [[], [[]]]",
		"\xff\xfe", "\xfe\xff",
		dotted(40) + " = 1", "a = " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "a = 1 ]\n[b]", "\"\"\"a\"\"\" = 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2<<10 { // the toml package alone is asked, too
			return
		}
		got, err := tomltext.Decode("x", []byte(text))
		if !utf8.ValidString(text) { // of which the toml package accepts a mark of UTF-16
			if err == nil {
				t.Fatal("accepted, and is no UTF-8")
			}
			return
		}
		raw := map[string]any{}
		meta, want := toml.Decode(text, &raw)
		if want != nil {
			if err == nil {
				t.Fatalf("accepted, and is no TOML: %v", want)
			}
			return
		}
		parts, keys := 0, len(meta.Keys())
		for _, key := range meta.Keys() {
			parts = max(parts, len(key))
		}
		deep := depth(raw)
		switch {
		case err != nil && parts <= tomltext.MaxParts && deep <= tomltext.MaxParts && keys < tomltext.MaxKeys:
			t.Fatalf("refused, and is small: %v", err)
		case err == nil && (deep > tomltext.MaxDepth || parts > tomltext.MaxDepth):
			t.Fatalf("accepted with depth %d and %d parts", deep, parts)
		case err == nil && len(got) != len(raw):
			t.Fatalf("parsed %d of %d keys", len(got), len(raw))
		}
	})
}

// depth counts the tables and arrays around the innermost value.
func depth(raw any) int {
	most := 0
	switch v := raw.(type) {
	case map[string]any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	case []any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	case []map[string]any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	default:
		return 0
	}
	return most + 1
}
