package tutorial_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// langs are the languages in which the page can be followed.
var langs = []string{"go", "node", "python"}

// A step's fence is ```LANGUAGE tutorial[:LANG] [file=PATH|terminal|shows]: a file to be written, a command that goes
// on in a terminal of its own, or what the step before shows. Without any of these it is to be typed.
var (
	fence = regexp.MustCompile("^```(.*)$")
	mark  = regexp.MustCompile(`^(\w+) tutorial(?::(go|node|python))?(?: (terminal|shows|file=(\S+)))?$`)
)

type block struct {
	line     int    // of the page
	lang     string // "": for all
	file     string // to be written
	terminal bool
	shows    bool
	text     string
}

func (b block) forLang(lang string) bool { return b.lang == "" || b.lang == lang }

// read takes the steps from a page. What comes below the heading "Reference" is not followed.
func read(page string) ([]block, error) {
	var out []block
	lines := strings.Split(page, "\n")
	said, gap := "", true // the last paragraph of text
	for i := 0; i < len(lines); i++ {
		if lines[i] == "# Reference" {
			return out, nil
		}
		open := fence.FindStringSubmatch(lines[i])
		if open == nil {
			if blank := strings.TrimSpace(lines[i]) == ""; !blank && gap {
				said, gap = lines[i], false
			} else if !blank {
				said += " " + lines[i]
			} else {
				gap = true
			}
			continue
		}
		begin := i
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: the block does not end", begin+1)
		}
		m := mark.FindStringSubmatch(open[1])
		if m == nil {
			return nil, fmt.Errorf("line %d: %q is no mark of a step", begin+1, open[1])
		}
		b := block{
			line: begin + 1, lang: m[2], file: m[4], terminal: m[3] == "terminal", shows: m[3] == "shows",
			text: strings.Join(lines[begin+1:i], "\n") + "\n",
		}
		if b.file != "" && !strings.Contains(said, "`"+b.file+"`") {
			return nil, fmt.Errorf("line %d: the text before does not say that this is `%s`", b.line, b.file)
		}
		if b.file == "" && !b.shows && m[1] != "sh" {
			return nil, fmt.Errorf("line %d: %s can't be typed", b.line, m[1])
		}
		out = append(out, b)
	}
	return out, nil
}

func TestPageIsReadAsItIsPrinted(t *testing.T) {
	got, err := read("Type:\n```sh tutorial\na\nb\n```\nPut this into `x/y.go`:\n```go tutorial:go file=x/y.go\n" +
		"package x\n```\n```sh tutorial:node terminal\nrun\n```\n" +
		"```text tutorial shows\nok\n```\n# Reference\n```\nanything\n```\n")
	want := []block{
		{line: 2, text: "a\nb\n"},
		{line: 7, lang: "go", file: "x/y.go", text: "package x\n"},
		{line: 10, lang: "node", terminal: true, text: "run\n"},
		{line: 13, shows: true, text: "ok\n"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read = %+v, %v, want %+v", got, err, want)
	}
	for page, why := range map[string]string{
		"```sh\nx\n```\n":                           "no mark",
		"```sh tutorial:perl\nx\n```\n":             "no mark",
		"```sh tutorial\nx\n":                       "does not end",
		"Here:\n```go tutorial file=a.go\nx\n```\n": "does not say",
		"```toml tutorial\nversion = 1\n```\n":      "can't be typed",
	} {
		if got, err := read(page); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("read(%q) = %+v, %v, want an error with %q", page, got, err, why)
		}
	}
}

// the page, and its steps in one language.
func steps(t *testing.T, lang string) []block {
	t.Helper()
	data, err := os.ReadFile("../../docs/plugin-authors.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := read(string(data))
	if err != nil {
		t.Fatalf("docs/plugin-authors.md: %v", err)
	}
	var mine []block
	for _, b := range all {
		if b.forLang(lang) {
			mine = append(mine, b)
		}
	}
	return mine
}

var spaces = regexp.MustCompile(`[ \t]+`)

// missing is the first line of a "shows" block that output does not have after those before it; … stands for anything
// within a line.
func missing(want, output string) string {
	at := 0
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		parts := strings.Split(line, "…")
		for i := range parts {
			parts[i] = spaces.ReplaceAllString(regexp.QuoteMeta(parts[i]), `[ \t]+`) // columns are as wide as they are
		}
		m := regexp.MustCompile(strings.Join(parts, ".*")).FindStringIndex(output[at:])
		if m == nil {
			return line
		}
		at += m[1]
	}
	return ""
}

func TestShownLinesAreLookedForInOrder(t *testing.T) {
	const out = "main running pid=12 port=34 (0.5s)\nexit 0\n"
	for want, gap := range map[string]string{
		"main running pid=… port=…\n  exit 0\n": "", "exit 0\n": "", "\n": "", "main   running\n": "",
		"exit 0\nmain running\n": "main running", "main stopped\n": "main stopped", "main … exit 0\n": "main … exit 0",
	} {
		if got := missing(want, out); got != gap {
			t.Errorf("missing(%q) = %q, want %q", want, got, gap)
		}
	}
}

// TestLinksOfThePageLead looks at the files that the page names, and at the headings of its own.
func TestLinksOfThePageLead(t *testing.T) {
	data, err := os.ReadFile("../../docs/plugin-authors.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(string(data), -1) {
		headings[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(string(data), -1)
	for _, m := range links {
		if m[1] == "" && !headings[m[2]] {
			t.Errorf("the page has no heading %q", m[2])
		}
		if _, err := os.Stat("../../docs/" + m[1]); err != nil {
			t.Errorf("link: %v", err)
		}
	}
	if len(links) < 8 {
		t.Errorf("links = %q", links)
	}
}
