package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehost/gatehost/internal/redact"
)

const canary = "canary-5ec0ffee5ec0ffee-token"

// forms are the ways in which a program may print a secret.
var forms = map[string]func(v string) string{
	"plain":      func(v string) string { return v },
	"hex":        func(v string) string { return hex.EncodeToString([]byte(v)) },
	"upper hex":  func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) },
	"percent":    func(v string) string { return each(v, "%%%02X") },
	"lower %":    func(v string) string { return each(v, "%%%02x") },
	"query":      url.QueryEscape,
	"path":       url.PathEscape,
	"u escapes":  func(v string) string { return each(v, `\u%04x`) },
	"x escapes":  func(v string) string { return each(v, `\x%02x`) },
	"HTML":       func(v string) string { return each(v, "&#%d;") },
	"hex HTML":   func(v string) string { return each(v, "&#x%X;") },
	"part":       func(v string) string { return v[:3] + each(v[3:5], "%%%02X") + v[5:] },
	"base64":     func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64 1":   func(v string) string { return base64.StdEncoding.EncodeToString([]byte("u:" + v + "\n")) },
	"base64 2":   func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte("u" + v + "~~")) },
	"colours":    func(v string) string { return v[:4] + "\x1b[0m" + v[4:] },
	"NUL":        func(v string) string { return v[:4] + "\x00" + v[4:] },
	"zero width": func(v string) string { return v[:4] + "\u200b" + v[4:] },
	"two lines":  func(v string) string { return v[:4] + "\n" + v[4:] },
}

func each(v, format string) string {
	var out strings.Builder
	for i := range len(v) {
		fmt.Fprintf(&out, format, v[i])
	}
	return out.String()
}

// TestKnownSecretsAreHiddenInEveryForm draws secrets, the way they are written, and what is around them. No piece of
// the form that is long enough to be of use may stay.
func TestKnownSecretsAreHiddenInEveryForm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9_./+-]{12,40}`).Draw(rt, "secret")
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(forms))).Draw(rt, "form")
		before := rapid.StringMatching(`([a-z ]{0,20}[ :"(])?`).Draw(rt, "before")
		after := rapid.StringMatching(`([ "),][a-z ]{0,20})?`).Draw(rt, "after")
		written := forms[name](secret)
		got := redact.New([]string{secret, canary}).Text(before + written + after)
		if got != before+redact.Mark+after {
			rt.Fatalf("%s: %q becomes %q", name, before+written+after, got)
		}
	})
}

// TestSecretsOfOtherCharactersAreHidden: letters that are no ASCII, and characters that a terminal must not see.
func TestSecretsOfOtherCharactersAreHidden(t *testing.T) {
	const umlauts, bell, outside = "pässwörter-€", "bell\arings-often", "key-𝄞𝄞-of-g"
	r := redact.New([]string{umlauts, bell, outside, "\u200b\u200b\u200ba"})
	for name, written := range map[string]string{
		"percent":      each(umlauts, "%%%02X"),
		"x escapes":    each(umlauts, `\x%02x`),
		"u escapes":    `p\u00e4ssw\u00f6rter-\u20ac`,
		"u upper":      `p\u00E4ssw\u00F6rter-\u20AC`,
		"HTML":         "p&#228;ssw&#xF6;rter-&#8364;",
		"plain":        umlauts,
		"a control":    bell,
		"a pair":       `key-\ud834\udd1e\uD834\uDD1E-of-g`,
		"HTML of four": "key-&#119070;&#x1D11E;-of-g",
	} {
		if got := r.Text("x " + written + " y"); got != "x "+redact.Mark+" y" {
			t.Errorf("%s: %q becomes %q", name, written, got)
		}
	}
	// what is printable of the last value is one letter: it is no secret
	if got := r.Text("banana"); got != "banana" {
		t.Errorf("%q", got)
	}
	if got := r.Text(`x key-\ud834\udd1e\ud834`); !strings.HasPrefix(got, "x "+redact.Mark) {
		t.Errorf("cut off between the halves of a pair: %q", got)
	}
	for _, text := range []string{`\ud834`, `\ud834\u0041`, `\ud834x`, `\udd1e\ud834`} {
		if got := r.Text(text); got != text {
			t.Errorf("half of a pair: %q becomes %q", text, got)
		}
	}
}

