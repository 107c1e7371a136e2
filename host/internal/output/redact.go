package output

import (
	"regexp"
	"slices"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// Redactor hides secrets in text: known values wherever they stand, and what looks like a credential by its name (B073, B307). The
// zero value knows no values. Safe for concurrent use.
type Redactor struct{ values []string }

// NewRedactor makes a redactor for known values; those under 8 characters are not used, since they would hide words.
func NewRedactor(values []string) *Redactor {
	var keep []string
	for _, v := range values {
		if len(v) >= 8 {
			keep = append(keep, v)
		}
	}
	slices.SortFunc(keep, func(a, b string) int { return len(b) - len(a) }) // a secret inside another goes last
	return &Redactor{values: keep}
}

// patterns keep the name (first group) and hide the value.
var patterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(--[a-z-]*(?:token|password|secret|api-?key)[ =])[^\s"']+`),
	regexp.MustCompile(`(?i)(\b(?:access_?|refresh_?|gateway_?|auth_?)?token["']?\s*[=:]\s*["']?)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s:@]+:[^/\s@]+@`),
}

// marks are quick tests: most lines have none of them.
var marks = []string{"token", "Token", "TOKEN", "password", "secret", "api", "earer", "BEARER", "://"}

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
	for i, p := range patterns {
		repl := "${1}" + Redacted
		if i == len(patterns)-1 {
			repl += "@"
		}
		s = p.ReplaceAllString(s, repl)
	}
	return s
}
