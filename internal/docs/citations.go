package docs

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

const (
	behaviourDoc    = "docs/behaviour.md"
	architectureDoc = "docs/architecture.md"
	glossaryDoc     = "docs/glossary.md"
	apiDoc          = "docs/reference/api.md"
	adrDir          = "docs/adr"
	self            = "internal/docs/" // the names of what is outside, and planted faults, are in its source
	plantedRows     = "internal/behaviour/behaviour_test.go"
)

// outside are names of documents that are not in the repository, and words that pointed to them. A name of a .md file
// needs no entry: it must exist.
var outside = []*regexp.Regexp{
	regexp.MustCompile(`gateway-facts`),
	regexp.MustCompile(`\binterface docs\b`),
	regexp.MustCompile(`\b[Dd]esign (?:§|[Ss]ection )`),
	regexp.MustCompile(`\binvariants?(?: \d+)? of the design\b`),
	regexp.MustCompile(`\b[Rr]eview R\d`),
	regexp.MustCompile(`(?:^|[\s"'(])/work/\w`),
}

var (
	rowCite       = regexp.MustCompile(`\b[BT]\d{3}\b`)
	findingCite   = regexp.MustCompile(`\bR\d{1,2}\b`)
	invariantCite = regexp.MustCompile(`\b[Ii]nvariants? (\d+(?:(?:, and |, | and | to )\d+)*)`)
	adrCite       = regexp.MustCompile(`\bADRs? (\d{1,4}(?:(?:, and |, | and | to )\d{1,4})*)\b|\bdocs/adr/(\d{4})\b`)
	docCite       = regexp.MustCompile(`§ ?(\d+)|((?:\.\./)*(?:[\w.-]+/)*[\w.-]+\.md)\b(?:#([\w-]+))?`)
	link          = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	number        = regexp.MustCompile(`\d+`)

	rowDef     = regexp.MustCompile(`(?m)^\| ([BT]\d{3}) \|`)
	findingDef = regexp.MustCompile(`(?m)^\| (R\d+) \|`)
	listItem   = regexp.MustCompile(`(?m)^(\d+)\. `)
	named      = regexp.MustCompile(`<a (?:id|name)="([^"]+)">`)
	heading    = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	section    = regexp.MustCompile(`(?m)^## (\d+)\. `)
	adrFile    = regexp.MustCompile(`^docs/adr/(\d{4})-[\w-]+\.md$`)
)

// index is what can be cited.
type index struct {
	rows, findings, invariants map[string]bool
	adrs                       map[string]string          // number to file
	sections, anchors          map[string]map[string]bool // of each document
}

func (t *tree) index() index {
	x := index{
		rows: all(rowDef, t.pages[behaviourDoc].raw), findings: all(findingDef, t.pages[architectureDoc].raw),
		invariants: all(listItem, under(t.pages[architectureDoc].raw, "Invariants")),
		adrs:       map[string]string{}, sections: map[string]map[string]bool{}, anchors: map[string]map[string]bool{},
	}
	for name, p := range t.pages {
		if m := adrFile.FindStringSubmatch(name); m != nil {
			x.adrs[m[1]] = name
		}
		if strings.HasSuffix(name, ".md") {
			x.sections[name] = all(section, p.raw)
			x.anchors[name] = anchorsOf(p.raw)
		}
	}
	return x
}

func all(re *regexp.Regexp, text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// under is the text of the section with this heading of the second level.
func under(text, title string) string {
	_, rest, _ := strings.Cut(text, "\n## "+title+"\n")
	body, _, _ := strings.Cut(rest, "\n## ")
	return "\n" + body
}

// anchorsOf are the anchors that a renderer makes of the headings.
func anchorsOf(text string) map[string]bool {
	out := all(named, text)
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		out[anchor(m[1])] = true
	}
	return out
}

func anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// citations are the citations that do not resolve.
func (t *tree) citations() []fault {
	x := t.index()
	var out []fault
	for _, p := range t.inOrder() {
		if strings.HasPrefix(p.name, self) || p.name == plantedRows {
			continue
		}
		d := documents{t: t, x: x, page: p}
		for _, l := range p.lines {
			report := func(format string, args ...any) {
				out = append(out, fault{p.name, l.number, fmt.Sprintf(format, args...)})
			}
			for _, re := range outside {
				for _, m := range re.FindAllString(l.text, -1) {
					report("%q names a document outside of the repository", strings.TrimSpace(m))
				}
			}
			if strings.ContainsAny(l.text, "0123456789") {
				x.numbers(l.text, report)
			}
			d.line(l, report)
		}
	}
	return append(out, t.indexOfDecisions(x)...)
}

