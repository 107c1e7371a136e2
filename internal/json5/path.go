package json5

import (
	"fmt"
	"strconv"
	"strings"
)

// Path leads to a value: keys of objects, and positions in arrays as decimal numbers. The empty path is the whole
// document.
type Path []string

// ParsePath reads `gateway.auth.mode`, `agents.list[0].id` and `channels["a.b"].x`.
func ParsePath(s string) (Path, error) {
	var out Path
	rest := s
	for first := true; rest != ""; first = false {
		switch {
		case rest[0] == '[':
			part, after, err := bracket(s, rest)
			if err != nil {
				return nil, err
			}
			out, rest = append(out, part), after
			continue
		case rest[0] == '.' && !first:
			rest = rest[1:]
		case !first:
			return nil, fmt.Errorf("cannot read path %q: a dot is missing before %q", s, rest)
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, fmt.Errorf("cannot read path %q: a key is empty", s)
		}
		out, rest = append(out, rest[:end]), rest[end:]
	}
	return out, nil
}

func bracket(all, rest string) (part, after string, err error) {
	bad := func() (string, string, error) {
		return "", "", fmt.Errorf("cannot read path %q: brackets hold a position or a key in quotes", all)
	}
	if strings.HasPrefix(rest, `["`) {
		quoted, err := strconv.QuotedPrefix(rest[1:])
		if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
			return bad()
		}
		key, err := strconv.Unquote(quoted)
		if err != nil {
			return bad()
		}
		return key, rest[len(quoted)+2:], nil
	}
	number, after, ok := strings.Cut(rest[1:], "]")
	if _, isNumber := index(number); !ok || !isNumber {
		return bad()
	}
	return number, after, nil
}

// index reads a position in an array.
func index(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == s
}

// String returns the path in the form that ParsePath reads; it writes positions like keys only where they cannot be
// mistaken.
func (p Path) String() string {
	var b strings.Builder
	for i, part := range p {
		_, number := index(part)
		switch {
		case number:
			b.WriteString("[" + part + "]")
		case part == "" || strings.ContainsAny(part, ".[]\""):
			b.WriteString("[" + strconv.Quote(part) + "]")
		case i > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}
