package openclawdoctor

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// The reference's rules are ECMAScript, and Go differs from it in four places: what is white space, what a dot stops
// at, which letters /i folds, and what trim removes (B058). The functions of this file give the ECMAScript outcomes.

// jsSpaceClass is the inside of a character class with everything that ECMAScript's \s matches. U+0085 is not in it.
const jsSpaceClass = `\t-\r \x{00a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`

// jsDot is ECMAScript's dot: it also stops at CR, U+2028 and U+2029.
const jsDot = `[^\n\r\x{2028}\x{2029}]`

func isJSSpace(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r == ' ', r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a:
		return true
	case r == 0x2028, r == 0x2029, r == 0x202f, r == 0x205f, r == 0x3000, r == 0xfeff:
		return true
	default:
		return false
	}
}

// trim is String.prototype.trim.
func trim(s string) string { return strings.TrimFunc(s, isJSSpace) }

// stripColour removes CSI sequences, `ESC [ parameters intermediates final` (B293). A sequence that does not end is
// kept.
func stripColour(s string) string {
	next := strings.Index(s, "\x1b[")
	if next < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for next >= 0 {
		b.WriteString(s[:next])
		if n := csiLength(s[next:]); n > 0 {
			s = s[next+n:]
		} else {
			b.WriteString(s[next : next+2])
			s = s[next+2:]
		}
		next = strings.Index(s, "\x1b[")
	}
	b.WriteString(s)
	return b.String()
}

// csiLength is the length of the sequence that s begins with, or 0.
func csiLength(s string) int {
	i := 2
	for i < len(s) && s[i] >= '0' && s[i] <= '?' {
		i++
	}
	for i < len(s) && s[i] >= ' ' && s[i] <= '/' {
		i++
	}
	if i < len(s) && s[i] >= '@' && s[i] <= '~' {
		return i + 1
	}
	return 0
}

// appendLower appends s with A to Z folded and nothing else, so that offsets stay and U+017F or U+212A match no letter.
func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// fold is s with A to Z in lower case.
func fold(s string) string { return string(appendLower(nil, s)) }

// compile makes a pattern of docs/behaviour.md §19 match lower-cased text as ECMAScript's /i would match the text
// itself. Patterns may use \b \d \s \. \+ and classes; \b and \d are ASCII in both languages.
func compile(pattern string) *regexp.Regexp {
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			switch {
			case pattern[i] != 's':
				b.WriteString(pattern[i-1 : i+1])
			case class:
				b.WriteString(jsSpaceClass)
			default:
				b.WriteString("[" + jsSpaceClass + "]")
			}
		case c == '.' && !class:
			b.WriteString(jsDot)
		case c >= utf8.RuneSelf:
			b.WriteByte(c)
		default:
			class = c == '[' || class && c != ']'
			b.Write(appendLower(nil, string(rune(c))))
		}
	}
	return regexp.MustCompile(b.String())
}
