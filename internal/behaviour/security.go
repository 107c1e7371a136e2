package behaviour

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	anyTest    = regexp.MustCompile(`(?:([a-z][a-z0-9/-]*)\.)?\b((?:Test|Fuzz)[A-Z]\w*)`)
	claimTable = regexp.MustCompile(`(?i)^\|(?: (?:claim|promise)[^|]*\| (?:the )?test|.*\| test \|$)`)
)

// claims checks a document that makes claims in tables whose last column names the tests that hold them: each row has
// one, and each test that the document names exists. A test without a package may be in any.
func claims(doc string, s suite) []string {
	var out []string
	inside := false
	for n, line := range strings.Split(doc, "\n") {
		report := func(format string, args ...any) {
			out = append(out, fmt.Sprintf("line %d: ", n+1)+fmt.Sprintf(format, args...))
		}
		switch {
		case claimTable.MatchString(line):
			inside = true
			continue
		case !strings.HasPrefix(line, "|"):
			inside = false
		}
		found := anyTest.FindAllStringSubmatch(line, -1)
		for _, m := range found {
			if m[1] == "" && !s.anywhere(m[2]) {
				report("there is no test %s", m[2])
			}
			if m[1] != "" {
				if why := s.has(m[1], m[2], ""); why != "" {
					report("%s", why)
				}
			}
		}
		if inside && len(found) == 0 && !strings.HasPrefix(line, "|-") && !strings.Contains(line, "`test/") {
			report("no test holds the claim %s", line)
		}
	}
	return out
}

func (s suite) anywhere(test string) bool {
	for _, f := range s {
		if f.tests[test] {
			return true
		}
	}
	return false
}
