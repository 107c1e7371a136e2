package repair_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
)

// TestDifferenceIsWholeAndMinimal compares whole texts: the headers, the numbers of lines, and no line too many.
func TestDifferenceIsWholeAndMinimal(t *testing.T) {
	for name, row := range map[string]struct{ before, after, want string }{
		"a line changed": {"a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"},
		"lines added":    {"a\nb\n", "a\nx\ny\nb\n", "@@ -1,2 +1,4 @@\n a\n+x\n+y\n b\n"},
		"lines removed":  {"a\nx\ny\nb\n", "a\nb\n", "@@ -1,4 +1,2 @@\n a\n-x\n-y\n b\n"},
		"nothing left":   {"a\n", "", "@@ -1,1 +0,0 @@\n-a\n"},
		"one of two that are moved": {
			"s\na\nb\nc\ne\n", "s\nb\nc\na\ne\n", "@@ -1,5 +1,5 @@\n s\n-a\n b\n c\n+a\n e\n",
		},
		"the other way round": {
			"s\nb\nc\na\ne\n", "s\na\nb\nc\ne\n", "@@ -1,5 +1,5 @@\n s\n+a\n b\n c\n-a\n e\n",
		},
	} {
		d := newDiffer(t)
		if got, err := d.diff(row.before, row.after); err != nil || got != "--- "+d.path+"\n+++ "+d.path+"\n"+row.want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// TestDifferenceTellsFilesThatAreMadeAndRemoved, also empty ones, and a mode alone.
func TestDifferenceTellsFilesThatAreMadeAndRemoved(t *testing.T) {
	w := newWorld(t)
	fresh := filepath.Join(w.facts.StateDir, "new.json")
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(fresh, "", "")})
	if want := "--- /dev/null\n+++ " + fresh + "\n"; err != nil || res.Diff != want {
		t.Errorf("an empty file: %v\n%s", err, res.Diff)
	}
	if preview, err := w.e.PreviewUndo(res.ID, false); err != nil || preview != "--- "+fresh+"\n+++ /dev/null\n" {
		t.Errorf("its undo: %v\n%s", err, preview)
	}
	w.vendor.Write, w.vendor.Mode = broken, 0o600
	res, err = w.e.Execute(t.Context(), repair.Request{Plan: w.fix()})
	if want := "mode 0640 -> 0600 " + w.config + "\n"; err != nil || res.Diff != want {
		t.Errorf("a mode: %v\n%s", err, res.Diff)
	}
	if preview, err := w.e.Preview(repair.Named{Name: "d"}, writes(w.config, broken, sum(broken))); err != nil ||
		preview != "" {
		t.Errorf("no difference: %v\n%s", err, preview)
	}
}

func TestEvidenceHasALimitOfTime(t *testing.T) {
	w := newWorld(t)
	for given, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, -time.Second: 30 * time.Second, 2 * time.Second: 2 * time.Second, time.Hour: time.Minute,
	} {
		g := repair.Gatherer{Gateway: w.facts, Exec: w.exec}
		g.Gather(t.Context(), repair.Named{Name: "d"}, []doctor.EvidenceRequest{
			{ID: "x", Argv: append(w.facts.Command[:2:2], "config", "validate"), Timeout: given},
		})
		if got := w.vendor.jobs[len(w.vendor.jobs)-1].Timeout; got != want {
			t.Errorf("%v becomes %v, want %v", given, got, want)
		}
	}
}

