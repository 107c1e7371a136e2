package tomltext

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Place is the place of a key; both numbers start at 1.
type Place struct{ Line, Col int }

// Positions maps a key, as joined by Join, to its place. The toml package knows the places but does not export
// them.
type Positions map[string]Place

// Join returns a key in the form that Positions uses.
func Join(key []string) string { return strings.Join(key, "\x00") }

// Of returns the place of a key, or of the nearest table around it.
func (p Positions) Of(key []string) Place {
	for n := len(key); n > 0; n-- {
		if at, ok := p[Join(key[:n])]; ok {
			return at
		}
	}
	return Place{}
}

// Fault returns a fault with the place of a key.
func (p Positions) Fault(file string, key []string, message, hint string) Fault {
	at := p.Of(key)
	return Fault{File: file, Line: at.Line, Col: at.Col, Key: Dotted(key), Message: message, Hint: hint}
}

// FindPositions finds the keys of a text that the toml package has accepted. It is lenient: on any other text it
// ends early, and every iteration of its loops consumes a byte.
func FindPositions(text string) Positions {
	s := &scanner{text: text, found: Positions{}, arrays: map[string]int{}}
	s.scan()
	return s.found
}

// scan follows the text to its end, or to where it is no TOML.
func (s *scanner) scan() {
	if strings.HasPrefix(s.text, byteOrderMark) {
		s.i = len(byteOrderMark)
	}
	var table []string
	for s.space(); s.i < len(s.text); s.space() {
		at := s.i
		if s.text[s.i] != '[' {
			s.pair(table)
		} else {
			table = s.header()
		}
		if s.i == at {
			break
		}
	}
}

// byteOrderMark may begin a file; the toml package skips it, too.
const byteOrderMark = "\ufeff"

type scanner struct {
	text      string
	i         int
	count     *count // of a scan that only counts; nil: the scan finds positions
	depth     int
	line      int // newlines before lineStart
	lineStart int
	counted   int
	found     Positions
	arrays    map[string]int // elements so far of each array of tables
}

func (s *scanner) at(offset int) Place {
	for ; s.counted < offset; s.counted++ {
		if s.text[s.counted] == '\n' {
			s.line++
			s.lineStart = s.counted + 1
		}
	}
	return Place{s.line + 1, offset - s.lineStart + 1}
}

func (s *scanner) record(key []string, offset int) {
	if s.count != nil {
		s.add(key, offset)
		return
	}
	if k := Join(key); s.found[k] == (Place{}) {
		s.found[k] = s.at(offset)
	}
}

// space skips white space, newlines and comments.
func (s *scanner) space() {
	for s.i < len(s.text) {
		switch s.text[s.i] {
		case ' ', '\t', '\r', '\n':
			s.i++
		case '#':
			if end := strings.IndexByte(s.text[s.i:], '\n'); end >= 0 {
				s.i += end
			} else {
				s.i = len(s.text)
			}
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.i < len(s.text) && s.text[s.i] == c {
		s.i++
		return true
	}
	return false
}

// header reads [a.b] or [[a.b]] and returns the path that the following pairs belong to.
func (s *scanner) header() []string {
	s.take('[')
	array := s.take('[')
	s.space()
	at := s.i
	key := s.key()
	s.space()
	s.take(']')
	if array {
		s.take(']')
	}
	var path []string
	for n, part := range key {
		path = append(path, part)
		if !array || n < len(key)-1 {
			s.record(path, at) // [a.b] also creates a
		}
		if count, ok := s.arrays[Join(path)]; ok && n < len(key)-1 {
			path = append(path, strconv.Itoa(count-1))
		}
	}
	if array {
		s.record(path, at)
		count := s.arrays[Join(path)]
		s.arrays[Join(path)] = count + 1
		path = append(path, strconv.Itoa(count))
	}
	if array {
		s.record(path, at)
	}
	return path
}

// pair reads key = value.
func (s *scanner) pair(table []string) {
	at := s.i
	key := s.key()
	path := append(append([]string{}, table...), key...)
	for n := len(table) + 1; n <= len(path); n++ { // a.b = 1 also creates a
		s.record(path[:n], at)
	}
	s.space()
	if s.take('=') {
		s.value(path)
	}
}

// key reads a dotted key; its parts may be bare or quoted.
func (s *scanner) key() []string {
	var parts []string
	start := s.i
	for {
		if s.count != nil && len(parts) >= MaxParts {
			s.over(start, fmt.Sprintf("a key has more than %d parts", MaxParts))
			return parts
		}
		s.space()
		from := s.i
		switch {
		case s.i < len(s.text) && (s.text[s.i] == '"' || s.text[s.i] == '\''):
			s.quoted()
			parts = append(parts, s.unquote(s.text[from:s.i]))
		default:
			for s.i < len(s.text) && !strings.ContainsRune(" \t\r\n.=]#,{}", rune(s.text[s.i])) {
				s.i++
			}
			parts = append(parts, s.text[from:s.i])
		}
		s.space()
		if !s.take('.') {
			return parts
		}
	}
}

func (s *scanner) unquote(q string) string {
	if s.count != nil {
		return q
	}
	var v struct{ V string }
	if _, err := toml.Decode("V = "+q, &v); err != nil {
		return q
	}
	return v.V
}

// quoted skips a string of any of the four kinds.
func (s *scanner) quoted() {
	quote := s.text[s.i : s.i+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.text[s.i:], triple) {
		quote = triple
	}
	s.i += len(quote)
	for s.i < len(s.text) {
		switch {
		case s.text[s.i] == '\\' && quote[0] == '"':
			s.i = min(s.i+2, len(s.text))
		case strings.HasPrefix(s.text[s.i:], quote):
			s.i += len(quote)
			for len(quote) == 3 && s.i < len(s.text) && s.text[s.i] == quote[0] { // """a""" may end in up to five
				s.i++
			}
			return
		default:
			s.i++
		}
	}
}

func (s *scanner) value(path []string) {
	s.space()
	switch {
	case s.i >= len(s.text):
		return
	case s.depth >= MaxDepth:
		s.over(s.i, fmt.Sprintf("arrays and tables are nested more than %d deep", MaxDepth))
		return
	}
	s.depth++
	defer func() { s.depth-- }()
	switch s.text[s.i] {
	case '"', '\'':
		s.quoted()
	case '[':
		s.list(path)
	case '{':
		s.inline(path)
	default:
		for s.i < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.i])) {
			s.i++
		}
	}
}

func (s *scanner) list(path []string) {
	s.i++
	for n := 0; ; n++ {
		s.space()
		if s.i >= len(s.text) || s.take(']') {
			return
		}
		at := s.i
		element := append(append([]string{}, path...), strconv.Itoa(n))
		s.record(element, at)
		s.value(element)
		s.space()
		s.take(',')
		if s.i == at {
			s.i++
		}
	}
}

func (s *scanner) inline(path []string) {
	s.i++
	for {
		s.space()
		if s.i >= len(s.text) || s.take('}') {
			return
		}
		at := s.i
		s.pair(path)
		s.space()
		s.take(',')
		if s.i == at {
			s.i++
		}
	}
}
