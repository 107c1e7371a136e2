package gatewaytest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// json5 reads what openclaw.json may be: JSON with comments, trailing commas, single quotes and bare keys. It remembers on which
// line each key stands, since the gateway's messages name it.
type json5 struct {
	src   string
	pos   int
	depth int
	lines map[string]int
}

// parse5 returns the value and the line of each key by its dotted path.
func parse5(src string) (value any, lines map[string]int, err error) {
	p := &json5{src: src, lines: map[string]int{}}
	v, err := p.value("")
	if err == nil {
		if p.space(); p.pos < len(p.src) {
			err = p.unexpected()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("SyntaxError: JSON5: %w", err)
	}
	return v, p.lines, nil
}

func (p *json5) unexpected() error {
	line := 1 + strings.Count(p.src[:p.pos], "\n")
	column := 1 + utf8.RuneCountInString(p.src[strings.LastIndex(p.src[:p.pos], "\n")+1:p.pos])
	if p.pos >= len(p.src) {
		return fmt.Errorf("invalid end of input at %d:%d", line, column)
	}
	r, _ := utf8.DecodeRuneInString(p.src[p.pos:])
	return fmt.Errorf("invalid character '%c' at %d:%d", r, line, column)
}

func (p *json5) space() {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case unicode.IsSpace(r) || r == '\ufeff':
			p.pos += n
		case strings.HasPrefix(rest, "//"):
			p.skipTo("\n")
		case strings.HasPrefix(rest, "/*"):
			p.skipTo("*/")
		default:
			return
		}
	}
}

func (p *json5) skipTo(mark string) {
	if i := strings.Index(p.src[p.pos+2:], mark); i >= 0 {
		p.pos += 2 + i + len(mark)
		return
	}
	p.pos = len(p.src)
}

func (p *json5) peek() byte {
	p.space()
	if p.pos >= len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

func (p *json5) value(path string) (any, error) {
	if p.depth++; p.depth > 100 {
		return nil, fmt.Errorf("too deep")
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case c == '{':
		return p.object(path)
	case c == '[':
		return p.array(path)
	case c == '"' || c == '\'':
		return p.text()
	default:
		return p.word()
	}
}

func (p *json5) object(path string) (any, error) {
	out := map[string]any{}
	p.pos++
	for {
		c := p.peek()
		if c == '}' {
			p.pos++
			return out, nil
		}
		line := 1 + strings.Count(p.src[:p.pos], "\n")
		key, err := p.key(c)
		if err != nil {
			return nil, err
		}
		if p.peek() != ':' {
			return nil, p.unexpected()
		}
		p.pos++
		full := join(path, key)
		p.lines[full] = line
		if out[key], err = p.value(full); err != nil {
			return nil, err
		}
		if more, err := p.next('}'); err != nil || !more {
			return out, err
		}
	}
}

func (p *json5) array(path string) (any, error) {
	out := []any{}
	p.pos++
	for {
		if p.peek() == ']' {
			p.pos++
			return out, nil
		}
		v, err := p.value(join(path, strconv.Itoa(len(out))))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if more, err := p.next(']'); err != nil || !more {
			return out, err
		}
	}
}

// next takes a comma or the end.
func (p *json5) next(end byte) (more bool, err error) {
	switch p.peek() {
	case ',':
		p.pos++
		return true, nil
	case end:
		p.pos++
		return false, nil
	default:
		return false, p.unexpected()
	}
}

func (p *json5) key(c byte) (string, error) {
	if c == '"' || c == '\'' {
		s, err := p.text()
		text, _ := s.(string)
		return text, err
	}
	start := p.pos
	for p.pos < len(p.src) {
		r, n := utf8.DecodeRuneInString(p.src[p.pos:])
		if r != '_' && r != '$' && !unicode.IsLetter(r) && (p.pos == start || !unicode.IsDigit(r)) {
			break
		}
		p.pos += n
	}
	if p.pos == start {
		return "", p.unexpected()
	}
	return p.src[start:p.pos], nil
}

func (p *json5) text() (any, error) {
	quote := p.src[p.pos]
	p.pos++
	var b strings.Builder
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		switch c {
		case quote:
			p.pos++
			return b.String(), nil
		case '\n':
			return nil, p.unexpected()
		case '\\':
			if err := p.escape(&b); err != nil {
				return nil, err
			}
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return nil, p.unexpected()
}

func (p *json5) escape(b *strings.Builder) error {
	p.pos++
	if p.pos >= len(p.src) {
		return p.unexpected()
	}
	c := p.src[p.pos]
	p.pos++
	if i := strings.IndexByte("nrtbfv0", c); i >= 0 {
		b.WriteByte("\n\r\t\b\f\v\x00"[i])
		return nil
	}
	if c != 'u' {
		if c != '\n' {
			b.WriteByte(c)
		}
		return nil
	}
	if p.pos+4 > len(p.src) {
		p.pos = len(p.src)
		return p.unexpected()
	}
	n, err := strconv.ParseUint(p.src[p.pos:p.pos+4], 16, 16)
	if err != nil {
		return p.unexpected()
	}
	b.WriteRune(rune(n))
	p.pos += 4
	return nil
}

func (p *json5) word() (any, error) {
	start := p.pos
	for p.pos < len(p.src) && !strings.ContainsRune(" \t\r\n,]}:/", rune(p.src[p.pos])) {
		p.pos++
	}
	word := p.src[start:p.pos]
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil //nolint:nilnil // null is a value
	}
	if n, err := strconv.ParseFloat(word, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseInt(word, 0, 64); err == nil {
		return float64(n), nil
	}
	p.pos = start
	return nil, p.unexpected()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
