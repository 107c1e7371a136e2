// Command releases writes a markdown table from the results of `make test-releases`: one row for each test, one column for each
// release. Its arguments are files of `go test -json`, named after their release. It fails when a test failed, was skipped or did not
// run on one of them.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string) error {
	results := make([]result, 0, len(files))
	for _, file := range files {
		f, err := os.Open(file) //nolint:gosec // named by the Makefile
		if err != nil {
			return fmt.Errorf("cannot read results: %w", err)
		}
		r, err := read(strings.TrimSuffix(filepath.Base(file), ".json"), f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("cannot read results of %s: %w", file, err)
		}
		results = append(results, r)
	}
	text, ok := table(results, time.Now().UTC())
	fmt.Print(text) //nolint:forbidigo // its answer
	if !ok {
		return fmt.Errorf("not every test passed on every release")
	}
	return nil
}
