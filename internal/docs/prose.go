package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxColumns is the width of a line of a document.
const maxColumns = 120

// exceptions are uses of a replaced word that mean something else. Each has its reason.
var exceptions = []struct {
	file, text *regexp.Regexp
	reason     string
}{
	{regexp.MustCompile(`.`), regexp.MustCompile(`\buser = "nobody"|\b[Uu]ser: +"nobody"`), "the Unix account"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`\bin Go by\b`), "the language"},
}

// replaced is a word or phrase that the glossary replaces, in lower case.
type replaced struct {
	word, by string
	parts    []string
}

const replacedTitle = "Words that we do not use"

var (
	replacedRow = regexp.MustCompile(`(?m)^\| ([^|]+) \| ([^|]+) \|`)
	quoted      = regexp.MustCompile("`([^`]+)`")
)

// words are the words that docs/glossary.md replaces: each form is in backquotes, what to write instead in the next
// cell.
func (t *tree) words() []replaced {
	var out []replaced
	for _, row := range replacedRow.FindAllStringSubmatch(under(t.pages[glossaryDoc].raw, replacedTitle), -1) {
		for _, form := range quoted.FindAllStringSubmatch(row[1], -1) {
			out = append(out, replaced{form[1], row[2], strings.Fields(form[1])})
		}
	}
	return out
}

// isProse reports whether words are checked in a file. Generated code has the words of its source.
func isProse(name string) bool {
	return slices.Contains([]string{".go", ".md", ".proto"}, path.Ext(name)) || name == "config.toml.example" ||
		name == "Makefile"
}

func isGenerated(name string) bool {
	return strings.HasPrefix(name, "shared/pb/") || strings.HasPrefix(name, self) ||
		strings.HasPrefix(name, "examples/") && strings.Contains(name, "/proto/")
}

// prose are the uses of replaced words.
func (t *tree) prose() []fault {
	var out []fault
	words := t.words()
	for _, p := range t.inOrder() {
		if !isProse(p.name) || isGenerated(p.name) {
			continue
		}
		text := p.text
		switch p.name {
		case glossaryDoc:
			text = strings.Replace(text, under(text, replacedTitle), blanked(under(text, replacedTitle)), 1)
		case apiDoc: // the comments of shared/control are checked there
			_, types, _ := strings.Cut(text, typesBegin)
			text = strings.Replace(text, types, blanked(types), 1)
		}
		lower := lowered(text)
		for _, w := range words {
			for _, at := range w.in(lower) {
				if !excepted(p.name, lineAround(text, at)) {
					out = append(out, fault{p.name, 1 + strings.Count(text[:at], "\n"), fmt.Sprintf("%q: write %s", w.word, w.by)})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b fault) int {
		if a.file != b.file {
			return strings.Compare(a.file, b.file)
		}
		return a.line - b.line
	})
	return out
}

// in are the offsets where a word occurs as a whole, in lower case; white space of any kind and number separates its
// parts.
func (w replaced) in(text string) []int {
	var out []int
	for at := 0; ; {
		i := strings.Index(text[at:], w.parts[0])
		if i < 0 {
			return out
		}
		begin := at + i
		at = begin + len(w.parts[0])
		if (begin == 0 || !inWord(text[begin-1])) && follows(text[at:], w.parts[1:]) {
			out = append(out, begin)
		}
	}
}

// follows reports whether a word ends here and the parts are next.
func follows(text string, parts []string) bool {
	if text != "" && inWord(text[0]) {
		return false
	}
	if len(parts) == 0 {
		return true
	}
	rest := strings.TrimLeft(text, " \t\r\n")
	return len(rest) < len(text) && strings.HasPrefix(rest, parts[0]) && follows(rest[len(parts[0]):], parts[1:])
}

func inWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf
}

// lowered is a text with small letters; offsets stay, which strings.ToLower does not promise.
func lowered(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// blanked is a text of the same length and lines with nothing in it.
func blanked(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c != '\n' {
			out[i] = ' '
		}
	}
	return string(out)
}

func lineAround(text string, offset int) string {
	begin := strings.LastIndex(text[:offset], "\n") + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	return line
}

func excepted(file, line string) bool {
	for _, e := range exceptions {
		if e.file.MatchString(file) && e.text.MatchString(line) {
			return true
		}
	}
	return false
}

// width are the lines of documents that are too long. Rows of tables, blocks of code and addresses cannot be broken.
func (t *tree) width() []fault {
	var out []fault
	for _, p := range t.inOrder() {
		if path.Ext(p.name) != ".md" && p.name != "config.toml.example" || strings.Contains(p.name, "/testdata/") {
			continue
		}
		fenced := false
		for i, line := range strings.Split(p.raw, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
			}
			free := fenced || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "<!--") || strings.Contains(line, "://")
			if n := utf8.RuneCountInString(line); n > maxColumns && !free {
				out = append(out, fault{p.name, i + 1, fmt.Sprintf("%d columns, %d are the most", n, maxColumns)})
			}
		}
	}
	return out
}
