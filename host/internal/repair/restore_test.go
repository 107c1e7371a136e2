package repair_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/fault"
)

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
			repair.Request{Plan: writes(w.config, next, sum(content)), KeepAside: true, Doctor: repair.Named{Name: "gatehost"}})
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
