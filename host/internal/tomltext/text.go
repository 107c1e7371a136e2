// Package tomltext reads TOML that people write: it finds the place of each key and collects everything that is
// wrong, with line and advice. It does not know what the keys mean.
package tomltext

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/gatehost/gatehost/internal/redact"
)

// Decode reads a text as TOML; name is the operator's name for the file. The error is a Faults with its line. A text
// beyond the bounds of this package is not parsed.
func Decode(name string, data []byte) (map[string]any, error) {
	if len(data) > MaxBytes {
		return nil, Faults{{File: name, Message: fmt.Sprintf("larger than %d MiB", MaxBytes>>20)}}
	}
	if !utf8.Valid(data) {
		valid := 0
		for valid < len(data) {
			r, n := utf8.DecodeRune(data[valid:])
			if r == utf8.RuneError && n <= 1 {
				break
			}
			valid += n
		}
		return nil, Faults{{File: name, Line: 1 + bytes.Count(data[:valid], []byte{'\n'}), Message: "not valid UTF-8"}}
	}
	text := string(data)
	counted, err := bound(name, text)
	if err != nil {
		return nil, err
	}
	raw := map[string]any{}
	if _, err := toml.Decode(text[:lineEnd(text, counted)], &raw); err != nil {
		f := Fault{File: name, Message: "cannot read as TOML: " + err.Error()}
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			f.Line, f.Col, f.Message = pe.Position.Line, pe.Position.Col, "cannot read as TOML: "+pe.Message
			// the message quotes what it found; this one only names a key
			if !strings.HasPrefix(pe.Message, "Key '") && secretAt(text, pe.Position.Start) {
				f.Message, f.Hint = "cannot read as TOML: the value of a secret is not written as a value of TOML",
					"put it in quotes; it is not shown here"
			}
		}
		return nil, Faults{f}
	}
	if counted < len(text) {
		line := 1 + strings.Count(text[:counted], "\n")
		return nil, Faults{{File: name, Line: line, Message: "cannot read as TOML: expected a key or a table"}}
	}
	return raw, nil
}

// secretAt reports whether what stands at an offset may be the value of a secret: by the names before it in its line,
// and by that of its table.
func secretAt(text string, offset int) bool {
	offset = min(max(offset, 0), len(text))
	start := strings.LastIndexByte(text[:offset], '\n') + 1
	table := ""
	if i := strings.LastIndex(text[:start], "\n["); i >= 0 {
		table = text[i:lineEnd(text, i+1)]
	} else if strings.HasPrefix(text, "[") {
		table = text[:lineEnd(text, 0)]
	}
	return redact.Name(text[start:offset]) || redact.Name(table)
}

// lineEnd returns the end of the line at an offset, and not more than a kilobyte further. What the scan has counted may
// be parsed; the rest of its last line is for the toml package to say what is wrong there.
func lineEnd(text string, offset int) int {
	end := min(offset+1024, len(text))
	if n := strings.IndexByte(text[offset:end], '\n'); n >= 0 {
		return offset + n
	}
	return end
}

// Dotted returns a key as a person would write it.
func Dotted(key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = k
		if k == "" || strings.Trim(k, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			parts[i] = strconv.QuoteToASCII(k)
		}
	}
	return strings.Join(parts, ".")
}

// TypeName returns the type of a decoded value, in words.
func TypeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	default:
		return fmt.Sprintf("a %T", raw)
	}
}
