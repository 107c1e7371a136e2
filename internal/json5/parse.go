// Package json5 reads JSON5 and changes single values in its text: comments, quotes, order and indentation of
// everything else stay as their author made them. It does not know what a key means.
package json5

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds nesting: the parser recurses.
const maxDepth = 200

// SyntaxError is where a text stops being JSON5. Line and Column count from 1, the column in characters.
type SyntaxError struct {
	Line, Column int
	Found        rune // the character at that place; 0 at the end of the text
	Text         string
}

// Error returns "line 3, column 7: unexpected '}'"; it never quotes more than one character, since a configuration
// holds secrets.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// Document is a parsed text.
type Document struct {
	text     string
	root     *node
	comments []span
}

type span struct{ from, to int }

// node is a value and where it stands.
type node struct {
	span
	value   any // of a scalar: nil, bool, string, json.Number, float64 (only what is not finite)
	object  bool
	array   bool
	members []member // of objects and arrays
}

// member is one entry of an object, or of an array (without a key).
type member struct {
	span  // from the key to the end of the value
	key   string
	value *node
	comma int // where the comma behind it stands; -1: there is none
}

// Parse reads a text. A byte order mark is skipped. Errors: *SyntaxError.
func Parse(text string) (*Document, error) {
	if !utf8.ValidString(text) {
		return nil, &SyntaxError{Line: 1, Column: 1, Text: "the text is not UTF-8"}
	}
	p := &parser{text: text}
	root, err := p.value(0)
	if err == nil {
		if err = p.space(); err == nil && p.at < len(text) {
			err = p.unexpected()
		}
	}
	if err != nil {
		return nil, err
	}
	return &Document{text: text, root: root, comments: p.comments}, nil
}

// Text returns the parsed text.
func (d *Document) Text() string { return d.text }

// Comments returns the comments, in their order, with their marks.
func (d *Document) Comments() []string {
	var out []string
	for _, c := range d.comments {
		out = append(out, strings.TrimRight(d.text[c.from:c.to], "\r\n"))
	}
	return out
}

// Value returns the document as encoding/json would decode it with UseNumber: nil, bool, string, json.Number,
// []any, map[string]any; the caller owns all of them. When a key occurs twice the last one counts. Infinity and NaN
// are float64.
func (d *Document) Value() any { return d.root.decode() }

// Keys yields the path of each key of each object and the line on which the key stands, counted from 1, in the order
// of the text.
func (d *Document) Keys() iter.Seq2[Path, int] {
	return func(yield func(Path, int) bool) {
		line, at := 1, 0
		d.root.keys(nil, func(path Path, from int) bool {
			line, at = line+strings.Count(d.text[at:from], "\n"), from
			return yield(path, line)
		})
	}
}

// keys yields the keys below n with their offsets. It returns false when the caller wants no more.
func (n *node) keys(at Path, yield func(Path, int) bool) bool {
	for i, m := range n.members {
		part := m.key
		if n.array {
			part = strconv.Itoa(i)
		}
		path := append(slices.Clone(at), part)
		if n.object && !yield(path, m.from) || !m.value.keys(path, yield) {
			return false
		}
	}
	return true
}

func (n *node) decode() any {
	switch {
	case n.object:
		out := make(map[string]any, len(n.members))
		for _, m := range n.members {
			out[m.key] = m.value.decode()
		}
		return out
	case n.array:
		out := make([]any, 0, len(n.members))
		for _, m := range n.members {
			out = append(out, m.value.decode())
		}
		return out
	default:
		return n.value
	}
}

type parser struct {
	text     string
	at       int
	comments []span
}

func (p *parser) fail(text string) error {
	line := 1 + strings.Count(p.text[:p.at], "\n")
	column := 1 + utf8.RuneCountInString(p.text[strings.LastIndexByte(p.text[:p.at], '\n')+1:p.at])
	found, n := utf8.DecodeRuneInString(p.text[p.at:])
	if n == 0 {
		found = 0
	}
	return &SyntaxError{Line: line, Column: column, Found: found, Text: text}
}

func (p *parser) unexpected() error {
	if p.at >= len(p.text) {
		return p.fail("the text ends too early")
	}
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	return p.fail("unexpected " + strconv.QuoteRune(r))
}

