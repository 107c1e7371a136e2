package json5

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Set returns the text with a value put at a path; it creates missing objects on the way. A position may be one
// past the end of its array. Comments inside a replaced value are removed with it.
func (d *Document) Set(path Path, value any) (string, error) {
	at := d.root
	for i, part := range path {
		k, err := at.find(part)
		if err != nil {
			return "", fmt.Errorf("cannot set %s: %s %w", path, place(path[:i]), err)
		}
		if k < 0 {
			for _, missing := range slices.Backward(path[i+1:]) {
				value = map[string]any{missing: value}
			}
			return d.insert(at, len(at.members), part, value)
		}
		at = at.members[k].value
	}
	text, err := d.encode(value, d.indentAt(at.from))
	return d.text[:at.from] + text + d.text[at.to:], err
}

// Insert returns the text with a value put into an array before one of its elements.
func (d *Document) Insert(path Path, before int, value any) (string, error) {
	at, err := d.node(path)
	if err == nil && !(at.array && before >= 0 && before <= len(at.members)) {
		err = fmt.Errorf("there is no position %d in %s", before, place(path))
	}
	if err != nil {
		return "", fmt.Errorf("cannot insert: %w", err)
	}
	return d.insert(at, before, "", value)
}

// Delete returns the text without a value, its key and its comma. A missing value is no error. Comments around it
// stay.
func (d *Document) Delete(path Path) (string, error) {
	if len(path) == 0 {
		return "", fmt.Errorf("cannot delete the whole document")
	}
	at, err := d.node(path[:len(path)-1])
	if err != nil || at == nil {
		return d.text, err
	}
	text, last := d.text, path[len(path)-1]
	if at.array {
		k, err := at.find(last)
		if err != nil || k < 0 {
			return text, err
		}
		return d.cut(at, k), nil
	}
	for k, m := range slices.Backward(at.members) { // a key may occur twice
		if at.object && m.key == last {
			doc, err := Parse(d.cut(at, k))
			if err != nil {
				return "", fmt.Errorf("cannot delete %s: %w", path, err)
			}
			return doc.Delete(path)
		}
	}
	return text, nil
}

func place(p Path) string {
	if len(p) == 0 {
		return "the document"
	}
	return p.String()
}

// find returns the position of a member: -1 where it could be put, an error where it cannot.
func (n *node) find(part string) (int, error) {
	switch {
	case n.object:
		for i, m := range slices.Backward(n.members) {
			if m.key == part {
				return i, nil
			}
		}
		return -1, nil
	case n.array:
		k, ok := index(part)
		switch {
		case !ok:
			return 0, fmt.Errorf("is a list: %q is no position in it", part)
		case k > len(n.members):
			return 0, fmt.Errorf("has %d elements: there is no position %d", len(n.members), k)
		case k == len(n.members):
			return -1, nil
		}
		return k, nil
	default:
		return 0, fmt.Errorf("is neither an object nor a list")
	}
}

// node returns the value at a path; nil when there is none.
func (d *Document) node(path Path) (*node, error) {
	at := d.root
	for _, part := range path {
		if !at.object && !at.array {
			return nil, nil //nolint:nilnil // nothing is there, which is no error
		}
		k, err := at.find(part)
		if err != nil || k < 0 {
			return nil, nil //nolint:nilerr,nilnil // as above
		}
		at = at.members[k].value
	}
	return at, nil
}

// insert puts a member before the k-th one of a container.
func (d *Document) insert(n *node, k int, key string, value any) (string, error) {
	if k < len(n.members) {
		return d.insertBefore(n, k, value)
	}
	outer := d.indentAt(n.from)
	inner := outer + d.unit()
	from, comma, trailing := n.from+1, -1, ""
	if k > 0 {
		last := n.members[k-1]
		if d.ownLine(last.from) {
			inner = d.indentAt(last.from)
		}
		if from = last.to; last.comma >= 0 {
			from, trailing = last.comma+1, ","
		} else {
			comma = last.to
		}
	}
	at, broken := d.lineEnd(from, n.to-1)
	if k > 0 && !broken {
		inner = d.indentAt(n.members[k-1].from)
	}
	text, err := d.encode(value, inner)
	if err != nil {
		return "", err
	}
	if n.object {
		text = quote(key) + ": " + text
	}
	switch {
	case broken:
		text = d.newline() + inner + text + trailing
	case k > 0:
		text = " " + text + trailing
	default: // {} or { }
		text = d.newline() + inner + text + d.newline() + outer
		if strings.TrimSpace(d.text[at:n.to-1]) == "" {
			return d.text[:at] + text + d.text[n.to-1:], nil
		}
	}
	out := d.text[:at] + text + d.text[at:]
	if comma >= 0 {
		out = d.text[:comma] + "," + d.text[comma:at] + text + d.text[at:]
	}
	return out, nil
}

