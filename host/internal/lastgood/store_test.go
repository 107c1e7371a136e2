package lastgood_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/lastgood"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/fault"
)

// world is a gateway's directory with a configuration, and a clock.
type world struct {
	t      *testing.T
	dir    string
	config string
	now    time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)}
	w.config = filepath.Join(w.dir, "openclaw.json")
	w.write(w.config, "{}", 0o600)
	return w
}

func (w *world) write(path, text string, mode os.FileMode) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		w.t.Fatal(err)
	}
}

// onlyOwner fails unless nothing below a directory can be used by anyone but its owner.
func onlyOwner(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// good is the kept configurations of the world's gateway, by its clock.
func (w *world) store() *lastgood.Store {
	w.t.Helper()
	g, err := lastgood.NewStore(filepath.Join(w.dir, "good"), "main", func() time.Time {
		w.now = w.now.Add(time.Second)
		return w.now
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) look() repair.FileState {
	w.t.Helper()
	l, err := repair.StateOf(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func TestVersionsAreKeptOnceNewestFirstAndBounded(t *testing.T) {
	w := newWorld(t)
	g := w.store()
	for i := range 12 {
		w.write(w.config, strings.Repeat("x", i+1), 0o644)
		if _, added, err := g.Keep(w.look()); err != nil || !added {
			t.Fatalf("version %d: added %v, %v", i, added, err)
		}
	}
	list := g.List(w.config)
	if len(list) != 10 || list[0].Bytes != 12 || list[9].Bytes != 3 {
		t.Fatalf("kept = %+v", list)
	}
	w.write(w.config, strings.Repeat("x", 5), 0o600)
	k, added, err := g.Keep(w.look())
	if err != nil || added || k.Bytes != 5 || !k.Last.After(k.First) {
		t.Errorf("the same content again: %+v, added %v, %v", k, added, err)
	}
	list = g.List(w.config)
	if len(list) != 10 || list[0].ID != k.ID {
		t.Errorf("what ran last is not first: %+v", list)
	}
	if data, err := g.Content(list[0]); err != nil || string(data) != "xxxxx" {
		t.Errorf("content = %q, %v", data, err)
	}
	onlyOwner(t, filepath.Join(w.dir, "good"))
	if other := g.List(filepath.Join(w.dir, "other.json")); len(other) != 0 {
		t.Errorf("another file has %+v", other)
	}
}

// TestWhatRanLastIsFirstAlsoAfterTheClockWasSetBack: an older configuration would be brought back else.
func TestWhatRanLastIsFirstAlsoAfterTheClockWasSetBack(t *testing.T) {
	w := newWorld(t)
	g := w.store()
	keep := func(content string) {
		t.Helper()
		w.write(w.config, content, 0o600)
		if _, _, err := g.Keep(w.look()); err != nil {
			t.Fatal(err)
		}
	}
	keep("one")
	keep("two")
	w.now = w.now.Add(-24 * time.Hour)
	for _, content := range []string{"three", "one", "two"} { // a new one, and two that are kept already
		keep(content)
		list := g.List(w.config)
		if data, err := g.Content(list[0]); err != nil || string(data) != content || len(list) != 3 {
			t.Errorf("%q ran last; the first of %d is %q, %v", content, len(list), data, err)
		}
	}
}

func TestWhatIsKeptIsBoundedInBytesButNeverNothing(t *testing.T) {
	w := newWorld(t)
	g := w.store()
	for i := range 6 {
		w.write(w.config, strings.Repeat(string(rune('a'+i)), 4<<20), 0o600)
		if _, _, err := g.Keep(w.look()); err != nil {
			t.Fatal(err)
		}
	}
	if list := g.List(w.config); len(list) != 4 {
		t.Errorf("%d versions of 4 MiB are kept", len(list))
	}
	w.write(w.config, strings.Repeat("x", 5<<20), 0o600)
	if _, err := repair.StateOf(w.config); !errors.Is(err, fault.ErrExhausted) {
		t.Errorf("a file of 5 MiB: %v", err)
	}
}

func TestNothingIsKeptOfWhatIsNoFile(t *testing.T) {
	w := newWorld(t)
	g := w.store()
	for name, prepare := range map[string]func() error{
		"missing":   func() error { return os.Remove(w.config) },
		"empty":     func() error { return os.WriteFile(w.config, nil, 0o600) },
		"directory": func() error { return errors.Join(os.Remove(w.config), os.Mkdir(w.config, 0o700)) },
	} {
		if err := prepare(); err != nil && name != "missing" {
			t.Fatal(err)
		}
		l, err := repair.StateOf(w.config)
		if err == nil {
			_, _, err = g.Keep(l)
		}
		if err == nil {
			t.Errorf("%s was kept", name)
		}
	}
	if _, err := lastgood.NewStore("relative", "main", nil); err == nil {
		t.Error("a relative directory was accepted")
	}
	if _, err := lastgood.NewStore("/x", "../main", nil); err == nil {
		t.Error("a bad name was accepted")
	}
}

func TestDamagedVersionsAreNotUsed(t *testing.T) {
	w := newWorld(t)
	g := w.store()
	k, _, err := g.Keep(w.look())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "good", "main", k.ID)
	w.write(filepath.Join(dir, "config"), "forged", 0o600)
	if _, err := g.Content(k); err == nil {
		t.Error("a forged content was believed")
	}
	again, added, err := g.Keep(w.look())
	if err != nil || !added || again.ID == k.ID {
		t.Errorf("a sound version beside the damaged one: %+v, added %v, %v", again, added, err)
	}
	w.write(filepath.Join(dir, "manifest.json"), "{", 0o600)
	if list := g.List(w.config); len(list) != 1 || list[0].ID != again.ID {
		t.Errorf("kept = %+v", list)
	}
	if _, err := g.Content(lastgood.Version{ID: "../" + k.ID}); !errors.Is(err, fault.ErrInvalidArgument) {
		t.Errorf("a path for an id: %v", err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "good", "main", ".new-1"), 0o700); err != nil { // a host was killed here
		t.Fatal(err)
	}
	w.write(w.config, "next", 0o600)
	if _, _, err := g.Keep(w.look()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "good", "main", ".new-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed host left is still there: %v", err)
	}
}
