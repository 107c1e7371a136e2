// Command mutate negates one condition of a package after the other, runs the tests that evaluate it, and lists the
// conditions that no test notices. `make mutate PKG=./internal/redact` runs it.
//
// The package is compiled once: `go test -overlay` adds to each condition a switch that a file sets. Each test runs
// once alone first, so that a mutant costs only the tests that evaluate its condition. A comment that begins with
// //mutate:ignore at the end of a line, or alone above it, says why conditions of that line may survive.
//
// usage: mutate [-tests PATTERNS] [-only REGEXP] [-jobs N] PACKAGE
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == aloneArg {
		os.Exit(runAlone(os.Args[2:]))
	}
	o := options{}
	var only string
	flag.StringVar(&o.tests, "tests", "", "`packages` whose tests run, default: the package itself")
	flag.StringVar(&only, "only", "", "negate only conditions whose FILE:LINE matches the `expression`")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "how many mutants run at a time")
	flag.BoolVar(&o.uncontained, "uncontained", false,
		"run the tests among your processes and files, which a negated condition may end and remove")
	flag.BoolVar(&o.verbose, "v", false, "list each mutant with its time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if o.only, err = regexp.Compile(only); err == nil && flag.NArg() != 1 {
		err = errors.New("usage: mutate [flags] PACKAGE")
	}
	survivors := 0
	if err == nil {
		o.pkg = flag.Arg(0)
		survivors, err = run(ctx, os.Stdout, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if survivors > 0 {
		os.Exit(1)
	}
}

type options struct {
	pkg, tests string
	only       *regexp.Regexp
	jobs       int

	uncontained, verbose bool
}

// run returns how many mutants survive without a reason, and writes them to w.
func run(ctx context.Context, w io.Writer, o options) (int, error) {
	pkgs, err := list(ctx, o.pkg)
	if err != nil {
		return 0, err
	}
	if len(pkgs) != 1 {
		return 0, fmt.Errorf("%s is %d packages: name one", o.pkg, len(pkgs))
	}
	mutants, err := conditions(pkgs[0].Dir, pkgs[0].GoFiles)
	if err != nil {
		return 0, err
	}
	tests := pkgs
	if o.tests != "" {
		if tests, err = list(ctx, strings.Fields(o.tests)...); err != nil {
			return 0, err
		}
	}
	root, err := os.MkdirTemp("", "mut")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(root) }()
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // tests that change their user run what is there
		return 0, err
	}
	outcomes, err := tryAll(ctx, w, o, root, pkgs[0], mutants, tests)
	if err != nil {
		return 0, err
	}
	return report(w, pkgs[0], outcomes), nil
}

func tryAll(
	ctx context.Context, w io.Writer, o options, root string, pkg target, mutants []mutant, tests []target,
) ([]outcome, error) {
	goflags, err := goEnv(ctx, "GOFLAGS")
	if err != nil {
		return nil, err
	}
	places, err := o.places(ctx, root)
	if err != nil {
		return nil, err
	}
	benches := make([]*bench, o.jobs)
	for i := range benches {
		dir := filepath.Join(root, strconv.Itoa(i))
		if benches[i], err = newBench(ctx, dir, goflags, places, pkg, mutants, tests); err != nil {
			return nil, err
		}
	}
	measured := make([]aTest, len(benches[0].tests))
	err = share(benches, len(measured), func(b *bench, i int) error {
		defer func() { measured[i] = b.tests[i] }()
		return b.measure(ctx, i)
	})
	if err != nil {
		return nil, err
	}
	var chosen []mutant
	for _, m := range mutants {
		if o.only.MatchString(fmt.Sprintf("%s:%d", filepath.Base(m.file), m.line)) {
			chosen = append(chosen, m)
		}
	}
	fmt.Fprintf(w, "%s: %d conditions, %d tests\n", pkg.ImportPath, len(chosen), len(measured))
	outcomes := make([]outcome, len(chosen))
	err = share(benches, len(chosen), func(b *bench, i int) (err error) {
		outcomes[i], err = b.try(ctx, chosen[i], measured)
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%s: killed %v, %d tests, %s\n", chosen[i].place(pkg), outcomes[i].killed,
				outcomes[i].reached, outcomes[i].took.Round(time.Millisecond))
		}
		return err
	})
	return outcomes, err
}

// places returns what tests may change: their own files, and what the go command keeps. It fails where the system does
// not contain them.
func (o options) places(ctx context.Context, root string) ([]string, error) {
	if o.uncontained {
		return nil, nil
	}
	cache, err := goEnv(ctx, "GOCACHE")
	if err != nil {
		return nil, err
	}
	places := []string{root, cache}
	if out, err := alone(ctx, places, "true").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot contain the tests: %w: %s\n"+
			"  a negated condition may end processes and remove files of yours: run this as root in Linux, or in a "+
			"machine for tests\n  with UNCONTAINED=1", err, bytes.TrimSpace(out))
	}
	return places, nil
}

// share gives the numbers below n to the benches, each the next one when it is free, until one of them fails.
func share(benches []*bench, n int, do func(*bench, int) error) error {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		next   int
		failed error
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && failed == nil
	}
	for _, b := range benches {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := do(b, i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// place names a mutant as editors and people find it.
func (m mutant) place(pkg target) string {
	return fmt.Sprintf("%s/%s:%d: %s", pkg.short(), filepath.Base(m.file), m.line, m.text)
}

// report writes the accepted mutants with their reasons, then the survivors, then the counts.
func report(w io.Writer, pkg target, outcomes []outcome) (survivors int) {
	killed, accepted := 0, 0
	needless := map[string]string{}
	for _, o := range outcomes {
		if o.ignore != "" {
			needless[fmt.Sprintf("%s:%d", o.file, o.line)] = o.place(pkg)
		}
	}
	for _, o := range outcomes {
		if o.killed {
			killed++
		} else if o.ignore != "" {
			accepted++
			delete(needless, fmt.Sprintf("%s:%d", o.file, o.line))
			fmt.Fprintf(w, "accepted %s\n  because %s\n", o.place(pkg), o.ignore)
		}
	}
	for _, o := range outcomes {
		if o.ignore != "" && needless[fmt.Sprintf("%s:%d", o.file, o.line)] == o.place(pkg) {
			fmt.Fprintf(w, "needless reason, all are killed: %s\n", o.place(pkg))
		}
	}
	for _, o := range outcomes {
		switch {
		case o.killed || o.ignore != "":
		case o.reached == 0:
			survivors++
			fmt.Fprintf(w, "survives %s\n  no test evaluates it\n", o.place(pkg))
		default:
			survivors++
			fmt.Fprintf(w, "survives %s\n  %d tests evaluate it\n", o.place(pkg), o.reached)
		}
	}
	fmt.Fprintf(w, "%s: %d mutants, %d killed, %d accepted, %d survive\n", pkg.ImportPath, len(outcomes), killed,
		accepted, survivors)
	return survivors
}
