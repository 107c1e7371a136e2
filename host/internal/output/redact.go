package output

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// Redactor hides secrets in text: known values wherever they stand, and what looks like a credential by its name (B073, B307). The
// zero value knows no values. Safe for concurrent use.
type Redactor struct{ values []string }

// NewRedactor makes a redactor for known values, also as JSON and URLs write them; those under 8 characters are not used, since
// they would hide words.
func NewRedactor(values []string) *Redactor {
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

// patterns keep the name (first group) and hide the value. An `=` always assigns; a colon also stands in prose, so there the value has to look
// like a credential.
var patterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(--[a-z0-9-]*(?:token|passwo?r?d|secret|api-?key)(?:=|\s+))(?:"[^"]*"|'[^']*'|[^\s"']+)`),
	regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:token|passwo?r?d|secret|api_?-?key|private_?-?key)["']?\s?=\s?)(?:"[^"]*"|'[^']*'|\[redacted\]|[^\s"'&,;)}\]]+)`),
	regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:token|passwo?r?d|secret|api_?-?key|private_?-?key)["']?\s*:\s*["']?)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)(\bauthorization["']?\s*[:=]\s*["']?(?:basic|digest|token)\s+)[^\s"']+`),
	regexp.MustCompile(`(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@"']+(?::[^/\s@"']*)?(@)`),
}

// marks are quick tests: most lines have none of them.
var marks = []string{"oken", "OKEN", "assw", "ASSW", "ecret", "ECRET", "key", "Key", "KEY", "earer", "EARER", "uthoriz", "UTHORIZ", "://"}

// Text hides the secrets in s.
func (r *Redactor) Text(s string) string {
	if r != nil {
		for _, v := range r.values {
			if strings.Contains(s, v) {
				s = strings.ReplaceAll(s, v, Redacted)
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
		repl := "${1}" + Redacted
		if p.NumSubexp() > 1 {
			repl += "${2}"
		}
		s = p.ReplaceAllString(s, repl)
	}
	return s
}
