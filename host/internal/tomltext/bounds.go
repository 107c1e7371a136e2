package tomltext

import "fmt"

// Bounds of a text. The toml package needs memory that grows with the square of the parts of a key, and a stack that
// grows with the nesting: a file of 100 kB could take gigabytes. Faults of such a text are found before it is parsed.
const (
	MaxBytes = 1 << 20 // of a file
	MaxDepth = 64      // parts of a key, with the tables and arrays around it
	MaxParts = 32      // of one dotted key
	MaxKeys  = 20_000  // keys, and elements of arrays
	maxPaths = 16 << 20
)

// count is how far a scan has counted.
type count struct {
	keys  int
	bytes int    // of all keys, each with the tables around it: what the toml package joins and stores
	fault string // the bound that the text exceeds; "" for none
	at    int    // offset of it
}

// add counts a key or an element of an array.
func (s *scanner) add(key []string, offset int) {
	c := s.count
	c.keys++
	for _, part := range key {
		c.bytes += len(part) + 1
	}
	switch {
	case len(key) > MaxDepth:
		s.over(offset, fmt.Sprintf("a key is nested more than %d deep", MaxDepth))
	case c.keys > MaxKeys:
		s.over(offset, fmt.Sprintf("there are more than %d keys and elements", MaxKeys))
	case c.bytes > maxPaths:
		s.over(offset, fmt.Sprintf("all keys together are longer than %d MiB", maxPaths>>20))
	}
}

// over ends the scan; in a scan that counts it notes why.
func (s *scanner) over(offset int, fault string) {
	if c := s.count; c != nil && c.fault == "" {
		c.fault, c.at = fault, offset
	}
	s.i = len(s.text)
}

// bound scans a text once, in linear time, and returns how much of it may be parsed: what it counted. Where that is
// less than the whole, the text is no TOML there.
func bound(name, text string) (counted int, err error) {
	s := &scanner{text: text, count: &count{}, arrays: map[string]int{}}
	s.scan()
	if c := s.count; c.fault != "" {
		at := s.at(c.at)
		return 0, Faults{{
			File: name, Line: at.Line, Col: at.Col, Message: c.fault,
			Hint: "write it with fewer keys, and less deeply nested",
		}}
	}
	return s.i, nil
}