// TestOneHalfOfASecretInTwoLinesIsHidden: a stream is redacted line by line.
func TestOneHalfOfASecretInTwoLinesIsHidden(t *testing.T) {
	r := redact.New([]string{canary})
	for cut := 1; cut < len(canary); cut++ {
		first, second := r.Line("token "+canary[:cut]), r.Line(canary[cut:]+" tail")
		shown := len(strings.TrimPrefix(first, "token ")) + len(strings.TrimSuffix(second, " tail"))
		if strings.Contains(first, redact.Mark) && strings.Contains(second, redact.Mark) {
			continue
		}
		if !strings.Contains(first+second, redact.Mark) || shown-len(redact.Mark) > len(canary)/3 {
			t.Errorf("cut at %d: %q, %q", cut, first, second)
		}
	}
}

// TestAFormThatWasCutOffIsHidden: bounds of other parts cut texts before they are redacted.
func TestAFormThatWasCutOffIsHidden(t *testing.T) {
	r := redact.New([]string{canary})
	for name, form := range forms {
		written := form(canary)
		if strings.Contains(name, "base64") || name == "two lines" { // shares characters with what is around it
			written = strings.TrimRight(written, "=")
		}
		for _, cut := range []int{len(written) / 2, len(written) * 3 / 4} {
			if got := r.Text("x " + written[:cut]); !strings.HasPrefix(got, "x "+redact.Mark) &&
				!strings.Contains(name, "base64") || !strings.Contains(got, redact.Mark) {
				t.Errorf("%s, cut at %d of %d: %q becomes %q", name, cut, len(written), written[:cut], got)
			}
		}
	}
}

