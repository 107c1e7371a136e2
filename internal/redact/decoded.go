package redact

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decoded is a text without its encodings: percent, \u and \x escapes, HTML references. What splits a secret is left
// out: line feeds, and the characters that Printable has put in. Each byte knows where it came from.
type decoded struct {
	text string
	from []span // of each byte of text, in the original
}

// encoded reports whether a text may contain a secret that only its decoded form shows.
func encoded(s string) bool {
	return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '\\') >= 0 || strings.IndexByte(s, '\n') >= 0 ||
		strings.Contains(s, "&") || strings.Contains(s, "\uFFFD")
}

// cutEscape is an escape whose end was cut off with the rest of the text; maxEscape is more than its length.
var cutEscape = regexp.MustCompile(`^(?:%[0-9A-Fa-f]?|\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?|` +
	`&(?:#[xX]?)?[0-9A-Za-z]*)$`)

const maxEscape = 10

func decode(s string) decoded {
	var text strings.Builder
	text.Grow(len(s))
	d := decoded{from: make([]span, 0, len(s))}
	for i := 0; i < len(s); {
		put, n := s[i:i+1], 1
		switch {
		case s[i] == '\n':
			put = ""
		case len(s)-i < maxEscape && cutEscape.MatchString(s[i:]):
			put, n = "", len(s)-i
		case strings.HasPrefix(s[i:], "\uFFFD"):
			put, n = "", len("\uFFFD")
		case s[i] == '%':
			put, n = hexadecimal(s[i:], 1, 2)
		case s[i] == '\\':
			put, n = backslash(s[i:])
		case s[i] == '&':
			put, n = reference(s[i:])
		}
		text.WriteString(put)
		for range len(put) {
			d.from = append(d.from, span{i, i + n})
		}
		i += n
	}
	d.text = text.String()
	return d
}

// hexadecimal reads digits after skip bytes. Without them the first byte of s stands for itself.
func hexadecimal(s string, skip, digits int) (put string, n int) {
	if len(s) < skip+digits {
		return s[:1], 1
	}
	v, err := strconv.ParseUint(s[skip:skip+digits], 16, 32)
	if err != nil {
		return s[:1], 1
	}
	if digits == 2 {
		return string([]byte{byte(v)}), skip + digits //nolint:gosec // two digits
	}
	return string(rune(v)), skip + digits //nolint:gosec // four digits
}

func backslash(s string) (put string, n int) {
	if len(s) < 2 {
		return s, 1
	}
	switch s[1] {
	case 'u':
		return utf16Unit(s)
	case 'x':
		return hexadecimal(s, 2, 2)
	case 'n', 'r':
		return "", 2
	case '"', '\'', '\\', '/':
		return s[1:2], 2
	}
	return s[:1], 1
}

// utf16Unit reads \uXXXX, and two of them that are one character. Half of such a pair is left out: the other half may
// have been cut off.
func utf16Unit(s string) (put string, n int) {
	put, n = hexadecimal(s, 2, 4)
	first := unit(s)
	if !utf16.IsSurrogate(first) {
		return put, n
	}
	if r := utf16.DecodeRune(first, unit(s[n:])); r != utf8.RuneError {
		return string(r), 2 * n
	}
	return "", n
}

// unit returns the value of the \uXXXX at the beginning of s; 0 when there is none.
func unit(s string) rune {
	if len(s) < 6 || s[:2] != `\u` {
		return 0
	}
	v, _ := strconv.ParseUint(s[2:6], 16, 16)
	return rune(v)
}

// names are the references of HTML for characters that a secret may contain.
var names = map[string]string{"amp": "&", "lt": "<", "gt": ">", "quot": `"`, "apos": "'"}

func reference(s string) (put string, n int) {
	end := strings.IndexByte(s[:min(len(s), 10)], ';')
	if end < 2 {
		return s[:1], 1
	}
	name := s[1:end]
	if put, ok := names[name]; ok {
		return put, end + 1
	}
	if !strings.HasPrefix(name, "#") {
		return s[:1], 1
	}
	base, digits := 10, name[1:]
	if strings.HasPrefix(digits, "x") || strings.HasPrefix(digits, "X") {
		base, digits = 16, digits[1:]
	}
	v, err := strconv.ParseInt(digits, base, 32)
	if err != nil || v <= 0 || v > utf8.MaxRune {
		return s[:1], 1
	}
	return string(rune(v)), end + 1
}

// original returns spans of the decoded text as spans of the original.
func (d decoded) original(found []span) []span {
	for i, at := range found {
		found[i] = span{d.from[at.from].from, d.from[at.to-1].to}
	}
	return found
}

// hide replaces the spans, which may overlap.
func hide(s string, spans []span) string {
	if len(spans) == 0 {
		return s
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	end := 0
	for i := 0; i < len(spans); {
		at := spans[i]
		for i++; i < len(spans) && spans[i].from < at.to; i++ {
			at.to = max(at.to, spans[i].to)
		}
		out.WriteString(s[end:at.from])
		out.WriteString(Mark)
		end = at.to
	}
	out.WriteString(s[end:])
	return out.String()
}
