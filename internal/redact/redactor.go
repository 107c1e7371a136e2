package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Redactor hides secrets: known values wherever they occur, and what looks like a credential by its name (B073,
// B307). A nil Redactor and the zero value know no values. Safe for concurrent use.
type Redactor struct{ values []string }

// New makes a redactor for known values, also as JSON and URLs write them. Values under 8 characters are not used,
// since they would hide words.
func New(values []string) *Redactor {
	var keep []string
	add := func(v string) {
		if len(v) >= 8 && !slices.Contains(keep, v) {
			keep = append(keep, v)
		}
	}
	for _, v := range values {
		add(v)
		add(url.QueryEscape(v))
		add(url.PathEscape(v))
		if quoted, err := json.Marshal(v); err == nil {
			add(strings.Trim(string(quoted), `"`))
		}
	}
	slices.SortFunc(keep, func(a, b string) int { return len(b) - len(a) }) // a secret inside another goes last
	return &Redactor{values: keep}
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

// marks are quick tests for the patterns: most lines contain none of them.
var marks = []string{
	"oken", "OKEN", "assw", "ASSW", "ecret", "ECRET", "assphr", "ASSPHR", "redential", "REDENTIAL", "ookie", "OOKIE",
	"ignature", "IGNATURE",
	"once", "ONCE", "key", "Key", "KEY", "earer", "EARER", "uthoriz", "UTHORIZ", "://",
}

// Text hides the secrets in s.
func (r *Redactor) Text(s string) string {
	if r != nil {
		for _, v := range r.values {
			if strings.Contains(s, v) {
				s = strings.ReplaceAll(s, v, Mark)
			}
		}
	}
	if !slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(s, m) }) {
		return s
	}
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
		out[r.Text(k)] = r.Value(x)
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
