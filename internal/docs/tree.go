package docs

import (
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// page is one text file. In text everything that people do not read (the code of a Go file) is blank; its lines are
// those of raw.
type page struct {
	name, raw, text string
	lines           []line
}

// line is a line of a page that is not blank. In a document, paragraph tells apart what blank lines separate.
type line struct {
	number, paragraph int
	text              string
}

// tree is the repository: its pages, the names of all its files and folders, and names that do not exist yet.
type tree struct {
	pages          map[string]page
	paths, planned map[string]bool
}

func (t *tree) has(name string) bool { return t.paths[name] || t.planned[name] }

// fault is a place that a check does not accept.
type fault struct {
	file string
	line int
	what string
}

func (f fault) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.what) }

// read reads the repository at root.
func read(root string) (*tree, error) {
	t := &tree{pages: map[string]page{}, paths: map[string]bool{}}
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, at)
		name = filepath.ToSlash(name)
		if d.IsDir() && (slices.Contains([]string{".git", "bin"}, name) || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		t.paths[name] = true
		if d.IsDir() || !isText(name) {
			return nil
		}
		raw, err := os.ReadFile(at) //nolint:gosec // a file of the repository
		if err != nil {
			return err
		}
		t.add(name, string(raw))
		return nil
	})
	return t, err
}

// isText reports whether a file is read: what people write, without recorded data and licenses.
func isText(name string) bool {
	base := path.Base(name)
	recorded := strings.Contains(name, "/testdata/") && path.Ext(name) != ".go" || strings.Contains(name, "/data/")
	ours := []string{".go", ".md", ".proto", ".toml", ".sh", ".yml", ".yaml", ".js", ".py", ".tmpl"}
	return !recorded && (slices.Contains(ours, path.Ext(name)) || base == "Makefile" || base == "config.toml.example")
}

func (t *tree) add(name, raw string) {
	text := raw
	if strings.HasSuffix(name, ".go") {
		text = prose(raw)
	}
	t.pages[name] = page{name: name, raw: raw, text: text, lines: linesOf(text)}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		t.paths[dir] = true
	}
}

// inOrder yields the pages by name.
func (t *tree) inOrder() []page {
	var out []page
	for _, p := range t.pages {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b page) int { return strings.Compare(a.name, b.name) })
	return out
}

// escape is one character of a string, as \n.
var escape = regexp.MustCompile(`\\.`)

// prose blanks all of a Go file but its comments and strings. Offsets stay.
func prose(src string) string {
	out := []byte(blanked(src))
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(src))
	s.Init(file, []byte(src), nil, scanner.ScanComments)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return string(out)
		}
		if tok != token.COMMENT && tok != token.STRING {
			continue
		}
		at := file.Offset(pos)
		if strings.HasPrefix(lit, `"`) {
			lit = escape.ReplaceAllString(lit, "  ")
		}
		if strings.HasPrefix(lit, "//") {
			lit = "  " + lit[2:] // so that a phrase can go on in the next line
		}
		copy(out[at:], lit)
	}
}

func linesOf(text string) []line {
	var out []line
	number, paragraph := 0, 0
	for l := range strings.Lines(text) {
		number++
		if l = strings.TrimRight(l, " \t\r\n"); l == "" {
			paragraph++
			continue
		}
		out = append(out, line{number, paragraph, l})
	}
	return out
}