func TestKeysAreHiddenByTheirShape(t *testing.T) {
	r := redact.New(nil)
	for _, secret := range []string{
		"sk-ant-api03-AAAABBBBCCCCDDDD", "sk-proj-ABCDEFGHIJKLMNOPQRSTUVWX1234567890", "AKIAIOSFODNN7EXAMPLE",
		"xoxb-1234567890-abcdefghij", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "github_pat_11AAAAAAA0abcdefghijkl_mnop",
		"glpat-abcdefghij0123456789", "AIzaSyA-0123456789abcdefghijklmnopqrstu", "hf_abcdefghijklmnopqrstuvwx",
		"gsk_abcdefghijklmnopqrstuvwxyz012345", "sk_live_0123456789abcdefghij",
		"123456789:AAabcdefghijklmnopqrstuvwxyz_0123456",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
		"SG.abcdefghijklmnopqrst.abcdefghijklmnopqrstuvwxyz",
	} {
		for _, text := range []string{secret, "x " + secret + " y", `"` + secret + `"`, "(" + secret + ")"} {
			if got := r.Text(text); got != strings.ReplaceAll(text, secret, redact.Mark) {
				t.Errorf("%s becomes %s", text, got)
			}
			if got := redact.Document(text); strings.Contains(got, secret) {
				t.Errorf("as a document %s becomes %s", text, got)
			}
		}
	}
	for _, text := range []string{
		"a task-force-of-many-people-is-here", "disk-0123456789abcdef0123", "sha256 " + strings.Repeat("0a", 32),
		"eyJ is how it begins",
		"git commit 8c39dbb1f61138c8c39dbb1f61138c8c39dbb1f6", "at file:///a/b/c.js:12:34",
	} {
		if got := r.Text(text); got != text {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}

const privateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgU2vY3Yz0kJ1b2l0a
c2hvcnRsaW5l
-----END PRIVATE KEY-----`

func TestPrivateKeysAreHidden(t *testing.T) {
	r := redact.New(nil)
	for _, text := range []string{
		"a\n" + privateKey + "\nb", strings.ReplaceAll(privateKey, " PRIVATE", " EC PRIVATE"),
		privateKey[:120], `{"x": "` + strings.ReplaceAll(privateKey, "\n", `\n`) + `"}`,
	} {
		for _, got := range []string{r.Text(text), redact.Document(text)} {
			if strings.Contains(got, "MIGH") || strings.Contains(got, "c2hv") {
				t.Errorf("%s becomes %s", text, got)
			}
			if strings.Count(got, "\n") != strings.Count(text, "\n") {
				t.Errorf("%s has another number of lines: %s", text, got)
			}
		}
	}
	var lines redact.Lines
	var out []string
	for line := range strings.SplitSeq("before\n"+privateKey+"\nafter", "\n") {
		out = append(out, lines.Line(r, line))
	}
	got := strings.Join(out, "\n")
	if strings.Contains(got, "MIGH") || strings.Contains(got, "c2hv") || out[0] != "before" || out[len(out)-1] != "after" {
		t.Errorf("line by line: %s", got)
	}
}

func TestAKeyThatIsNotClosedDoesNotHideALog(t *testing.T) {
	var lines redact.Lines
	lines.Line(nil, "-----BEGIN PRIVATE KEY-----")
	for range 1000 {
		if lines.Line(nil, "an ordinary line") == "an ordinary line" {
			return
		}
	}
	t.Error("1,000 lines are hidden")
}

func TestEveryHeaderIsASecret(t *testing.T) {
	got := redact.Document(`{"providers": {"x": {"headers": {"X-Custom": "abc12345"}, "baseUrl": "u"}}}`)
	if strings.Contains(got, "abc12345") || !strings.Contains(got, "X-Custom") || !strings.Contains(got, `"u"`) {
		t.Error(got)
	}
	v := redact.New(nil).Value(map[string]any{"headers": map[string]any{"X-Custom": "abc12345"}})
	if strings.Contains(fmt.Sprint(v), "abc12345") {
		t.Error(v)
	}
}

func TestKnownKeepsOldSecretsAndIsBounded(t *testing.T) {
	var k redact.Known
	if got := k.Redactor().Text("x"); got != "x" {
		t.Errorf("%q", got)
	}
	k.Learn([]string{"first-secret", "short"})
	k.Learn([]string{"second-secret", "first-secret"})
	if got := k.Redactor().Text("first-secret second-secret short"); got != "[redacted] [redacted] short" {
		t.Errorf("%q", got)
	}
	for i := range 1000 {
		k.Learn([]string{fmt.Sprintf("secret-number-%d", i)})
	}
	if got := k.Redactor().Text("first-secret or secret-number-999"); got != "first-secret or [redacted]" {
		t.Errorf("%q", got)
	}
	var none *redact.Known
	none.Learn([]string{"a-secret-value"})
	if got := none.Redactor().Text("a-secret-value"); got != "a-secret-value" {
		t.Errorf("%q", got)
	}
}

func TestForgottenSecretsMakeRoom(t *testing.T) {
	var k redact.Known
	k.Learn([]string{"lasting-secret"})
	for i := range 1000 {
		brief := []string{fmt.Sprintf("secret-number-%d", i)}
		k.Learn(brief)
		if got := k.Redactor().Text("lasting-secret " + brief[0]); got != "[redacted] [redacted]" {
			t.Fatalf("%d: %q", i, got)
		}
		k.Forget(brief)
	}
	if got := k.Redactor().Text("lasting-secret secret-number-999"); got != "[redacted] secret-number-999" {
		t.Errorf("%q", got)
	}
	var none *redact.Known
	none.Forget([]string{"a-secret-value"})
}

func BenchmarkLine(b *testing.B) {
	r := redact.New([]string{"a-secret-value", canary, "gatehost-9dd59f3900112233445566778899aabb"})
	line := "2026-11-23T10:00:00.000+00:00 [gateway] line number 17 of an ordinary length"
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Line(line)
	}
}
