package json5_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/internal/json5"
)

func parse(tb testing.TB, text string) *json5.Document {
	tb.Helper()
	d, err := json5.Parse(text)
	if err != nil {
		tb.Fatalf("cannot parse %q: %v", text, err)
	}
	return d
}

func asJSON(tb testing.TB, v any) string {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func TestReadsWhatOnlyJSON5Has(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"comments":        {"// a\n{/* b */ \"a\": 1 // c\n}", `{"a":1}`},
		"trailing commas": {`{"a":[1,2,],}`, `{"a":[1,2]}`},
		"bare keys":       {`{a: 1, $b_2: 2, ünï: 3, \u0061b: 4}`, `{"$b_2":2,"a":1,"ab":4,"ünï":3}`},
		"single quotes":   {`{'a': 'it\'s "so"'}`, `{"a":"it's \"so\""}`},
		"escapes":         {`"\x41\u0042\n\0\v\q\ud83d\ude00"`, `"AB\n\u0000\u000bq😀"`},
		"lines joined":    {"'a\\\nb\\\r\nc'", `"abc"`},
		"numbers": {
			`[+1, .5, 5., -0x1F, 1e3, -.5e-2, 9007199254740993]`,
			`[1,0.5,5,-31,1e3,-0.5e-2,9007199254740993]`,
		},
		"last key counts": {`{a: 1, a: 2}`, `{"a":2}`},
		"spaces":          {"\ufeff\u00a0{\u2028a\v:\f1}", `{"a":1}`},
		"words":           {`[true, false, null]`, `[true,false,null]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := asJSON(t, parse(t, c.text).Value()); got != c.want {
				t.Errorf("got %s, want %s of %q", got, c.want, c.text)
			}
		})
	}
	got, _ := parse(t, "[Infinity, -Infinity, NaN]").Value().([]any)
	if len(got) != 3 || got[0] != math.Inf(1) || got[1] != math.Inf(-1) || !math.IsNaN(got[2].(float64)) {
		t.Errorf("got %v of the numbers that are not finite", got)
	}
}

func TestRefusesWhatIsNotJSON5(t *testing.T) {
	for _, text := range []string{
		"", "{", "}", "{a}", "{a:}", "{a:1 b:2}", "[1 2]", "{,}", "[,]", "{a:1,,}", "'a", "'a\nb'", "/* a", "{a:01}",
		"1 2", "{a:1}}", "nul", "0x", "+", "-",
		".", "1e", "1_0", `"\u12"`, `'\1'`, "{1a: 2}", "{\xff:1}", strings.Repeat("[", 300) + strings.Repeat("]", 300),
	} {
		if d, err := json5.Parse(text); err == nil {
			t.Errorf("%.40q was read as %v", text, d.Value())
		}
	}
}

func TestErrorNamesThePlaceAndNoContent(t *testing.T) {
	_, err := json5.Parse("{\n  token: 'hush',\n  port: hush-hush,\n}")
	if err == nil || err.Error() != "line 3, column 9: unexpected 'h'" {
		t.Errorf("got %v", err)
	}
}

func TestSetChangesNothingElse(t *testing.T) {
	const commented = `// mine
{
  gateway: { mode: 'local' }, // how
  list: [
    1, // one
    2
  ],
  /* last */
  "port": 1 // p
}
`
	for name, c := range map[string]struct{ text, path, value, want string }{
		"a value in place": {
			commented, "gateway.mode", `"remote"`,
			strings.Replace(commented, "'local'", `"remote"`, 1),
		},
		"a key on its own line": {
			commented, "new", `{"a":1}`,
			strings.Replace(commented, "\"port\": 1 // p\n", "\"port\": 1, // p\n  \"new\": {\n    \"a\": 1\n  }\n", 1),
		},
		"a key within a line": {
			commented, "gateway.port", "2",
			strings.Replace(commented, "'local' }", "'local', \"port\": 2 }", 1),
		},
		"objects on the way":     {`{}`, "a.b.c", "1", "{\n  \"a\": {\n    \"b\": {\n      \"c\": 1\n    }\n  }\n}"},
		"an empty object":        {"{\n}\n", "a", "1", "{\n  \"a\": 1\n}\n"},
		"a comment inside":       {"{\n  // nothing yet\n}\n", "a", "1", "{\n  \"a\": 1\n  // nothing yet\n}\n"},
		"after a trailing comma": {"{\n\ta: 1,\n}\n", "b", "2", "{\n\ta: 1,\n\t\"b\": 2,\n}\n"},
		"one past the end": {
			commented, "list[2]", "3",
			strings.Replace(commented, "    2\n", "    2,\n    3\n", 1),
		},
		"an element":           {commented, "list[0]", "7", strings.Replace(commented, "1, // one", "7, // one", 1)},
		"the last of two keys": {"{a: 1, a: 2}", "a", "3", "{a: 1, a: 3}"},
		"the whole document":   {"// c\n{a: 1}\n", "", "{}", "// c\n{}\n"},
		"line ends of Windows": {
			"{\r\n  a: 1\r\n}\r\n", "b", "{\"c\":2}",
			"{\r\n  a: 1,\r\n  \"b\": {\r\n    \"c\": 2\r\n  }\r\n}\r\n",
		},
		"comment before brace": {"{a: 1 /* one */}", "b", "2", "{a: 1, /* one */ \"b\": 2}"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := json5.ParsePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parse(t, c.text).Set(path, parse(t, c.value).Value())
			if err != nil || got != c.want {
				t.Errorf("got %v\n%s\nwant\n%s", err, got, c.want)
			}
		})
	}
}

func TestSetRefusesWhatIsNoContainer(t *testing.T) {
	for _, path := range []string{"a.b", "l.x", "l[3]"} {
		p, _ := json5.ParsePath(path)
		if got, err := parse(t, `{a: 1, l: [1]}`).Set(p, 1); err == nil {
			t.Errorf("%s was set: %s", path, got)
		}
	}
}

func TestDeleteChangesNothingElse(t *testing.T) {
	for name, c := range map[string]struct{ text, path, want string }{
		"a line":                   {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "a", "{\n  \"b\": 2\n}\n"},
		"the last one, strict":     {"{\n  \"a\": 1,\n  \"b\": 2\n}\n", "b", "{\n  \"a\": 1\n}\n"},
		"the last one with comma":  {"{\n  a: 1,\n  b: 2,\n}\n", "b", "{\n  a: 1,\n}\n"},
		"the only one":             {"{\n  a: 1\n}\n", "a", "{\n}\n"},
		"its comment stays":        {"{\n  a: 1, // why\n  b: 2\n}\n", "a", "{\n  // why\n  b: 2\n}\n"},
		"within a line":            {"{a: 1, b: 2}", "a", "{ b: 2}"},
		"a key that stands twice":  {"{a: 1, a: 2, b: 3}", "a", "{ b: 3}"},
		"an element":               {"[1, 2, 3]", "[1]", "[1, 3]"},
		"what is not there":        {"{a: 1}", "b.c", "{a: 1}"},
		"a comment before a comma": {"{a: 1 /* c */, b: 2}", "a", "{/* c */ b: 2}"},
		"a line before a comma":    {"{a: 1 // c\n, b: 2}", "a", "{// c\nb: 2}"},
	} {
		t.Run(name, func(t *testing.T) {
			path, err := json5.ParsePath(c.path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parse(t, c.text).Delete(path); err != nil || got != c.want {
				t.Errorf("got %v\n%q\nwant\n%q", err, got, c.want)
			}
		})
	}
}

func TestPathsRoundTrip(t *testing.T) {
	for _, s := range []string{"", "a", "a.b", "a[0].b", `["a.b"].c`, `a["x\"y"][2]`, "gateway.auth.token", "a-b.c:d"} {
		p, err := json5.ParsePath(s)
		if err != nil || p.String() != s {
			t.Errorf("%q became %q, %v", s, p.String(), err)
		}
	}
	for _, s := range []string{
		".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a[-1]", "a[01]", `a["x"`, `a["x]`,
		"a[0]b",
	} {
		if p, err := json5.ParsePath(s); err == nil {
			t.Errorf("%q was read as %q", s, []string(p))
		}
	}
}

// anyText draws a document with comments everywhere.
func anyText(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		gap := rapid.SampledFrom([]string{"", " ", "\n", "\n  ", " // c\n", "/* d */", "\n  // e\n  ", "\t"})
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		if depth == 0 {
			kind = rapid.IntRange(0, 3).Draw(t, "leaf")
		}
		switch kind {
		case 0:
			return rapid.SampledFrom([]string{"1", "-2.5", "0x1f", ".5", "1e3"}).Draw(t, "number")
		case 1:
			return rapid.SampledFrom([]string{"'a'", `"b\n"`, "''", `'// no comment'`, `"/*"`}).Draw(t, "text")
		case 2:
			return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		case 3:
			return rapid.SampledFrom([]string{"{}", "[]", "{ /* f */ }", "[\n]", "{ // g\n}"}).Draw(t, "empty")
		}
		var b strings.Builder
		b.WriteString(map[int]string{4: "{", 5: "["}[kind])
		n := rapid.IntRange(1, 4).Draw(t, "n")
		for i := range n {
			b.WriteString(gap.Draw(t, "gap"))
			if kind == 4 {
				b.WriteString(rapid.SampledFrom([]string{"a", "'b'", `"c"`, "d", `"x.y"`}).Draw(t, "key") +
					gap.Draw(t, "gap") + ":" + gap.Draw(t, "gap"))
			}
			b.WriteString(anyText(depth-1).Draw(t, "value"))
			b.WriteString(gap.Draw(t, "gap"))
			if i < n-1 || rapid.Bool().Draw(t, "trailing") {
				b.WriteString(",")
			}
		}
		b.WriteString(gap.Draw(t, "gap") + map[int]string{4: "}", 5: "]"}[kind])
		return b.String()
	})
}

// paths lists the way to every value.
func paths(v any, at json5.Path) []json5.Path {
	out := []json5.Path{append(json5.Path{}, at...)}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			out = append(out, paths(v[k], append(at, k))...)
		}
	case []any:
		for i := range v {
			out = append(out, paths(v[i], append(at, strconv.Itoa(i)))...)
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	var out []string
	for _, k := range []string{"a", "b", "c", "d", "x.y"} {
		if _, ok := m[k]; ok {
			out = append(out, k)
		}
	}
	return out
}

func container(v any, at json5.Path) any {
	for _, part := range at {
		switch c := v.(type) {
		case map[string]any:
			v = c[part]
		case []any:
			var i int
			_ = json.Unmarshal([]byte(part), &i)
			v = c[i]
		}
	}
	return v
}

// The edited text must mean what the edited value is, and every comment must still be there.
func TestEditsMeanWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := anyText(3).Draw(t, "text")
		d, err := json5.Parse(text)
		if err != nil {
			t.Fatalf("the generator made %q: %v", text, err)
		}
		before := d.Value()
		at := rapid.SampledFrom(paths(before, nil)).Draw(t, "at")
		want := d.Value()
		var got string
		deleted := false
		switch c := container(want, at).(type) {
		case map[string]any:
			c["new"] = map[string]any{"k": json.Number("1")}
			got, err = d.Set(append(at, "new"), c["new"])
		case []any:
			k := rapid.IntRange(0, len(c)).Draw(t, "k")
			got, err = d.Insert(at, k, "v")
			grown := append(append(append([]any{}, c[:k]...), "v"), c[k:]...)
			want = replaced(want, at, grown)
		default:
			if len(at) == 0 || rapid.Bool().Draw(t, "set") {
				got, err = d.Set(at, "v")
				want = replaced(want, at, "v")
				break
			}
			got, err = d.Delete(at)
			deleted = true // with a comment between the key and its value
			want = removed(want, at)
		}
		if err != nil {
			t.Fatalf("%q at %s: %v", text, at, err)
		}
		after, err := json5.Parse(got)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, got, err)
		}
		if !reflect.DeepEqual(after.Value(), want) {
			t.Fatalf("%q at %s became %q, which is %v, want %v", text, at, got, after.Value(), want)
		}
		if !deleted && !reflect.DeepEqual(after.Comments(), d.Comments()) {
			t.Fatalf("%q at %s became %q: comments %q, want %q", text, at, got, after.Comments(), d.Comments())
		}
	})
}

