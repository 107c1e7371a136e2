package redact

import (
	"regexp"
	"strings"
)

// assignment is `NAME=value` and `name: value` outside of JSON.
var assignment = regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:` + words + `|` + headers + `)[A-Za-z0-9_.-]*\s*[=:]\s*)` +
	`("[^"]*"?|'[^']*'?|[^\s,}\]]+)`)

// Document hides every value under a secret's name in JSON or JSON5 text, whether it parses or not, and keeps the
// number of lines. What looks like neither is searched for assignments. Values with the shape of a secret are hidden
// everywhere.
func Document(text string) string {
	m := masker{in: pem(text)}
	m.run()
	return marked(m.out.String(), func(s string, found uint8) string {
		if found&shaped != 0 {
			s = shapeText(s)
		}
		if found&naming != 0 {
			s = assignments(s)
		}
		return s
	})
}

// marked calls hide for the parts of a text that contain marks: of a document of megabytes these are few lines, and
// the patterns are slow. A part goes on with the next line that is not blank, where the value may stand.
func marked(text string, hide func(part string, found uint8) string) string {
	var out strings.Builder
	from, found := 0, uint8(0) // the part that is open; without marks it is one that has no line yet
	for at := 0; at < len(text); {
		end := len(text)
		if n := strings.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		line := text[at:end]
		here := marks.groups(line)
		found |= here
		at = end
		switch {
		case found == 0:
			out.WriteString(line)
			from = end
		case here == 0 && strings.TrimSpace(line) != "" || end == len(text):
			out.WriteString(hide(text[from:end], found))
			from, found = end, 0
		}
	}
	return out.String()
}

func assignments(text string) string {
	return assignment.ReplaceAllStringFunc(text, func(s string) string {
		at := assignment.FindStringSubmatchIndex(s)
		value := s[at[4]:at[5]]
		if strings.HasPrefix(strings.Trim(value, "\"'`"), "[redacted") || value == "[" || value == "{" ||
			Harmless(nameOf(s[at[2]:at[3]]), value) {
			return s
		}
		return s[:at[4]] + Mark
	})
}

// nameOf returns the name in the first half of an assignment.
func nameOf(s string) string { return strings.TrimRight(s, " \t\r\n=:") }

// masker reads JSON5 without relying on its syntax: a text that was cut off, or has a brace too many, is masked as
// far as it makes sense, rather too much than too little.
type masker struct {
	in    string
	at    int
	out   strings.Builder
	stack []level
}

// level is an object or array that is open.
type level struct {
	object bool
	secret bool   // all of its values are
	key    string // the last key seen
	value  bool   // a colon came: what follows is the key's value
}

func (m *masker) run() {
	m.stack = []level{{object: true}}
	for m.at < len(m.in) {
		switch c := m.in[m.at]; {
		case c == '"' || c == '\'' || c == '`':
			m.token(m.quoted(c), true)
		case strings.HasPrefix(m.in[m.at:], "//"):
			m.copy(m.until("\n", 0))
		case strings.HasPrefix(m.in[m.at:], "/*"):
			m.copy(m.until("*/", 2))
		case c == '{' || c == '[':
			top := m.top()
			m.stack = append(m.stack, level{object: c == '{', secret: m.isSecret(*top)})
			top.value = false
			m.copy(1)
		case c == '}' || c == ']':
			if len(m.stack) > 1 {
				m.stack = m.stack[:len(m.stack)-1]
			}
			m.copy(1)
		case c == ':' || c == '=':
			m.top().value = true
			m.copy(1)
		case c == ',' || c == '\n' && len(m.stack) == 1: // outside braces a line ends what began in it
			m.top().value = false
			m.copy(1)
		case c <= ' ':
			m.copy(1)
		default:
			m.token(m.bare(), false)
		}
	}
}

func (m *masker) top() *level { return &m.stack[len(m.stack)-1] }

func (m *masker) copy(n int) {
	m.out.WriteString(m.in[m.at : m.at+n])
	m.at += n
}

// token is a key or a value.
func (m *masker) token(n int, quoted bool) {
	top := m.top()
	text := m.in[m.at : m.at+n]
	if top.object && !top.value {
		top.key = strings.Trim(text, "\"'`")
		m.copy(n)
		return
	}
	if !m.isSecret(*top) || Harmless(top.key, text) {
		m.copy(n)
		return
	}
	if quoted {
		m.out.WriteString(text[:1] + Mark + text[:1])
	} else {
		m.out.WriteString(Mark)
	}
	m.out.WriteString(strings.Repeat("\n", strings.Count(text, "\n")))
	m.at += n
}

func (m *masker) isSecret(l level) bool {
	return l.secret || l.object && l.value && Name(l.key)
}

// quoted returns the length of a string; without its end it goes to the end of the line.
func (m *masker) quoted(quote byte) int {
	for i := m.at + 1; i < len(m.in); i++ {
		switch c := m.in[i]; {
		case c == '\\':
			i++
		case c == quote:
			return i + 1 - m.at
		case c == '\n' && quote != '`':
			return i - m.at
		}
	}
	return len(m.in) - m.at
}

// bare returns the length of a word, which is not empty: run has a case for each byte that ends one.
func (m *masker) bare() int {
	n := strings.IndexAny(m.in[m.at:], " \t\r\n,:={}[]\"'`")
	if n < 0 {
		return len(m.in) - m.at
	}
	return n
}

func (m *masker) until(end string, more int) int {
	n := strings.Index(m.in[m.at:], end)
	if n < 0 {
		return len(m.in) - m.at
	}
	return n + more
}