// isSpace reports whether r is white space of JSON5, line ends included.
func isSpace(r rune) bool {
	return r == '\ufeff' || r == '\u2028' || r == '\u2029' || r != '\u0085' && unicode.IsSpace(r)
}

func isLineEnd(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' }

// space skips white space and remembers comments.
func (p *parser) space() error {
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case isSpace(r):
			p.at += n
		case strings.HasPrefix(rest, "//"):
			end := strings.IndexFunc(rest, isLineEnd)
			if end < 0 {
				end = len(rest)
			}
			p.comments = append(p.comments, span{p.at, p.at + end})
			p.at += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				p.at = len(p.text)
				return p.fail("a comment has no end")
			}
			p.comments = append(p.comments, span{p.at, p.at + end + 4})
			p.at += end + 4
		default:
			return nil
		}
	}
	return nil
}

// peek skips to the next token; 0 is the end of the text.
func (p *parser) peek() (byte, error) {
	if err := p.space(); err != nil || p.at >= len(p.text) {
		return 0, err
	}
	return p.text[p.at], nil
}

func (p *parser) value(depth int) (*node, error) {
	c, err := p.peek()
	switch {
	case err != nil:
		return nil, err
	case depth > maxDepth:
		return nil, p.fail(fmt.Sprintf("nested deeper than %d", maxDepth))
	case c == '{' || c == '[':
		return p.container(depth)
	}
	n := &node{span: span{from: p.at}}
	if c == '"' || c == '\'' {
		n.value, err = p.quoted()
	} else {
		n.value, err = p.word()
	}
	n.to = p.at
	return n, err
}

func (p *parser) container(depth int) (*node, error) {
	n := &node{span: span{from: p.at}, object: p.text[p.at] == '{', array: p.text[p.at] == '['}
	closing := p.text[p.at] + 2 // } and ] stand two behind { and [
	p.at++
	for {
		c, err := p.peek()
		if err != nil {
			return nil, err
		}
		if c == closing {
			p.at++
			n.to = p.at
			return n, nil
		}
		if k := len(n.members); k > 0 && n.members[k-1].comma < 0 {
			return nil, p.unexpected()
		}
		m, err := p.member(n.object, depth)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, m)
	}
}

func (p *parser) member(keyed bool, depth int) (member, error) {
	m := member{span: span{from: p.at}, comma: -1}
	var err error
	if keyed {
		if m.key, err = p.key(); err != nil {
			return m, err
		}
		if c, err := p.peek(); err != nil || c != ':' {
			return m, orElse(err, p.unexpected)
		}
		p.at++
	}
	if m.value, err = p.value(depth + 1); err != nil {
		return m, err
	}
	m.to = p.at
	c, err := p.peek()
	if err == nil && c == ',' {
		m.comma = p.at
		p.at++
	}
	return m, err
}

func orElse(err error, other func() error) error {
	if err != nil {
		return err
	}
	return other()
}

func (p *parser) key() (string, error) {
	if p.at < len(p.text) && (p.text[p.at] == '"' || p.text[p.at] == '\'') {
		return p.quoted()
	}
	var b strings.Builder
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if r == '\\' {
			at := p.at
			if !strings.HasPrefix(p.text[at:], `\u`) {
				return "", p.unexpected()
			}
			p.at += 2
			unit, err := p.hex(4)
			if err != nil {
				return "", err
			}
			if r = unit; !isNamePart(r, b.Len() == 0) {
				p.at = at
				return "", p.unexpected()
			}
			b.WriteRune(r)
			continue
		}
		if !isNamePart(r, b.Len() == 0) {
			break
		}
		b.WriteRune(r)
		p.at += n
	}
	if b.Len() == 0 {
		return "", p.unexpected()
	}
	return b.String(), nil
}

// isNamePart follows IdentifierName of ECMAScript 5.1.
func isNamePart(r rune, first bool) bool {
	if r == '_' || r == '$' || unicode.IsLetter(r) || unicode.Is(unicode.Nl, r) {
		return true
	}
	return !first && (unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc) || r == '\u200c' || r == '\u200d')
}

func (p *parser) quoted() (string, error) {
	quote := rune(p.text[p.at])
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		switch {
		case r == quote:
			p.at += n
			return b.String(), nil
		case r == '\n' || r == '\r':
			return "", p.fail("a text has no end")
		case r == '\\':
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteRune(r)
			p.at += n
		}
	}
	return "", p.fail("a text has no end")
}

