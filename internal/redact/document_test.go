package redact_test

import (
	"testing"

	"github.com/gatehost/gatehost/internal/redact"
)

// TestDocumentMasksValuesWhereverTheyStand compares whole outputs: what is around a secret must stay as it is.
func TestDocumentMasksValuesWhereverTheyStand(t *testing.T) {
	for name, row := range map[string][2]string{
		"a quoted name outside braces": {`"token": "s3"`, `"token": "[redacted]"`},
		"a space before the colon":     {`{"token" : "s3"}`, `{"token" : "[redacted]"}`},
		"the value on the next line":   {"{\"token\":\n\t\"s3\"}", "{\"token\":\n\t\"[redacted]\"}"},
		"outside braces the next line is not the value": {
			"\"token\":\n\"mode\" \"local\"", "\"token\":\n\"mode\" \"local\"",
		},
		"a word":                    {`{token: abc, mode: local}`, `{token: [redacted], mode: local}`},
		"an escaped quote":          {`{"token": "a\"b", "mode": "x"}`, `{"token": "[redacted]", "mode": "x"}`},
		"cut off after a backslash": {`{"token": "ab\`, `{"token": "[redacted]"`},
		"a template of two lines":   {"{token: `a\nb`, mode: 1}", "{token: `[redacted]`\n, mode: 1}"},
		"a string that is not closed": {
			"{\"token\": \"abc\n, \"mode\": \"x\"}", "{\"token\": \"[redacted]\"\n, \"mode\": \"x\"}",
		},
		"a comment that is not closed": {
			`{"mode": "x" /* it is`, `{"mode": "x" /* it is`,
		},
		"a comment between":    {`{"token": /* "x" */ "s3"}`, `{"token": /* "x" */ "[redacted]"}`},
		"a comment at the end": {`{"mode": "x"} // it is`, `{"mode": "x"} // it is`},
	} {
		if got := redact.Document(row[0]); got != row[1] {
			t.Errorf("%s: %q becomes %q, want %q", name, row[0], got, row[1])
		}
	}
}
