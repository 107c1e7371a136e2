package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehost/gatehost/host/internal/config"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// succeed is a run of a hook that went well.
func (c hookCache) succeed(t *testing.T, h config.Hook) {
	t.Helper()
	if err := c.ended(h, true); err != nil {
		t.Fatal(err)
	}
	if !c.fresh(h) {
		t.Fatal("it is not remembered")
	}
}

// TestHookRunsOnlyWhenItsInputsHaveChanged is B330, T154 and T157.
func TestHookRunsOnlyWhenItsInputsHaveChanged(t *testing.T) {
	dir := t.TempDir()
	c := hookCache{filepath.Join(dir, "gateways", "main", "hooks.json")}
	file, below := filepath.Join(dir, "file"), filepath.Join(dir, "tree", "a", "b")
	write(t, file, "1")
	write(t, below, "2")
	h := config.Hook{Command: []string{"sync"}, Inputs: []string{file, filepath.Join(dir, "tree"), filepath.Join(dir, "none")}}
	if c.fresh(h) {
		t.Error("fresh before it ever ran")
	}
	for _, row := range []struct {
		name   string
		change func()
	}{
		{"the content of a file", func() { write(t, file, "3") }},
		{"a file in a directory", func() { write(t, below, "4") }},
		{"another file there", func() { write(t, below+"2", "") }},
		{"one fewer", func() { _ = os.Remove(below + "2") }},
		{"what was not there", func() { write(t, filepath.Join(dir, "none"), "") }},
		{"the mode", func() { _ = os.Chmod(file, 0o700) }}, //nolint:gosec // to be told from 0600
		{"a link that leads on", func() { _ = os.Symlink(file, filepath.Join(dir, "tree", "link")) }},
		{"what the link leads to", func() { write(t, file, "5") }},
		{"the command, or a word", func() { h.Command = []string{"sync", "-a"} }},
		{"the list of its inputs", func() { h.Inputs = h.Inputs[:2] }},
	} {
		c.succeed(t, h)
		if row.change(); c.fresh(h) {
			t.Errorf("%s: taken for fresh", row.name)
		}
	}
	if h.Inputs = nil; c.fresh(h) || c.ended(h, true) != nil || c.fresh(h) {
		t.Error("a hook without inputs is remembered")
	}
}

// TestHookIsRememberedByWhatItLeft is T155: it may change its own inputs.
func TestHookIsRememberedByWhatItLeft(t *testing.T) {
	dir := t.TempDir()
	c, file := hookCache{filepath.Join(dir, "hooks.json")}, filepath.Join(dir, "file")
	h := config.Hook{Command: []string{"x"}, Inputs: []string{file}}
	write(t, file, "before")
	c.succeed(t, h)
	write(t, file, "outside")
	if c.fresh(h) {
		t.Fatal("fresh")
	}
	write(t, file, "mended by the hook")
	c.succeed(t, h)
}

// TestFailedHookIsForgotten is T156.
func TestFailedHookIsForgotten(t *testing.T) {
	dir := t.TempDir()
	c, file := hookCache{filepath.Join(dir, "hooks.json")}, filepath.Join(dir, "file")
	h, other := config.Hook{Command: []string{"x"}, Inputs: []string{file}}, config.Hook{Command: []string{"y"}, Inputs: []string{file}}
	write(t, file, "")
	c.succeed(t, h)
	c.succeed(t, other)
	if err := c.ended(h, false); err != nil || c.fresh(h) || !c.fresh(other) {
		t.Errorf("%v, fresh %t, and the other one %t", err, c.fresh(h), c.fresh(other))
	}
}

// TestHookRunsWhenItsCacheCannotBeUsed is T158 and T159.
func TestHookRunsWhenItsCacheCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	c, file := hookCache{filepath.Join(dir, "hooks.json")}, filepath.Join(dir, "file")
	h := config.Hook{Command: []string{"x"}, Inputs: []string{file}}
	write(t, file, "")
	c.succeed(t, h)
	good, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"cut off": string(good[:len(good)/2]), "empty": "", "another version": `{"version":2,` + string(good[len(`{"version":1,`):]),
		"another shape": `[1]`, "no keys": `{"version":1}`,
	} {
		write(t, c.path, text)
		if c.fresh(h) {
			t.Errorf("%s: fresh", name)
		}
		c.succeed(t, h) // it is written anew
	}
	if err := os.Remove(c.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if c.fresh(h) {
		t.Error("a directory in its place: fresh")
	}
	if err := c.ended(h, true); err == nil {
		t.Error("nothing is said of a cache that cannot be written")
	}
}