func replaced(v any, at json5.Path, with any) any {
	if len(at) == 0 {
		return with
	}
	last := at[len(at)-1]
	switch c := container(v, at[:len(at)-1]).(type) {
	case map[string]any:
		c[last] = with
	case []any:
		var i int
		_ = json.Unmarshal([]byte(last), &i)
		c[i] = with
	}
	return v
}

func removed(v any, at json5.Path) any {
	last := at[len(at)-1]
	switch c := container(v, at[:len(at)-1]).(type) {
	case map[string]any:
		delete(c, last)
		return v
	case []any:
		var i int
		_ = json.Unmarshal([]byte(last), &i)
		return replaced(v, at[:len(at)-1], append(append([]any{}, c[:i]...), c[i+1:]...))
	}
	return v
}

func FuzzParse(f *testing.F) {
	f.Add("{a: 1, // c\n 'b': [0x1, .5e3, NaN], /* d */}")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := json5.Parse(text)
		if err != nil {
			return
		}
		if v, ok := d.Value().(map[string]any); ok && len(v) > 0 {
			got, err := d.Set(json5.Path{"new key"}, "v")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := json5.Parse(got); err != nil {
				t.Fatalf("%q became %q: %v", text, got, err)
			}
		}
	})
}

func TestKeysAreNamedWithTheirLines(t *testing.T) {
	doc, err := json5.Parse("// é\n{a: 1,\n \"b\": [{c: 2}, {\n  c: 3}],\n a: {'d.e': 4}}")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, line := range doc.Keys() {
		got = append(got, fmt.Sprintf("%s:%d", path, line))
	}
	if want := []string{"a:2", "b:3", "b[0].c:3", "b[1].c:4", "a:5", `a["d.e"]:5`}; !slices.Equal(got, want) {
		t.Errorf("keys = %q, want %q", got, want)
	}
	for path, line := range doc.Keys() {
		if path.String() != "a" || line != 2 {
			t.Errorf("the first key is %s on line %d, want a on 2", path, line)
		}
		break
	}
}

func TestErrorHoldsTheCharacterThatDoesNotFit(t *testing.T) {
	for text, want := range map[string]rune{"{a: é}": 'é', "{a: 1 ]": ']', "{a:": 0, "{a: 'x": 0, "{a: 1, /* x": 0} {
		_, err := json5.Parse(text)
		wrong, ok := errors.AsType[*json5.SyntaxError](err)
		if !ok {
			t.Fatalf("%q: %v is no syntax error", text, err)
		}
		if wrong.Found != want {
			t.Errorf("%q: %v holds %q, want %q", text, err, wrong.Found, want)
		}
	}
}
