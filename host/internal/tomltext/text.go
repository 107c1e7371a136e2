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
)

// Decode reads a text as TOML; name is the operator's name for the file. The error is a Faults with its line.
func Decode(name string, data []byte) (map[string]any, error) {
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
	raw := map[string]any{}
	if _, err := toml.Decode(string(data), &raw); err != nil {
		f := Fault{File: name, Message: "cannot read as TOML: " + err.Error()}
		if pe, ok := errors.AsType[toml.ParseError](err); ok {
			f.Line, f.Col, f.Message = pe.Position.Line, pe.Position.Col, "cannot read as TOML: "+pe.Message
		}
		return nil, Faults{f}
	}
	return raw, nil
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
