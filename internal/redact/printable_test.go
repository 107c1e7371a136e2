package redact_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehost/gatehost/internal/redact"
)

func TestPrintableRemovesWhatATerminalObeys(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext\nmore":                      "plain\ttext\nmore",
		"\x1b[31mred\x1b[0m":                     "red",
		"\x1b]0;title\x07x":                      "x",
		"\x1b]52;c;aGk=\x1b\\x":                  "x",
		"\x1b]8;;http://e/\x07click\x1b]8;;\x07": "click",
		"\x1bP$q\"p\x1b\\x\x1b(Bx\x1bcx":         "xx\uFFFDcx",
		"\u009b31mx\u009d0;t\u009cx":             "xx",
		"a\x1b[":                                 "a\uFFFD[",
		"a\x1b]0;not closed":                     "a\uFFFD]0;not closed",
		"a\x00b\x08c\x7fd\u0085e":                "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe",
		"over\rwritten\r\nnext":                  "over\uFFFDwritten\nnext",
		"\u202egnp\u202c \u2066x\u2069\u200b":    "gnp x",
		"a\u2028b\u2029c":                        "a\uFFFDb\uFFFDc",
		"\x00":                                   "\uFFFD",
		"\x1b":                                   "\uFFFD",
		"a\U000E0041\U000E007Fb\U000E0100":       "ab\U000E0100", // tags, and a variation of a character
		"\xff\xfe":                               "\uFFFD\uFFFD",
		"\x9b31m":                                "\uFFFD31m",
		"grüße 日本 👩\u200d🔧":                      "grüße 日本 👩\u200d🔧",
	} {
		if got := redact.Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"a\nb\r\nc": "a b c", "a\nb": "a b", "a\tb": "a\tb"} {
		if got := redact.PrintableLine(text); got != want {
			t.Errorf("as one line %q becomes %q, want %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"\x1b[31m", "\x1b]0;\x1b\\", "\u009d", "\r\n", "\u202e", "\xe2\x80"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := redact.PrintableLine(a + b)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return r != '\t' && unicode.IsControl(r) || '\u202a' <= r && r <= '\u202e'
		}) {
			t.Errorf("%q becomes %q", a+b, got)
		}
		if again := redact.PrintableLine(got); again != got {
			t.Errorf("%q becomes %q, then %q", a+b, got, again)
		}
	})
}

func TestWriterMakesRecordsHarmless(t *testing.T) {
	var out bytes.Buffer
	n, err := redact.Writer{W: &out}.Write([]byte("a\x1b[2Jb\x07\n  | x\n"))
	if err != nil || n != 14 || out.String() != "ab\uFFFD\n  | x\n" {
		t.Errorf("%d, %v, %q", n, err, out.String())
	}
}
