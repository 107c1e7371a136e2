package redact

import (
	b64 "encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// minValue is the length from which a value counts as a secret, in bytes. A shorter one would hide words.
const minValue = 8

// Redactor makes foreign text printable and hides its secrets: known values wherever they occur, in whatever encoding,
// what looks like a credential by its name (B073, B307), and what has the shape of one. A nil Redactor knows no values.
// Safe for concurrent use.
type Redactor struct {
	values []string
	forms  *index
}

// New makes a redactor for known values. Values under 8 bytes are not used, since they would hide words.
func New(values []string) *Redactor {
	r := &Redactor{}
	for _, v := range values {
		if len(v) >= minValue && !slices.Contains(r.values, v) {
			r.values = append(r.values, v)
		}
	}
	// a value inside another one goes last
	slices.SortStableFunc(r.values, func(a, b string) int { return len(b) - len(a) })
	var forms []form
	for _, v := range r.values {
		forms = append(forms, formsOf(v)...)
	}
	slices.SortStableFunc(forms, func(a, b form) int { return len(b.text) - len(a.text) })
	r.forms = newIndex(forms)
	return r
}

// formsOf returns the forms in which a value may stand in a text. Percent, \u and HTML escapes are missing, because a
// text is searched without them, too.
func formsOf(v string) []form {
	out := []form{
		{v, exact},
		{url.QueryEscape(v), exact},
		{hex.EncodeToString([]byte(v)), exact},
		{strings.ToUpper(hex.EncodeToString([]byte(v))), exact},
	}
	if p := printable(v, true); len(p) >= minValue {
		out = append(out, form{p, exact})
	}
	// Base64 of a longer text contains one of three forms of the value: its bytes may begin at each third place.
	for before := range 3 {
		all := append(make([]byte, before), v...)
		for _, encoding := range []*b64.Encoding{b64.RawStdEncoding, b64.RawURLEncoding} {
			text := encoding.EncodeToString(all)
			if len(all)%3 != 0 {
				text = text[:len(text)-1] // shares bits with what follows
			}
			out = append(out, form{text[(before*4+2)/3:], base64}) // without what shares bits with what is before
		}
	}
	return out
}

// patterns keep the name (first group) and hide the value. An `=` always assigns; a colon also occurs in prose, so
// there the value has to look like a credential.
var patterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(--[a-z0-9-]*(?:` + words + `)(?:=|\s+))(?:"[^"]*"|'[^']*'|[^\s"']+)`),
	regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:` + words +
		`)["']?\s?=\s?)(?:"[^"]*"|'[^']*'|\[redacted\]|[^\s"'&,;)}\]]+)`),
	regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:` + words + `)["']?\s*:\s*["']?)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)(\bauthorization["']?\s*[:=]\s*["']?(?:basic|digest|token)\s+)[^\s"']+`),
	regexp.MustCompile(`(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@"']+(?::[^/\s@"']*)?(@)`),
}

// marks find the lines for which patterns and shapes have to look: most lines contain none of them.
var marks = newMarks(append(nameMarks(), shapeMarks()...))

// nameMarks returns a part of each alternative of words, of each header, and of each pattern that knows no name.
func nameMarks() []form {
	var out []form
	for _, m := range []string{
		"token", "passw", "secret", "passphrase", "credential", "cookie", "signature", "nonce", "key", "bearer",
		"authorization", "://",
	} {
		out = append(out, form{m, naming})
	}
	return out
}

func shapeMarks() []form {
	var out []form
	for _, s := range shapes {
		for _, m := range s.marks {
			out = append(out, form{m, shaped})
		}
	}
	return out
}

// Text makes s printable and hides its secrets. It keeps line feeds.
func (r *Redactor) Text(s string) string { return r.redact(Printable(s)) }

// Line makes s one printable line and hides its secrets.
func (r *Redactor) Line(s string) string { return r.redact(PrintableLine(s)) }

func (r *Redactor) redact(s string) string {
	s = r.Values(s)
	found := marks.groups(s)
	if found&shaped != 0 {
		s = shapeText(s)
	}
	if found&naming != 0 {
		s = nameText(pem(s))
	}
	return s
}

// Values hides the known values in s, and nothing else.
func (r *Redactor) Values(s string) string {
	if r == nil || len(r.values) == 0 {
		return s
	}
	spans := append(r.forms.find(s), r.forms.edges(s)...)
	if encoded(s) {
		d := decode(s)
		spans = append(spans, d.original(r.forms.find(d.text))...)
		spans = append(spans, d.original(r.forms.edges(d.text))...)
	}
	return hide(s, spans)
}

func nameText(s string) string {
	for _, p := range patterns {
		if !p.MatchString(s) {
			continue
		}
		repl := "${1}" + Mark
		if p.NumSubexp() > 1 {
			repl += "${2}"
		}
		s = p.ReplaceAllString(s, repl)
	}
	return s
}

// Value hides the secrets in a value as encoding/json decodes it with UseNumber: whatever has a secret's name, and
// Text in all strings. It changes v and returns it.
func (r *Redactor) Value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return r.object(v)
	case []any:
		for i, x := range v {
			v[i] = r.Value(x)
		}
	case string:
		return r.Text(v)
	case json.Number:
		if s := v.String(); r.Text(s) != s {
			return Mark
		}
	}
	return v
}

func (r *Redactor) object(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for k, x := range object {
		switch _, text := x.(string); {
		case Name(k) && countName.MatchString(k) && !text:
			x = counts(k, x)
		case Name(k) && tells(k, x):
			x = Mark
		}
		out[r.Line(k)] = r.Value(x)
	}
	return out
}

// tells reports whether a value under a secret's name could be one.
func tells(name string, v any) bool {
	switch v := v.(type) {
	case nil, bool:
		return false
	case string:
		return v != ""
	case json.Number:
		return !Harmless(name, v.String())
	default:
		return true
	}
}

// counts hides what could be a secret in a list or an object that may count tokens: {"tokens": {"input": 5}}. Small
// numbers stay; no string does.
func counts(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = counts(name, x)
		}
	case []any:
		for i, x := range v {
			v[i] = counts(name, x)
		}
	default:
		if tells(name, v) {
			return Mark
		}
	}
	return v
}
