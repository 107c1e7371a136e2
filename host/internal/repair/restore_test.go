package repair_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// good is the kept configurations of the world's gateway, by its clock.
func (w *world) good() *repair.Good {
	w.t.Helper()
	g, err := repair.NewGood(filepath.Join(w.dir, "good"), "main", func() time.Time {
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
	g := w.good()
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
	if other := g.List(filepath.Join(w.facts.StateDir, "other.json")); len(other) != 0 {
		t.Errorf("another file has %+v", other)
	}
}

// TestWhatRanLastIsFirstAlsoAfterTheClockWasSetBack: an older configuration would be brought back else.
func TestWhatRanLastIsFirstAlsoAfterTheClockWasSetBack(t *testing.T) {
	w := newWorld(t)
	g := w.good()
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
	g := w.good()
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
	g := w.good()
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
	if _, err := repair.NewGood("relative", "main", nil); err == nil {
		t.Error("a relative directory was accepted")
	}
	if _, err := repair.NewGood("/x", "../main", nil); err == nil {
		t.Error("a bad name was accepted")
	}
}

func TestDamagedVersionsAreNotUsed(t *testing.T) {
	w := newWorld(t)
	g := w.good()
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
	if _, err := g.Content(repair.Version{ID: "../" + k.ID}); !errors.Is(err, fault.ErrInvalidArgument) {
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

func (w *world) asides() []string {
	w.t.Helper()
	found, err := filepath.Glob(w.config + ".broken-*")
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestBrokenFileIsKeptBesideAndBounded(t *testing.T) {
	w := newWorld(t)
	foreign := w.config + ".broken-by-hand"
	w.write(foreign, "mine", 0o644)
	content := broken
	for i := range 7 {
		next := strings.Repeat("x", i+1)
		res, err := w.e.Execute(t.Context(),
			repair.Request{Plan: writes(w.config, next, sum(content)), KeepAside: true, Doctor: "gatehost"})
		if err != nil || len(res.Aside) != 1 || res.Aside[0] != w.config+".broken-"+res.ID {
			t.Fatalf("result %+v, %v", res, err)
		}
		w.is(res.Aside[0], content, 0o600)
		content = next
	}
	if found := w.asides(); len(found) != 6 || !slices.Contains(found, foreign) {
		t.Errorf("beside the file: %v", found)
	}
	if recs, err := w.e.Records(); err != nil || recs[0].Doctor != "gatehost" || len(recs[0].Aside) != 1 {
		t.Errorf("records = %+v, %v", recs, err)
	}
}

func TestRepairThatDidNotHelpIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.vendor.Write = "changed, and still broken"
	still := errors.New("it is still broken")
	res, err := w.e.Execute(t.Context(),
		repair.Request{Plan: w.fix(), KeepAside: true, Verify: func(context.Context) error {
			w.is(w.config, "changed, and still broken", 0o600)
			return still
		}})
	if !errors.Is(err, still) || !res.RolledBack || len(res.Aside) != 0 || len(w.asides()) != 0 {
		t.Errorf("result %+v, error %v, beside it %v", res, err, w.asides())
	}
	w.is(w.config, broken, 0o640)
	if _, err := w.e.Last(); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("something to undo: %v", err)
	}
}

func TestAnyEarlierStateComesBack(t *testing.T) {
	w := newWorld(t)
	var ids []string
	states := []string{broken, "one", "two", "three"}
	for i := range 3 {
		res, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, states[i+1], sum(states[i]))})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, res.ID)
	}
	for i := 2; i >= 0; i-- { // one after the other
		if diff, err := w.e.PreviewUndo(ids[i], false); err != nil || !strings.Contains(diff, "-"+states[i+1]) ||
			strings.Contains(diff, "canary") {
			t.Errorf("preview = %v\n%s", err, diff)
		}
		w.is(w.config, states[i+1], 0o640)
		if _, err := w.e.UndoLast(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		w.is(w.config, states[i], 0o640)
	}
	for _, i := range []int{2, 0, 1} { // and any by its name, also one that was undone before
		if _, err := w.e.Undo(t.Context(), ids[i], true); err != nil {
			t.Fatal(err)
		}
		w.is(w.config, states[i], 0o640)
	}
}

// TestMain lets the test binary be the host that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("REPAIR_TEST_DIR"); dir != "" {
		repairForEver(dir)
	}
	os.Exit(m.Run())
}

const victims = 1 << 20 // bytes: writing it takes long enough to be killed in

func victim(c string) string { return strings.Repeat(c, victims) }

// repairForEver writes one of two contents and takes it back, until it is killed.
func repairForEver(dir string) {
	config := filepath.Join(dir, "openclaw.json")
	e, err := repair.New(repair.Options{Dir: filepath.Join(dir, "repairs"), Keep: 3, Gateway: plugin.GatewayFacts{
		Name: "main", Command: []string{"x"}, StateDir: dir, ConfigPath: config,
	}})
	if err != nil {
		panic(err)
	}
	good, err := repair.NewGood(filepath.Join(dir, "good"), "main", nil)
	if err != nil {
		panic(err)
	}
	if err := e.Recover(); err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		l, err := repair.StateOf(config)
		if err != nil {
			panic(err)
		}
		if _, _, err := good.Keep(l); err != nil {
			panic(err)
		}
		next := victim("b")
		if l.SHA256 == sum(next) {
			next = victim("a")
		}
		if _, err := e.Execute(context.Background(),
			repair.Request{Plan: writes(config, next, l.SHA256), KeepAside: true}); err != nil {
			panic(err)
		}
		if i%2 == 1 {
			if _, err := e.UndoLast(context.Background(), true); err != nil {
				panic(err)
			}
		}
	}
}

func TestHostKilledAtAnyMomentLeavesTheOldFileOrTheNewOne(t *testing.T) {
	w := newWorld(t)
	dir := w.facts.StateDir
	w.write(w.config, victim("a"), 0o600)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for round := range 25 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "REPAIR_TEST_DIR="+dir)
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// the moment of the kill is what is tried out
		time.Sleep(60*time.Millisecond + time.Duration(round*7)*time.Millisecond)
		_ = cmd.Process.Kill()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("it ended by itself: %v\n%s", err, said.String())
		}
		data, err := os.ReadFile(w.config)
		if err != nil || string(data) != victim("a") && string(data) != victim("b") {
			t.Fatalf("round %d: %d bytes, %v", round, len(data), err)
		}
		for _, aside := range w.asidesOf(dir) {
			if info, err := os.Stat(aside); err != nil || info.Size() != victims {
				t.Errorf("kept beside: %v, %v", info, err)
			}
		}
		e, err := repair.New(repair.Options{Dir: filepath.Join(dir, "repairs"), Gateway: plugin.GatewayFacts{
			Name: "main", Command: []string{"x"}, StateDir: dir, ConfigPath: w.config,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Recover(); err != nil {
			t.Fatal(err)
		}
		recs, err := e.Records()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			if r.Outcome == repair.OutcomeRunning {
				t.Errorf("still said to be running: %+v", r)
			}
			if r.Outcome == repair.OutcomeCut {
				cut++
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".gatehost-*")); len(left) > 0 {
		t.Errorf("unfinished files are left: %v", left)
	}
	if cut == 0 {
		t.Error("no kill hit a repair; this test has tried nothing")
	}
}

func (w *world) asidesOf(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "openclaw.json.broken-*"))
	return found
}