// TestWhatCannotBeRolledBackIsTold: another program has put a directory in the place of a file.
func TestWhatCannotBeRolledBackIsTold(t *testing.T) {
	still := errors.New("it is still broken")
	for name, file := range map[string]string{"a file that was there": "openclaw.json", "a new file": "new.json"} {
		w := newWorld(t)
		path := filepath.Join(w.facts.StateDir, file)
		expected := map[bool]string{true: sum(broken)}[path == w.config]
		_, err := w.e.Execute(t.Context(), repair.Request{
			Plan: writes(path, "{}", expected),
			Verify: func(context.Context) error {
				return errors.Join(os.Remove(path), os.Mkdir(path, 0o700),
					os.WriteFile(filepath.Join(path, "theirs"), nil, 0o600), still)
			},
		})
		if !errors.Is(err, still) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(path, "theirs")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAllWritesAreComparedBeforeTheFirst: nothing is done when a file of a later step is not what it should be. After a
// command, or a step of the doctor, only the step itself can tell.
func TestAllWritesAreComparedBeforeTheFirst(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(w.facts.StateDir, "other.json")
	w.write(other, "other", 0o600)
	run, delegate := w.fix().Steps[0], doctor.Step{Title: "d", Delegate: &doctor.DelegateStep{
		ID: "d", Timeout: time.Minute, Paths: []string{w.config},
	}}
	write := func(path, content, expected string) doctor.Step { return writes(path, content, expected).Steps[0] }
	for name, row := range map[string]struct {
		steps []doctor.Step
		ok    bool
	}{
		"another file": {[]doctor.Step{write(w.config, "{}", sum(broken)), write(other, "x", sum("no"))}, false},
		"the same file twice": {
			[]doctor.Step{write(w.config, "{}", sum(broken)), write(w.config, "x", sum("{}"))}, true,
		},
		"after the same file twice": {
			[]doctor.Step{
				write(w.config, "{}", sum(broken)), write(w.config, "x", sum("{}")), write(other, "x", sum("no")),
			}, false,
		},
		"before a command":      {[]doctor.Step{write(other, "x", sum("no")), run}, false},
		"after a command":       {[]doctor.Step{run, write(w.config, "x", sum("by the command"))}, true},
		"after a doctor's step": {[]doctor.Step{delegate, write(w.config, "x", sum("by the doctor"))}, true},
	} {
		w.write(w.config, broken, 0o640)
		w.write(other, "other", 0o600)
		w.vendor.Write, w.vendor.Mode, w.vendor.calls = "by the command", 0o640, nil
		res, err := w.e.Execute(t.Context(), repair.Request{
			Plan: doctor.Plan{Title: name, Steps: row.steps},
			Delegate: func(context.Context, string, func(doctor.Progress)) (doctor.RepairResult, error) {
				w.write(w.config, "by the doctor", 0o640)
				return doctor.RepairResult{Changed: true}, nil
			},
		})
		if (err == nil) != row.ok || !row.ok && (res.ID != "" || len(w.vendor.calls) != 0 ||
			!errors.Is(err, fault.ErrFailedPrecondition)) {
			t.Errorf("%s: %v, %+v, %v", name, err, res, w.vendor.calls)
		}
		if row.ok {
			w.is(w.config, "x", 0o640)
		}
	}
}

func TestStateOfAFileSaysWhetherItHasChanged(t *testing.T) {
	w := newWorld(t)
	link, absent := filepath.Join(w.dir, "link"), filepath.Join(w.dir, "state", "no.json")
	if err := os.Symlink(w.config, link); err != nil {
		t.Fatal(err)
	}
	state := func(path string) repair.FileState {
		t.Helper()
		s, err := repair.StateOf(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := state(w.config)
	if first.Path != w.config || !first.Exists || first.SHA256 != sum(broken) || string(first.Data()) != broken {
		t.Errorf("got %+v", first)
	}
	copied := filepath.Join(w.dir, "state", "copy.json")
	w.write(copied, broken, 0o600)
	if !first.Same(state(link)) || first.Same(state(absent)) || first.Same(state(copied)) ||
		!state(absent).Same(state(absent)) {
		t.Error("equal and other files are not told apart")
	}
	w.write(w.config, "{}", 0o600)
	if first.Same(state(w.config)) {
		t.Error("another content is the same")
	}
	empty := first
	empty.Exists = false
	if first.Same(empty) {
		t.Error("a file that has gone is the same")
	}
	w.write(w.config, strings.Repeat("x", 8<<20), 0o600)
	if _, err := repair.StateOf(w.config); !errors.Is(err, fault.ErrExhausted) {
		t.Errorf("a large file: %v", err)
	}
	if _, err := repair.StateOf(filepath.Join(w.dir, "state")); err == nil {
		t.Error("a directory has a state")
	}
	loop := filepath.Join(w.dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if _, err := repair.StateOf(loop); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("a link to itself: %v", err)
	}
}

// cutOff leaves the files, and the record, of a repair whose host ends before it does. It returns the record's id.
func (w *world) cutOff(write string) string {
	w.t.Helper()
	var id string
	w.vendor.Write = write
	_, _ = w.e.Execute(w.t.Context(), repair.Request{Plan: w.fix(), Verify: func(context.Context) error {
		recs, err := w.e.Records()
		if err != nil || len(recs) == 0 || recs[0].Outcome != repair.OutcomeRunning {
			w.t.Fatalf("records = %+v, %v", recs, err)
		}
		id = recs[0].ID
		path := filepath.Join(w.dir, "repairs", "main", id, "manifest.json")
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		w.write(path+".running", string(text), 0o600)
		return nil
	}})
	path := filepath.Join(w.dir, "repairs", "main", id, "manifest.json")
	if err := os.Rename(path+".running", path); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// TestARepairThatWasCutOffIsRecordedAndCanBeUndone: the host ended in the middle of it.
func TestARepairThatWasCutOffIsRecordedAndCanBeUndone(t *testing.T) {
	w := newWorld(t)
	done, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, "one", sum(broken))})
	if err != nil {
		t.Fatal(err)
	}
	id := w.cutOff("two")
	half := filepath.Join(w.facts.StateDir, ".gatehost-half")
	inRecord := filepath.Join(w.dir, "repairs", "main", id, ".gatehost-half")
	w.write(half, "x", 0o600)
	w.write(inRecord, "x", 0o600)
	if err := w.e.Recover(); err != nil {
		t.Fatal(err)
	}
	recs, err := w.e.Records()
	if err != nil || len(recs) != 2 || recs[0].ID != id || recs[0].Outcome != repair.OutcomeCut ||
		recs[1].Outcome != repair.OutcomeDone {
		t.Fatalf("records = %+v, %v", recs, err)
	}
	for _, path := range []string{half, inRecord} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if last, err := w.e.Last(); err != nil || last.ID != id || !last.Undoable() {
		t.Errorf("the last repair is %+v, %v", last, err)
	}
	if _, err := w.e.Undo(t.Context(), id, false); !errors.Is(err, fault.ErrConflict) { // what it left is not known
		t.Errorf("undo without force: %v", err)
	}
	w.write(w.config, "one", 0o640) // it had changed nothing: there is nothing to undo of it
	if last, err := w.e.Last(); err != nil || last.ID != done.ID {
		t.Errorf("the last repair is %+v, %v", last, err)
	}
	if recs[0].Undoable() || !recs[1].Undoable() {
		t.Error("a file that is what it was before can be undone, or the other not")
	}
	// a file that cannot be read may have changed, and cannot be undone
	if err := errors.Join(os.Remove(w.config), os.Mkdir(w.config, 0o700)); err != nil {
		t.Fatal(err)
	}
	if last, err := w.e.Last(); err != nil || last.ID != id || last.Undoable() {
		t.Errorf("the last repair is %+v, %v", last, err)
	}
}

func TestRecoverTellsWhatItCannotRead(t *testing.T) {
	w := newWorld(t)
	if err := w.e.Recover(); err != nil {
		t.Errorf("without a repair: %v", err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "repairs"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(filepath.Join(w.dir, "repairs", "main"), "no directory", 0o600)
	if err := w.e.Recover(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("records that cannot be listed: %v", err)
	}
}

// TestAllRepairsThatWereCutOffAreRecorded, not only the newest.
func TestAllRepairsThatWereCutOffAreRecorded(t *testing.T) {
	w := newWorld(t)
	w.cutOff("one")
	w.cutOff("two")
	if err := w.e.Recover(); err != nil {
		t.Fatal(err)
	}
	if recs, err := w.e.Records(); err != nil || len(recs) != 2 || recs[0].Outcome != repair.OutcomeCut ||
		recs[1].Outcome != repair.OutcomeCut {
		t.Errorf("records = %+v, %v", recs, err)
	}
}

// TestUndoOfAFileThatIsGoneAndOfARecordThatIsPruned: neither is a failure.
func TestUndoOfAFileThatIsGoneAndOfARecordThatIsPruned(t *testing.T) {
	w := newWorld(t, func(o *repair.Options) { o.Keep = 1 })
	fresh := filepath.Join(w.facts.StateDir, "new.json")
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(fresh, "x", "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(fresh); err != nil {
		t.Fatal(err)
	}
	if _, err := w.e.Undo(t.Context(), res.ID, true); err != nil {
		t.Errorf("undo of a file that is gone: %v", err)
	}
	if recs, err := w.e.Records(); err != nil || len(recs) != 1 || recs[0].UndoOf != res.ID {
		t.Errorf("records = %+v, %v", recs, err)
	}
}

// TestMissingDirectoryOfTheConfigurationStopsNoCommand: the gateway's own command makes it. A write does not.
func TestMissingDirectoryOfTheConfigurationStopsNoCommand(t *testing.T) {
	w := newWorld(t, func(o *repair.Options) {
		o.Gateway.StateDir = filepath.Join(o.Gateway.StateDir, "no", "state")
		o.Gateway.ConfigPath = filepath.Join(o.Gateway.StateDir, "etc", "openclaw.json")
	})
	plan := w.fix()
	plan.Touches = []string{w.facts.ConfigPath}
	if err := w.e.CheckAutomatic(repair.Named{Name: "d"}, plan); err != nil {
		t.Fatal(err)
	}
	w.vendor.Err = errors.New("it did not work") // so that what was there before is restored: nothing
	if _, err := w.e.Execute(t.Context(), repair.Request{Plan: plan}); !errors.Is(err, w.vendor.Err) ||
		len(w.vendor.calls) != 1 {
		t.Errorf("%v, commands %v, want the error of the command", err, w.vendor.calls)
	}
	err := w.e.Check(repair.Named{Name: "d"}, writes(w.facts.ConfigPath, "{}", ""))
	if err == nil || !strings.Contains(err.Error(), "cannot find the directory of "+w.facts.ConfigPath) {
		t.Errorf("a write into a directory that is not there: %v", err)
	}
}
