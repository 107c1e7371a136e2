package redact

import (
	"regexp"
	"strings"
)

// shape is what a kind of credential looks like, whatever its name.
type shape struct {
	marks   []string // one of them stands in every match
	pattern *regexp.Regexp
}

// shapes are the documented formats of keys: of model providers, clouds, code hosts, chat services, and JWT (RFC 7519).
var shapes = []shape{
	{[]string{"sk-", "sk_", "rk_", "pk_"}, regexp.MustCompile(`\b(?:sk-|[srp]k_(?:live|test)_)[A-Za-z0-9_-]{16,}`)},
	{[]string{"AKIA", "ASIA"}, regexp.MustCompile(`\bA[KS]IA[0-9A-Z]{16}\b`)},
	{[]string{"xox", "xapp-"}, regexp.MustCompile(`\b(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}`)},
	{
		[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"},
		regexp.MustCompile(`\b(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{20,}`),
	},
	{[]string{"glpat-"}, regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{16,}`)},
	{[]string{"AIza"}, regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{30,}`)},
	{[]string{"ya29."}, regexp.MustCompile(`\bya29\.[A-Za-z0-9_.-]{16,}`)},
	{[]string{"hf_", "gsk_", "npm_"}, regexp.MustCompile(`\b(?:hf|gsk|npm)_[A-Za-z0-9]{20,}`)},
	{[]string{"xai-", "pypi-"}, regexp.MustCompile(`\b(?:xai|pypi)-[A-Za-z0-9_-]{20,}`)},
	{[]string{"whsec_", "dop_v1_", "r8_"}, regexp.MustCompile(`\b(?:whsec|dop_v1|r8)_[A-Za-z0-9+/=]{20,}`)},
	{[]string{"SG."}, regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`)},
	{[]string{":AA"}, regexp.MustCompile(`\b[0-9]{6,12}:AA[A-Za-z0-9_-]{30,}`)}, // a bot of Telegram
	{[]string{"hooks.slack.com"}, regexp.MustCompile(`\bhooks\.slack\.com/[A-Za-z]+/[A-Za-z0-9/]+`)},
	{[]string{"eyJ"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*`)},
}

// Shapes hides what has the shape of a credential in s, and nothing else: for a text of our own that quotes a word of
// a file.
func Shapes(s string) string { return shapeText(s) }

func shapeText(s string) string {
	for _, one := range shapes {
		s = one.pattern.ReplaceAllLiteralString(s, Mark)
	}
	return s
}

const (
	pemBegin = `-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`
	pemEnd   = `-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----`
)

var (
	pemBlock = regexp.MustCompile(`(?s)` + pemBegin + `.*?(?:` + pemEnd + `|\z)`)
	pemOpens = regexp.MustCompile(pemBegin)
	pemEnds  = regexp.MustCompile(pemEnd)
)

// pem hides the private keys in a text (RFC 7468). It keeps the number of lines.
func pem(s string) string {
	if !strings.Contains(s, "PRIVATE KEY") {
		return s
	}
	return pemBlock.ReplaceAllStringFunc(s, func(block string) string {
		return Mark + strings.Repeat("\n"+Mark, strings.Count(block, "\n"))
	})
}

// maxPEM bounds a private key, in lines: a key that is not closed must not hide the rest of a log.
const maxPEM = 256

// Lines redacts a text that comes line by line: it also hides a private key, whose single lines look like nothing.
// Used by one goroutine.
type Lines struct {
	key int // lines of the private key that is open; 0: none is
}

// Line returns the next line, printable and redacted by r.
func (l *Lines) Line(r *Redactor, line string) string {
	switch {
	case l.key > 0:
		if l.key++; pemEnds.MatchString(line) || l.key > maxPEM {
			l.key = 0
		}
		return Mark
	case strings.Contains(line, "PRIVATE KEY"):
		if at := pemOpens.FindStringIndex(line); at != nil && !pemEnds.MatchString(line[at[1]:]) {
			l.key = 1
		}
	}
	return r.Line(line)
}
