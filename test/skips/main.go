// Command skips reads what gotestsum wrote, fails when a test was skipped without permission, and closes with the count
// of all tests.
//
// usage: skips LIST RESULT.json...
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: skips LIST RESULT.json...")
		os.Exit(2)
	}
	if !run(os.Stdout, os.Args[1], os.Args[2:]) {
		os.Exit(1)
	}
}

// run reports whether all is well. The count is its last line also when something is not.
func run(w io.Writer, list string, results []string) bool {
	var total tally
	allowed, err := readList(list)
	if err != nil {
		fmt.Fprintln(w, err)
		total.errors++
	}
	for _, path := range results {
		t, err := readResults(path)
		if err != nil {
			fmt.Fprintln(w, err)
			t.errors++
		}
		total.add(t)
	}
	unlisted := total.unlisted(allowed)
	for _, s := range unlisted {
		fmt.Fprintf(w, "skipped without permission: %s: %s\n  make it run, or add it with its reason to %s\n", s.name,
			s.reason,
			list)
	}
	fmt.Fprintln(w, total.line(len(unlisted)))
	return total.failed == 0 && total.errors == 0 && total.tests > 0 && len(unlisted) == 0
}
