package repair_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/plugin"
)

// differ shows the difference that writing after over before would make.
type differ struct {
	e    *repair.Executor
	path string
}

func newDiffer(tb testing.TB) differ {
	tb.Helper()
	dir, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	e, err := repair.New(repair.Options{
		Dir:     filepath.Join(dir, "repairs"),
		Gateway: plugin.GatewayFacts{Name: "main", StateDir: dir, Command: []string{"x"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return differ{e, filepath.Join(dir, "f")}
}

func (d differ) diff(before, after string) (string, error) {
	if err := os.WriteFile(d.path, []byte(before), 0o600); err != nil {
		return "", err
	}
	return d.e.Preview(repair.Named{Name: "d"}, writes(d.path, after, sum(before)))
}

func TestDifferencesShowNoSecret(t *testing.T) {
	d := newDiffer(t)
	for _, text := range []string{
		`{"gateway":{"auth":{"mode":"token","token":"canary"}}}`,
		"{ gateway: { auth: { mode: 'token', token: 'canary', }, }, }",
		"{\n  \"token\":\n    \"canary\"\n}",
		`{"tokens":["canary",{"a":"canary"}],"b":1}`,
		`{"apiKey":"canary", "api_key": "canary", "OPENAI_API_KEY": "canary"}`,
		`{"channels":{"telegram":{"botToken":"canary"}}}`,
		`{"password": 771177, "x": "canary-not"}`,
		`{"password":"can\"ary","secret":"a // canary"}`,
		`{"token":"canary`, // cut off
		`}}}{"token":"canary"}`,
		"{\"token\": // why\n \"canary\"}",
		`{"credentials":{"user":"canary","nested":{"deep":["canary"]}}}`,
		"OPENAI_API_KEY=canary\nexport GATEWAY_TOKEN=\"canary\"\n",
		"password: canary\n",
		`{"token":canary}`,
		"{\"cookie\":\"line1\\\ncanary\"}",
	} {
		got, err := d.diff("old\n", text)
		if err != nil {
			t.Fatal(err)
		}
		leak := strings.ReplaceAll(got, "canary-not", "")
		if strings.Contains(leak, "canary") || strings.Contains(leak, "ary\"") || strings.Contains(leak, "771177") ||
			!strings.Contains(got, "[redacted]") {
			t.Errorf("%s\nis shown as\n%s", text, got)
		}
	}
}

func TestWhatIsNoSecretIsShown(t *testing.T) {
	d := newDiffer(t)
	for _, text := range []string{
		`{"gateway":{"port":18789,"bind":"loopback","auth":{"mode":"token"}}}`,
		`{"maxTokens":4096,"url":"http://127.0.0.1:1/x"}`,
		`{"a":"token","b":["password"]}`, "// a comment about the token: it is long\n{}",
		`{"authorization":null,"secretsEnabled":true}`,
	} {
		got, err := d.diff("old\n", text)
		if err != nil || !strings.Contains(got, text[:strings.IndexAny(text+"\n", "\n")]) &&
			!strings.HasPrefix(text, "//") {
			t.Errorf("%s\nis shown as\n%s, %v", text, got, err)
		}
	}
}

func TestNoSecretOfAnyDocumentIsShown(t *testing.T) {
	d := newDiffer(t)
	rapid.Check(t, func(rt *rapid.T) {
		doc, secrets := document(rt, 3, false)
		style := rapid.SampledFrom([]string{"", "  ", "\t"}).Draw(rt, "indent")
		text, err := json.MarshalIndent(doc, "", style)
		if style == "" {
			text, err = json.Marshal(doc)
		}
		if err != nil {
			rt.Fatal(err)
		}
		cut := rapid.IntRange(0, len(text)).Draw(rt, "cut off at")
		got, err := d.diff("", string(text[:cut]))
		if err != nil {
			rt.Fatal(err)
		}
		for _, s := range secrets {
			if strings.Contains(got, s) {
				rt.Fatalf("%s is in\n%s\nof\n%s", s, got, text)
			}
		}
	})
}

var serial int

// document makes a JSON value; what stands below a secret's name is a unique word.
func document(rt *rapid.T, depth int, secret bool) (any, []string) {
	kind := rapid.IntRange(0, 3).Draw(rt, "kind")
	if depth == 0 {
		kind = min(kind, 1)
	}
	switch kind {
	case 0, 1:
		if !secret {
			return rapid.SampledFrom([]any{"plain", 7, true, nil, "it's: {odd} [text], \"token\""}).Draw(rt, "value"),
				nil
		}
		serial++
		s := fmt.Sprintf("canary%dx", serial)
		return s, []string{s}
	case 2:
		var list []any
		var all []string
		for range rapid.IntRange(0, 3).Draw(rt, "items") {
			v, s := document(rt, depth-1, secret)
			list, all = append(list, v), append(all, s...)
		}
		return list, all
	default:
		object, all := map[string]any{}, []string(nil)
		for range rapid.IntRange(0, 4).Draw(rt, "keys") {
			key := rapid.SampledFrom([]string{
				"a", "port", "token", "botToken", "apiKey", "x:y", "client_secret",
				"list",
			}).Draw(rt, "key")
			if _, taken := object[key]; taken {
				continue
			}
			v, s := document(rt, depth-1, secret || strings.Contains(strings.ToLower(key), "token") ||
				key == "apiKey" || key == "client_secret")
			object[key], all = v, append(all, s...)
		}
		return object, all
	}
}

func TestDifferenceLeadsFromOneTextToTheOther(t *testing.T) {
	d := newDiffer(t)
	line := rapid.SampledFrom([]string{"a", "b", "c", "dd", "", "e f"})
	rapid.Check(t, func(rt *rapid.T) {
		before := rapid.SliceOfN(line, 0, 30).Draw(rt, "before")
		after := rapid.SliceOfN(line, 0, 30).Draw(rt, "after")
		text := func(lines []string) string {
			if len(lines) == 0 {
				return ""
			}
			return strings.Join(lines, "\n") + "\n"
		}
		got, err := d.diff(text(before), text(after))
		if err != nil {
			rt.Fatal(err)
		}
		if result := apply(rt, text(before), got); result != text(after) {
			rt.Fatalf("before %q, after %q, diff\n%s\ngives %q", before, after, got, result)
		}
	})
}

// apply is patch(1).
func apply(rt *rapid.T, before, diff string) string {
	var src []string
	if before != "" {
		src = strings.Split(strings.TrimSuffix(before, "\n"), "\n")
	}
	var out []string
	at := 0
	for l := range strings.SplitSeq(strings.TrimSuffix(diff, "\n"), "\n") {
		switch {
		case l == "" || strings.HasPrefix(l, "---") || strings.HasPrefix(l, "+++"):
		case strings.HasPrefix(l, "@@"):
			var a, an, b, bn int
			if _, err := fmt.Sscanf(l, "@@ -%d,%d +%d,%d @@", &a, &an, &b, &bn); err != nil {
				rt.Fatalf("hunk %q: %v", l, err)
			}
			start := a - 1
			if an == 0 {
				start = a
			}
			out = append(out, src[at:start]...)
			at = start
		case l[0] == '+':
			out = append(out, l[1:])
		default:
			if src[at] != l[1:] {
				rt.Fatalf("line %q is not %q", l, src[at])
			}
			if l[0] == ' ' {
				out = append(out, src[at])
			}
			at++
		}
	}
	out = append(out, src[at:]...)
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
}

func TestDifferencesAreBounded(t *testing.T) {
	d := newDiffer(t)
	var a, b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&a, "line %d\n", i)
		fmt.Fprintf(&b, "other %d\n", i)
	}
	got, err := d.diff(a.String(), b.String())
	if err != nil || len(got) > 70<<10 || !strings.Contains(got, "(cut)") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	got, err = d.diff("a\n", strings.Repeat("x", 1<<20))
	if err != nil || len(got) > 2000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	got, err = d.diff("a\n", "b\x00\xff")
	if err != nil || !strings.Contains(got, "binary files differ: 2 -> 3 bytes") {
		t.Errorf("%q, %v", got, err)
	}
}
