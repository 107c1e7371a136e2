// Command releases writes a markdown table from the results of `make test-releases`: one row for each test, one column
// for each release. Its arguments are a document, in which the table of the last run is replaced, and files of `go test
// -json`, named after their release. It fails when a test failed, was skipped or did not run on one of them; the table
// then says so.
package main

import (
	"errors"
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

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: releases DOCUMENT RESULTS.json...")
	}
	document, files := args[0], args[1:]
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
	fmt.Print(text)                   //nolint:forbidigo // its answer
	old, err := os.ReadFile(document) //nolint:gosec // named by the Makefile
	if err != nil {
		return fmt.Errorf("cannot read the document: %w", err)
	}
	next, err := put(string(old), text)
	if err != nil {
		return fmt.Errorf("cannot put the table into %s: %w", document, err)
	}
	if err := os.WriteFile(document, []byte(next), 0o644); err != nil { //nolint:gosec // a document
		return fmt.Errorf("cannot write the document: %w", err)
	}
	if !ok {
		return errors.New("not every test passed on every release")
	}
	return nil
}