func (p *parser) escape(b *strings.Builder) error {
	p.at++
	r, n := utf8.DecodeRuneInString(p.text[p.at:])
	if n == 0 {
		return p.fail("a text has no end")
	}
	p.at += n
	switch {
	case r == 'x' || r == 'u':
		unit, err := p.hex(map[rune]int{'x': 2, 'u': 4}[r])
		if err != nil {
			return err
		}
		p.surrogate(b, unit)
	case r == '\r':
		p.at += len(p.text[p.at:]) - len(strings.TrimPrefix(p.text[p.at:], "\n")) // \r\n is one line end
	case isLineEnd(r): // a text continues on the next line
	case r == '0' && (p.at >= len(p.text) || p.text[p.at] < '0' || p.text[p.at] > '9'):
		b.WriteByte(0)
	case r >= '0' && r <= '9':
		p.at -= n
		return p.unexpected()
	default:
		if i := strings.IndexRune("nrtbfv", r); i >= 0 {
			r = rune("\n\r\t\b\f\v"[i])
		}
		b.WriteRune(r)
	}
	return nil
}

// surrogate writes a UTF-16 unit, together with the second half of a pair when that follows.
func (p *parser) surrogate(b *strings.Builder, unit rune) {
	if unit >= 0xd800 && unit < 0xdc00 && strings.HasPrefix(p.text[p.at:], `\u`) {
		at := p.at
		p.at += 2
		if low, err := p.hex(4); err == nil && low >= 0xdc00 && low < 0xe000 {
			b.WriteRune((unit-0xd800)<<10 + low - 0xdc00 + 0x10000)
			return
		}
		p.at = at
	}
	b.WriteRune(unit) // half a pair becomes U+FFFD, as in encoding/json
}

func (p *parser) hex(digits int) (rune, error) {
	if p.at+digits > len(p.text) {
		p.at = len(p.text)
		return 0, p.unexpected()
	}
	n, err := strconv.ParseInt(p.text[p.at:p.at+digits], 16, 32)
	if err != nil || n < 0 || p.text[p.at] == '+' {
		return 0, p.fail("an escape needs hexadecimal digits")
	}
	p.at += digits
	return rune(n), nil
}

func (p *parser) word() (any, error) {
	rest := p.text[p.at:]
	end := strings.IndexFunc(rest, func(r rune) bool { return isSpace(r) || strings.ContainsRune(",:{}[]/\"'", r) })
	if end < 0 {
		end = len(rest)
	}
	word := rest[:end]
	v, ok := scalar(word)
	if !ok {
		return nil, p.unexpected()
	}
	p.at += end
	return v, nil
}

func scalar(word string) (any, bool) {
	switch word {
	case "true":
		return true, true
	case "false":
		return false, true
	case "null":
		return nil, true
	}
	digits, negative := strings.TrimPrefix(word, "+"), false
	if digits == word {
		digits = strings.TrimPrefix(word, "-")
		negative = digits != word
	}
	switch {
	case digits == "Infinity" && negative:
		return math.Inf(-1), true
	case digits == "Infinity":
		return math.Inf(1), true
	case digits == "NaN":
		return math.NaN(), true
	case len(digits) > 2 && (strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X")):
		n, ok := new(big.Int).SetString(digits[2:], 16)
		if !ok || strings.ContainsAny(digits[2:], "+-_") {
			return nil, false
		}
		if negative {
			n.Neg(n)
		}
		return json.Number(n.String()), true
	default:
		return decimal(digits, negative)
	}
}

// decimal writes .5, 5. and 5.e3 as JSON does.
func decimal(digits string, negative bool) (any, bool) {
	mantissa, exponent := digits, ""
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		mantissa, exponent = digits[:i], digits[i:]
	}
	whole, fraction, dotted := strings.Cut(mantissa, ".")
	switch {
	case whole == "" && fraction == "":
		return nil, false
	case whole == "":
		whole = "0"
	}
	if dotted && fraction != "" {
		whole += "." + fraction
	}
	if negative {
		whole = "-" + whole
	}
	n := whole + exponent
	if !json.Valid([]byte(n)) {
		return nil, false
	}
	return json.Number(n), true
}
