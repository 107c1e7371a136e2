package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is a package as `go list` shows it.
type target struct {
	ImportPath, Dir, Name     string
	GoFiles                   []string
	TestGoFiles, XTestGoFiles []string
	Module                    struct{ Path string }
}

// short is the path of the package below its module, where there is one.
func (t target) short() string {
	if rest, ok := strings.CutPrefix(t.ImportPath, t.Module.Path+"/"); ok {
		return rest
	}
	return t.ImportPath
}

func list(ctx context.Context, patterns ...string) ([]target, error) {
	out, err := output(exec.CommandContext(ctx, "go", append([]string{"list", "-json"}, patterns...)...))
	if err != nil {
		return nil, err
	}
	var all []target
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var t target
		if err := d.Decode(&t); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func goEnv(ctx context.Context, name string) (string, error) {
	out, err := output(exec.CommandContext(ctx, "go", "env", name))
	return strings.TrimSpace(string(out)), err
}

func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, failed.Stderr)
	}
	return out, err
}

// aTest is a top-level test, or several of them that run in one process.
type aTest struct {
	binary, dir, pkg string
	names            []string
	took             time.Duration
	reaches          map[int]bool
}

// bench is a build with all mutants and a place to run it. Only one run uses it at a time.
type bench struct {
	dir, control, record, tmp string
	places                    []string // what a test may change; nil: everything, it is not contained
	mutants                   int
	env                       []string
	tests                     []aTest
}

// newBench builds the tests with all mutants of the package. Users other than ours may run what it builds.
func newBench(
	ctx context.Context, dir, goflags string, places []string, pkg target, mutants []mutant, tests []target,
) (*bench, error) {
	b := &bench{
		dir: dir, control: filepath.Join(dir, "control"), record: filepath.Join(dir, "record"),
		tmp: filepath.Join(dir, "t"), places: places, mutants: len(mutants),
	}
	//nolint:gosec // tests that change their user run what is there
	err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(b.tmp, 0o700), os.Chmod(b.tmp, 0o777|os.ModeSticky))
	if err != nil {
		return nil, err
	}
	path, err := overlay(dir, pkg, mutants, b.control)
	if err != nil {
		return nil, err
	}
	b.env = withOverlay(os.Environ(), goflags, path, b.tmp)
	for i, t := range tests {
		if len(t.TestGoFiles)+len(t.XTestGoFiles) == 0 {
			continue
		}
		binary := filepath.Join(dir, strconv.Itoa(i)+".test")
		build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", path, "-o", binary, t.ImportPath)
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cannot build the tests of %s with all conditions instrumented: %w\n%s",
				t.ImportPath, err, out)
		}
		names, err := b.names(ctx, binary, t.Dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			b.tests = append(b.tests, aTest{binary: binary, dir: t.Dir, pkg: t.ImportPath, names: []string{name}})
		}
	}
	return b, nil
}

func (b *bench) names(ctx context.Context, binary, dir string) ([]string, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.list", ".")
	cmd.Dir, cmd.Env = dir, b.env
	out, err := output(cmd)
	if err != nil {
		return nil, err
	}
	isTest := func(name string) bool { return regexp.MustCompile(`^(Test|Example|Fuzz)`).MatchString(name) }
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool { return !isTest(name) }), nil
}

// run runs tests in one process. The error is nil when all of them pass.
func (b *bench) run(ctx context.Context, t aTest, limit time.Duration) ([]byte, error) {
	defer b.sweep()
	ctx, cancel := context.WithTimeout(ctx, limit+10*time.Second)
	defer cancel()
	quoted := make([]string, len(t.names))
	for i, name := range t.names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	args := []string{
		"-test.run", "^(" + strings.Join(quoted, "|") + ")$", "-test.failfast", "-test.timeout", limit.String(),
	}
	cmd := exec.CommandContext(ctx, t.binary, args...)
	if len(b.places) > 0 {
		cmd = alone(ctx, b.places, t.binary, args...)
	}
	cmd.Dir, cmd.Env, cmd.WaitDelay = t.dir, b.env, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // a process that a test left holds its output
		err = nil
	}
	return out.Bytes(), err
}

// sweep removes the temporary files that a run left.
func (b *bench) sweep() {
	entries, _ := os.ReadDir(b.tmp)
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(b.tmp, e.Name()))
	}
}

// measure runs each test alone, with nothing negated, and notes its time and the conditions that it evaluates.
func (b *bench) measure(ctx context.Context, i int) error {
	t := &b.tests[i]
	if err := os.WriteFile(b.record, make([]byte, b.mutants+1), 0o600); err != nil {
		return err
	}
	//nolint:gosec // tests that change their user record too
	if err := errors.Join(os.Chmod(b.record, 0o666), b.tell("record "+b.record)); err != nil {
		return err
	}
	from := time.Now()
	out, err := b.run(ctx, *t, 10*time.Minute)
	if err != nil {
		return fmt.Errorf("%s of %s fails with nothing negated: %w\n%s", t.names[0], t.pkg, err, tail(out))
	}
	t.took, t.reaches = time.Since(from), map[int]bool{}
	recorded, err := os.ReadFile(b.record)
	for id, reached := range recorded {
		if reached != 0 {
			t.reaches[id] = true
		}
	}
	return err
}

func (b *bench) tell(text string) error {
	return os.WriteFile(b.control, []byte(text), 0o644) //nolint:gosec // tests that change their user read it
}

// outcome is what the tests say about a mutant.
type outcome struct {
	mutant
	killed  bool
	reached int // tests that evaluate the condition
	took    time.Duration
}

// try runs the tests that evaluate a condition, with the condition negated, the fastest first, until one fails.
func (b *bench) try(ctx context.Context, m mutant, tests []aTest) (outcome, error) {
	o := outcome{mutant: m}
	var reach []aTest
	for _, t := range tests {
		if t.reaches[m.id] {
			t.binary = filepath.Join(b.dir, filepath.Base(t.binary))
			reach = append(reach, t)
		}
	}
	o.reached = len(reach)
	from := time.Now()
	if err := b.tell("negate " + strconv.Itoa(m.id)); err != nil {
		return o, err
	}
	for _, batch := range batches(reach) {
		_, err := b.run(ctx, batch, 5*time.Second+4*batch.took)
		if ctx.Err() != nil {
			return o, context.Cause(ctx)
		}
		if err != nil {
			o.killed = true
			break
		}
	}
	o.took = time.Since(from)
	return o, nil
}

// firstBatch is how long the fastest tests may take together that run before all others.
const firstBatch = time.Second

// batches puts tests of one package into processes: first the fastest, then the others.
func batches(tests []aTest) []aTest {
	slices.SortStableFunc(tests, func(a, b aTest) int { return cmp.Compare(a.took, b.took) })
	var fast, slow []aTest
	var spent time.Duration
	for _, t := range tests {
		into := &slow
		if spent += t.took; spent <= firstBatch || len(fast) == 0 {
			into = &fast
		}
		if i := slices.IndexFunc(*into, func(o aTest) bool { return o.binary == t.binary }); i >= 0 {
			(*into)[i].names = append((*into)[i].names, t.names...)
			(*into)[i].took += t.took
			continue
		}
		t.names = slices.Clone(t.names)
		*into = append(*into, t)
	}
	return append(fast, slow...)
}

func tail(out []byte) []byte { return out[max(0, len(out)-4000):] }
