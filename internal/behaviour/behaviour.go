package behaviour

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// suite maps each folder of a source tree to its tests.
type suite map[string]*folder

type folder struct {
	tests map[string]bool
	text  strings.Builder // of its test files, and the names of its scripts: subtests are looked for in it
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	answer   = regexp.MustCompile(`^\| ([BT]\d{3}) \| (.*) \| (.*) \|$`)
	adr      = regexp.MustCompile(`docs/adr/(\d{4})`)
	citation = regexp.MustCompile(`([a-z][a-z0-9/-]*)\.((?:Test|Fuzz|Example)\w*)(?:/([^,|]+))?`)
)

// read finds the tests below root. It reads files and runs nothing, so that tests behind a build tag count too.
func read(root string) (suite, error) {
	s := suite{}
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, at)
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && (name == ".git" || name == "bin" || name == "node_modules"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		case strings.HasSuffix(name, "_test.go"):
			text, err := os.ReadFile(at) //nolint:gosec // a file of the tree
			if err != nil {
				return err
			}
			s.add(path.Dir(name), string(text))
		case strings.Contains(name, "/testdata/") &&
			(strings.HasSuffix(name, ".txtar") || strings.HasSuffix(name, ".txt")):
			dir, _, _ := strings.Cut(name, "/testdata/")
			s.in(dir).text.WriteString("\n\"" + strings.TrimSuffix(path.Base(name), path.Ext(name)) + "\"")
		}
		return nil
	})
	return s, err
}

func (s suite) in(dir string) *folder {
	if s[dir] == nil {
		s[dir] = &folder{tests: map[string]bool{}}
	}
	return s[dir]
}

func (s suite) add(dir, text string) {
	f := s.in(dir)
	f.text.WriteString("\n" + text)
	for _, m := range testFunc.FindAllStringSubmatch(text, -1) {
		f.tests[m[1]] = true
	}
}

// has says what is wrong with one citation, or "".
func (s suite) has(pkg, test, sub string) string {
	known := false
	for dir, f := range s {
		if dir != pkg && !strings.HasSuffix(dir, "/"+pkg) {
			continue
		}
		known = true
		if !f.tests[test] {
			continue
		}
		for _, quote := range []string{`"`, "`"} { // the first level is enough: deeper ones are made of values
			first, _, _ := strings.Cut(strings.TrimSpace(sub), "/")
			if sub == "" || strings.Contains(f.text.String(), quote+first+quote) {
				return ""
			}
		}
		return fmt.Sprintf("%s.%s has no subtest %q", pkg, test, sub)
	}
	if !known {
		return fmt.Sprintf("there is no package %s with tests", pkg)
	}
	return fmt.Sprintf("there is no test %s.%s", pkg, test)
}

// row is one line of rows.txt.
type row struct{ id, verdict string }

func parseRows(text string) []row {
	var rows []row
	for line := range strings.Lines(text) {
		if id, verdict, ok := strings.Cut(strings.TrimSpace(line), " "); ok && id != "#" {
			rows = append(rows, row{id, verdict})
		}
	}
	return rows
}

// check compares a document with the rows and the tests. adrs are the numbers of existing ADRs.
func check(doc string, rows []row, s suite, adrs []string) []string {
	var wrong []string
	verdicts := map[string]string{}
	for _, r := range rows {
		verdicts[r.id] = r.verdict
	}
	answered := map[string]bool{}
	for scan, n := bufio.NewScanner(strings.NewReader(doc)), 1; scan.Scan(); n++ {
		line := scan.Text()
		m := answer.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "| B") || strings.HasPrefix(line, "| T") {
				wrong = append(wrong,
					fmt.Sprintf("line %d is no answer: want | row | what we do | package.TestName |", n))
			}
			continue
		}
		id, what, shown := m[1], strings.TrimSpace(m[2]), strings.TrimSpace(m[3])
		verdict, known := verdicts[id]
		switch {
		case !known:
			wrong = append(wrong, id+" is no row of the table")
			continue
		case answered[id]:
			wrong = append(wrong, id+" is answered twice")
		case what == "":
			wrong = append(wrong, id+" does not say what we do")
		}
		answered[id] = true
		for _, fault := range shows(shown, verdict, s, adrs) {
			wrong = append(wrong, id+": "+fault)
		}
	}
	for _, r := range rows {
		if !answered[r.id] {
			wrong = append(wrong, r.id+" has no answer")
		}
	}
	return wrong
}

// shows says what is wrong with the last cell of an answer.
func shows(cell, verdict string, s suite, adrs []string) []string {
	if strings.HasPrefix(cell, "out:") {
		if verdict != "out" && verdict != "test" {
			return []string{"only a row whose verdict is out may go without a test"}
		}
		if len(cell) < len("out: hook") {
			return []string{"an out row names the hook that replaces it"}
		}
		return nil
	}
	var wrong []string
	decided := adr.FindAllStringSubmatch(cell, -1)
	for _, m := range decided {
		if !slices.Contains(adrs, m[1]) {
			wrong = append(wrong, "there is no ADR "+m[1])
		}
	}
	cited := citation.FindAllStringSubmatch(cell, -1)
	if len(cited) == 0 && len(decided) == 0 {
		wrong = append(wrong, "no test is cited: "+cell)
	}
	for _, m := range cited {
		if fault := s.has(m[1], m[2], m[3]); fault != "" {
			wrong = append(wrong, fault)
		}
	}
	return wrong
}