// numbers are rows, findings, invariants and decisions.
func (x index) numbers(text string, report func(string, ...any)) {
	for _, id := range rowCite.FindAllString(text, -1) {
		if !x.rows[id] {
			report("%s is not in %s", id, behaviourDoc)
		}
	}
	for _, id := range findingCite.FindAllString(text, -1) {
		if !x.findings[id] {
			report("%s is not in %s", id, architectureDoc)
		}
	}
	for _, m := range invariantCite.FindAllStringSubmatch(text, -1) {
		for _, n := range number.FindAllString(m[1], -1) {
			if !x.invariants[n] {
				report("invariant %s is not in %s", n, architectureDoc)
			}
		}
	}
	for _, m := range adrCite.FindAllString(text, -1) {
		for _, n := range number.FindAllString(m, -1) {
			if v, _ := strconv.Atoi(n); x.adrs[fmt.Sprintf("%04d", v)] == "" {
				report("there is no ADR %s", n)
			}
		}
	}
}

// documents checks names of .md files, their anchors, and sections. A § belongs to the document that was named last; in
// a document to that of its paragraph, else to itself.
type documents struct {
	t         *tree
	x         index
	page      page
	last      string
	paragraph int
}

func (d *documents) line(l line, report func(string, ...any)) {
	if strings.HasSuffix(d.page.name, ".md") {
		if l.paragraph != d.paragraph || d.last == "" {
			d.last, d.paragraph = d.page.name, l.paragraph
		}
		d.links(l.text, report)
	}
	if !strings.Contains(l.text, ".md") && !strings.Contains(l.text, "§") {
		return
	}
	for _, m := range docCite.FindAllStringSubmatchIndex(l.text, -1) {
		if m[2] >= 0 {
			d.section(l.text[m[2]:m[3]], report)
			continue
		}
		if before := l.text[:m[0]]; before != "" && strings.Contains("/*$", before[len(before)-1:]) { // elsewhere; a pattern
			continue
		}
		name := l.text[m[4]:m[5]]
		doc, ok := d.t.document(d.page.name, name)
		if !ok {
			report("there is no document %s", name)
			continue
		}
		d.last = doc
		if m[6] >= 0 && !d.x.anchors[doc][l.text[m[6]:m[7]]] {
			report("%s has no heading for #%s", doc, l.text[m[6]:m[7]])
		}
	}
}

func (d *documents) section(n string, report func(string, ...any)) {
	switch {
	case d.last == "":
		report("§%s names no document: write docs/NAME.md §%s", n, n)
	case !d.x.sections[d.last][n]:
		report("%s has no section %s", d.last, n)
	}
}

// links are links of a document to files and to its own headings.
func (d *documents) links(text string, report func(string, ...any)) {
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		file, fragment, _ := strings.Cut(m[1], "#")
		doc := d.page.name
		if file != "" {
			doc = path.Join(path.Dir(doc), file)
		}
		switch {
		case !d.t.has(doc):
			report("the link to %s leads nowhere", m[1])
		case fragment != "" && !d.x.anchors[doc][fragment]:
			report("%s has no heading for #%s", doc, fragment)
		}
	}
}

// document finds a document by a name in a page: below the page's folder, the root, or docs. A page of another format
// names documents from the root on.
func (t *tree) document(from, name string) (string, bool) {
	for _, dir := range []string{path.Dir(from), ".", "docs", adrDir, "docs/reference"} {
		if doc := path.Join(dir, name); t.has(doc) {
			return doc, true
		}
	}
	return "", false
}

// indexOfDecisions holds docs/adr/README.md and the decisions together.
func (t *tree) indexOfDecisions(x index) []fault {
	var out []fault
	list := t.pages[adrDir+"/README.md"]
	for n, name := range x.adrs {
		title, _, _ := strings.Cut(strings.TrimPrefix(t.pages[name].raw, "# "), "\n")
		_, title, _ = strings.Cut(title, ". ")
		if row := fmt.Sprintf("| [%s](%s) | %s |", n, path.Base(name), title); !strings.Contains(list.raw, row) {
			out = append(out, fault{list.name, 1, "this row is missing: " + row})
		}
	}
	return out
}

// repoPath is a name below one of our folders.
var repoPath = regexp.MustCompile("`((?:cmd|host|shared|internal|plugins|test|build|examples|tools)(?:/[\\w.-]+)+)/?`")

// repoPaths are names of files and folders in documents that do not exist. Decisions may name what was.
func (t *tree) repoPaths() []fault {
	var out []fault
	for _, p := range t.inOrder() {
		if !strings.HasSuffix(p.name, ".md") || strings.HasPrefix(p.name, adrDir+"/") ||
			strings.Contains(p.name, "/testdata/") || strings.HasPrefix(p.name, "examples/") {
			continue
		}
		for _, l := range p.lines {
			for _, m := range repoPath.FindAllStringSubmatch(l.text, -1) {
				if name := m[1]; !t.has(name) && !t.isPackageMember(name) && !strings.Contains(name, "NAME") {
					out = append(out, fault{p.name, l.number, name + " does not exist"})
				}
			}
		}
	}
	return out
}

// isPackageMember: internal/behaviour.TestName is a member of a package.
func (t *tree) isPackageMember(name string) bool {
	i := strings.LastIndex(name, ".")
	return i > 0 && t.paths[name[:i]] && i+1 < len(name) && unicode.IsUpper(rune(name[i+1]))
}