func (d *Document) insertBefore(n *node, k int, value any) (string, error) {
	next := n.members[k]
	indent := d.indentAt(next.from)
	text, err := d.encode(value, indent)
	sep := ", "
	if d.ownLine(next.from) {
		sep = "," + d.newline() + indent
	}
	return d.text[:next.from] + text + sep + d.text[next.from:], err
}

// cut removes a member. Its line goes with it when nothing else is on it. The last member takes the comma before it
// along, unless it has one of its own: strict JSON stays strict.
func (d *Document) cut(n *node, k int) string {
	m := n.members[k]
	from, to := m.from, m.to
	before, between := d.text[:from], ""
	if m.comma >= 0 {
		between, to = d.text[m.to:m.comma], m.comma+1 // a comment may stand before the comma
	} else if k > 0 {
		c := n.members[k-1].comma
		before = d.text[:c] + d.text[c+1:from]
	}
	before, after := before+strings.TrimSpace(between), d.text[to:]
	if strings.HasPrefix(strings.TrimSpace(between), "//") {
		before += d.newline()
	}
	head := strings.TrimRight(before, " \t")
	tail := strings.TrimLeft(after, " \t")
	switch {
	case (head == "" || strings.HasSuffix(head, "\n")) &&
		(strings.HasPrefix(tail, "\n") || strings.HasPrefix(tail, "\r\n")):
		return head + strings.TrimPrefix(strings.TrimPrefix(tail, "\r"), "\n") // the line is empty now
	case strings.HasPrefix(tail, "\n") || strings.HasPrefix(tail, "\r\n"):
		return head + tail
	case head != before || strings.HasSuffix(head, "\n"):
		return before + tail
	default:
		return before + after
	}
}

// lineEnd returns where the line ends that continues at from, with the comments on it. When limit comes first,
// broken is false, and at is behind the last comment.
func (d *Document) lineEnd(from, limit int) (at int, broken bool) {
	behind := from
	for at = from; at < limit; {
		if c, ok := d.commentFrom(at); ok {
			at, behind = c.to, c.to
			continue
		}
		if d.text[at] == '\n' || strings.HasPrefix(d.text[at:], "\r\n") {
			return at, true
		}
		at++
	}
	return behind, false
}

func (d *Document) commentFrom(at int) (span, bool) {
	for _, c := range d.comments {
		if c.from == at {
			return c, true
		}
	}
	return span{}, false
}

// ownLine reports whether nothing precedes a place on its line.
func (d *Document) ownLine(at int) bool {
	line := d.text[strings.LastIndexByte(d.text[:at], '\n')+1 : at]
	return strings.TrimLeft(line, " \t\ufeff") == "" && strings.Contains(d.text[:at], "\n")
}

// indentAt returns the white space at the beginning of the line of a place.
func (d *Document) indentAt(at int) string {
	line := d.text[strings.LastIndexByte(d.text[:at], '\n')+1 : at]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// unit returns one step of indentation: that of the first member that has a line of its own.
func (d *Document) unit() string {
	for _, m := range d.root.members {
		if d.ownLine(m.from) {
			if u := d.indentAt(m.from); u != "" {
				return u
			}
		}
	}
	return "  "
}

func (d *Document) newline() string {
	if strings.Contains(d.text, "\r\n") {
		return "\r\n"
	}
	return "\n"
}

// encode writes a value as JSON for a line that is indented so far.
func (d *Document) encode(value any, indent string) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(indent, d.unit())
	if err := enc.Encode(value); err != nil {
		return "", fmt.Errorf("cannot write the value: %w", err)
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if nl := d.newline(); nl != "\n" {
		text = strings.ReplaceAll(text, "\n", nl)
	}
	return text, nil
}

func quote(key string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(key); err != nil {
		panic(err) // a string can be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}
