package prelaunch_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/prelaunch"
)

// bench is a cache and a task with one input.
type bench struct {
	t            *testing.T
	cache, input string
	task         prelaunch.Task
	runs         int
	fail         error
	change       string // what the task writes into its own input
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, cache: filepath.Join(dir, "hooks.json"), input: filepath.Join(dir, "input")}
	b.write(b.input, "one")
	b.task = prelaunch.Task{Name: "sync", Words: []string{"sync", "-a"}, Inputs: []string{b.input}, Run: func() error {
		b.runs++
		if b.change != "" {
			b.write(b.input, b.change)
		}
		return b.fail
	}}
	return b
}

func (b *bench) write(path, text string) {
	b.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// do runs the task with a cache that was just opened, as the next host does, and wants it to have run or not.
func (b *bench) do(what string, want bool) (remark, err error) {
	b.t.Helper()
	before := b.runs
	ran, remark, err := prelaunch.New(b.cache).Do(b.task)
	if ran != want || (b.runs > before) != want {
		b.t.Errorf("%s: ran = %t, want %t", what, ran, want)
	}
	return remark, err
}

func TestTaskIsSkippedWhileItsInputsAreTheSame(t *testing.T) { // T154, T157
	b := newBench(t)
	_, _ = b.do("at first", true)
	_, _ = b.do("again", false)
	b.write(b.input, "two")
	_, _ = b.do("after a change", true)
	_, _ = b.do("after that", false)
	b.task.Words = []string{"sync", "-b"}
	_, _ = b.do("with other words", true)
	if err := os.Remove(b.input); err != nil {
		t.Fatal(err)
	}
	_, _ = b.do("without its input", true)
	_, _ = b.do("still without", false)
	b.task.Name = "another"
	_, _ = b.do("another task", true)
	b.task.Name = "sync"
	_, _ = b.do("the one before", false)
}

func TestTaskThatChangesItsInputsIsSkippedAfterIt(t *testing.T) { // T155
	b := newBench(t)
	b.change = "changed by the task"
	_, _ = b.do("at first", true)
	_, _ = b.do("again", false)
}

func TestTaskThatFailedIsDueAgain(t *testing.T) { // T156
	b := newBench(t)
	b.fail = errors.New("no")
	for range 2 {
		if _, err := b.do("failing", true); !errors.Is(err, b.fail) {
			t.Errorf("error = %v", err)
		}
	}
	b.fail = nil
	_, _ = b.do("succeeding", true)
	b.write(b.input, "two")
	b.fail = errors.New("no")
	_, _ = b.do("failing after a success", true)
	b.write(b.input, "one")
	b.fail = nil
	_, _ = b.do("as it was when it succeeded before it failed", true)
}

func TestCacheThatIsNotUnderstoodMeansThatTheWorkIsDone(t *testing.T) { // T158, T159
	b := newBench(t)
	for text, said := range map[string]bool{
		`{"schema":2,"keys":{}}`: false, "{": true, "": true, "[]": true,
		`{"schema":1}`: false, strings.Repeat(" ", 2<<20): true,
	} {
		_, _ = b.do("to fill it", true)
		b.write(b.cache, text)
		remark, err := b.do("with another file", true)
		if err != nil || (remark != nil) != said {
			t.Errorf("%.20q: remark %v, error %v", text, remark, err)
		}
		_, _ = b.do("after that", false)
		if err := os.Remove(b.cache); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(b.cache, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if remark, err := b.do("a directory in its place", true); remark == nil || err != nil {
			t.Errorf("remark %v, error %v", remark, err)
		}
	}
}

func TestDirectoryCountsWithAllBelowIt(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.task.Inputs = []string{dir}
	_, _ = b.do("empty", true)
	for _, change := range []func() error{
		func() error { return os.WriteFile(filepath.Join(dir, "sub", "a"), []byte("x"), 0o600) },
		func() error { return os.Rename(filepath.Join(dir, "sub", "a"), filepath.Join(dir, "sub", "b")) },
		func() error { return os.Symlink("b", filepath.Join(dir, "sub", "link")) },
		func() error { return os.Chmod(filepath.Join(dir, "sub", "b"), 0o700) }, //nolint:gosec // a program
		func() error { return os.Mkdir(filepath.Join(dir, "more"), 0o700) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		_, _ = b.do("after a change", true)
		_, _ = b.do("after that", false)
	}
}
