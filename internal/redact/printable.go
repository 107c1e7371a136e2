package redact

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// replacement stands for a character that must not reach a terminal.
const replacement = utf8.RuneError

// Printable makes foreign text harmless on a terminal and in a log. Escape sequences and invisible characters are
// removed, every other control character and invalid UTF-8 becomes U+FFFD. Line feeds and tabs stay; a carriage return
// before a line feed is removed.
func Printable(s string) string {
	if harmless(s) {
		return s
	}
	return printable(s, true)
}

// PrintableLine is Printable for places with room for one line: line feeds become spaces.
func PrintableLine(s string) string {
	if harmless(s) && !strings.Contains(s, "\n") {
		return s
	}
	return printable(s, false)
}

// harmless reports whether s is ASCII text without control characters other than line feed and tab.
func harmless(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 0x7f || c < ' ' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

func printable(s string, lines bool) string {
	var out strings.Builder
	out.Grow(len(s))
	for i := 0; i < len(s); {
		if n := sequence(s[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n' && lines, r == '\t':
			out.WriteRune(r)
		case r == '\n':
			out.WriteByte(' ')
		case r == '\r' && strings.HasPrefix(s[i+1:], "\n"), invisible(r):
		case r == '\u2028', r == '\u2029', unicode.IsControl(r), r == utf8.RuneError:
			out.WriteRune(replacement)
		default:
			out.WriteRune(r)
		}
		i += size
	}
	return out.String()
}

// invisible reports whether a character changes the direction of text or cannot be seen; both can hide what a line
// says. The joiners U+200C and U+200D stay, because scripts and emoji need them.
func invisible(r rune) bool {
	switch {
	case r == '\u00ad', r == '\u061c', r == '\u180e', r == '\u200b', r == '\ufeff', '\u200e' <= r && r <= '\u200f',
		'\u202a' <= r && r <= '\u202e', '\u2060' <= r && r <= '\u206f', '\ufff9' <= r && r <= '\ufffb',
		0xe0000 <= r && r <= 0xe007f:
		return true
	}
	return false
}

// maxSequence bounds an escape sequence, in bytes. A longer one is not removed whole: its introducer becomes U+FFFD,
// and its content is shown as text.
const maxSequence = 4096

// sequence returns the length of the complete escape sequence (ECMA-48) at the beginning of s; 0 when there is none.
func sequence(s string) int {
	kind, n := introducer(s)
	if n == 0 {
		return 0
	}
	rest := s[n:min(len(s), n+maxSequence)]
	switch kind {
	case '[': // CSI: parameters, intermediates, a final byte
		for i := range len(rest) {
			if c := rest[i]; 0x40 <= c && c <= 0x7e {
				return n + i + 1
			} else if c < ' ' || c > 0x7e {
				return 0
			}
		}
	case ']', 'P', 'X', '^', '_': // a string that ends by ST, and by BEL in xterm
		for i := range len(rest) {
			switch {
			case rest[i] == '\n':
				return 0
			case rest[i] == '\a':
				return n + i + 1
			case strings.HasPrefix(rest[i:], "\x1b\\"), strings.HasPrefix(rest[i:], "\u009c"):
				return n + i + 2
			}
		}
	default: // intermediates and a final byte; without intermediates the byte is kept, because it may be text
		for i := range len(rest) {
			switch c := rest[i]; {
			case 0x30 <= c && c <= 0x7e && i > 0:
				return n + i + 1
			case c < ' ' || c > '/':
				return 0
			}
		}
	}
	return 0
}

// introducer returns the kind of the escape sequence at the beginning of s, as the byte after ESC, and the length of
// its introducer; the length 0 when there is none.
func introducer(s string) (kind byte, n int) {
	if strings.HasPrefix(s, "\x1b") {
		if len(s) > 1 && strings.IndexByte("[]PX^_", s[1]) >= 0 {
			return s[1], 2
		}
		return 0, 1
	}
	if len(s) > 1 && s[0] == 0xc2 { // C1 in UTF-8: U+0080 is ESC @, U+009F is ESC _
		if k := s[1] - 0x40; strings.IndexByte("[]PX^_", k) >= 0 && 0x80 <= s[1] && s[1] <= 0x9f {
			return k, 2
		}
	}
	return 0, 0
}

// Writer makes everything that is written to it harmless for a terminal. It expects one record in each Write, as hclog
// does. It returns the errors of W.
type Writer struct{ W io.Writer }

// Write implements io.Writer.
func (w Writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.W, Printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
