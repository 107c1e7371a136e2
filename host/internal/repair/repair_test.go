package repair_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

const broken = "{\n  \"gateway\": {\n    \"mode\": \"local\",\n    \"bogusKey\": true,\n" +
	"    \"auth\": {\"token\": \"canary-token-1\"}\n  }\n}\n"

// vendor stands in for the command that a plan runs: a fake with knobs.
type vendor struct {
	Write    string // new content of the configuration
	Mode     fs.FileMode
	Code     int
	Err      error
	TimedOut bool
	Lines    []string
	Blocks   bool // until ctx ends, after writing
	calls    [][]string
	jobs     []repair.Job
}

type world struct {
	t      *testing.T
	dir    string // holds state, repairs and outside
	config string
	vendor *vendor
	facts  plugin.GatewayFacts
	e      *repair.Executor
	now    time.Time
}

func newWorld(t *testing.T, change ...func(*repair.Options)) *world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, dir: dir, config: filepath.Join(dir, "state", "openclaw.json"), vendor: &vendor{},
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	for _, d := range []string{"state", "outside"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write(w.config, broken, 0o640)
	w.facts = plugin.GatewayFacts{
		Name: "main", Profile: "openclaw", Command: []string{"node", "openclaw.mjs"},
		StateDir: filepath.Join(dir, "state"), ConfigPath: w.config,
	}
	o := repair.Options{
		Dir: filepath.Join(dir, "repairs"), Gateway: w.facts, Exec: w.exec,
		Redact: func(s string) string { return strings.ReplaceAll(s, "known-secret", "[redacted]") },
		Now: func() time.Time {
			w.now = w.now.Add(time.Second)
			return w.now
		},
	}
	for _, c := range change {
		c(&o)
	}
	w.facts = o.Gateway
	if w.e, err = repair.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) exec(ctx context.Context, job repair.Job, onLine func(plugin.Line)) (repair.Ran, error) {
	v := w.vendor
	v.calls = append(v.calls, job.Argv)
	v.jobs = append(v.jobs, job)
	for _, l := range v.Lines {
		onLine(plugin.Line{Text: l, Stream: plugin.Stdout})
	}
	if v.Write != "" {
		w.write(w.config, v.Write, max(v.Mode, 0o600))
	}
	if v.Blocks {
		<-ctx.Done()
		return repair.Ran{}, context.Cause(ctx)
	}
	return repair.Ran{ExecResult: launcher.ExecResult{
		Exit: plugin.Exit{Code: v.Code, Known: true}, TimedOut: v.TimedOut,
	}}, v.Err
}

func (w *world) write(path, content string, mode fs.FileMode) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) is(path, content string, mode fs.FileMode) {
	w.t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if string(got) != content || info.Mode().Perm() != mode {
		w.t.Errorf("%s is %04o %q, want %04o %q", filepath.Base(path), info.Mode().Perm(), got, mode, content)
	}
}

func (w *world) fix() doctor.Plan {
	return doctor.Plan{
		Title: "repair", Touches: []string{w.config},
		Steps: []doctor.Step{{
			Title: "doctor --fix",
			Exec: &doctor.ExecStep{
				Argv:    []string{"node", "openclaw.mjs", "doctor", "--fix", "--yes", "--non-interactive"},
				Timeout: time.Minute,
			},
		}},
	}
}

func writes(path, content, expected string) doctor.Plan {
	return doctor.Plan{Title: "write", Steps: []doctor.Step{{
		Title:     "write",
		WriteFile: &doctor.WriteFileStep{Path: path, Content: []byte(content), ExpectedSHA256: expected},
	}}}
}

func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

func TestRepairIsBackedUpShownAndUndone(t *testing.T) {
	w := newWorld(t)
	fixed := strings.Replace(broken, "    \"bogusKey\": true,\n", "", 1)
	w.vendor.Write, w.vendor.Mode, w.vendor.Lines = fixed, 0o600, []string{"token known-secret", "done"}
	var said []repair.Progress
	res, err := w.e.Execute(t.Context(),
		repair.Request{Plan: w.fix(), Progress: func(p repair.Progress) { said = append(said, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Changed) != 1 || res.Changed[0] != w.config || res.RolledBack {
		t.Errorf("result = %+v", res)
	}
	if !strings.Contains(res.Diff, "-    \"bogusKey\": true,") || strings.Contains(res.Diff, "canary") ||
		!strings.Contains(res.Diff, "[redacted]") {
		t.Errorf("diff:\n%s", res.Diff)
	}
	if len(said) != 3 || said[1].Text != "token [redacted]" || said[2].Text != "done" || said[0].Step != 1 ||
		said[0].Steps != 1 {
		t.Errorf("progress = %+v", said)
	}
	onlyOwner(t, filepath.Join(w.dir, "repairs"))

	undone, err := w.e.UndoLast(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
	if !strings.Contains(undone.Diff, "+    \"bogusKey\": true,") {
		t.Errorf("diff of the undo:\n%s", undone.Diff)
	}
	if _, err := w.e.UndoLast(t.Context(), false); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a second undo: %v", err)
	}
	if _, err := w.e.Undo(t.Context(), res.ID, false); !errors.Is(err, fault.ErrFailedPrecondition) {
		t.Errorf("the same again: %v", err)
	}
	if _, err := w.e.Undo(t.Context(), undone.ID, false); err != nil { // an undo is a record, too
		t.Fatal(err)
	}
	w.is(w.config, fixed, 0o600)
}

// onlyOwner checks that no other user can read what is below dir.
func onlyOwner(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o", path, info.Mode().Perm())
		}
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("%d files, error %v", files, err)
	}
}

func TestFailedRepairLeavesEverythingAsItWas(t *testing.T) {
	for name, v := range map[string]*vendor{
		"fails":            {Write: "half", Code: 1},
		"times out":        {Write: "half", TimedOut: true},
		"cannot be run":    {Err: fault.New(fault.NotFound, "no such program")},
		"the plugin fails": {Write: "half", Err: errors.New("x")},
	} {
		w := newWorld(t)
		w.vendor = v
		res, err := w.e.Execute(t.Context(), repair.Request{Plan: w.fix()})
		if err == nil || len(res.Changed) != 0 || res.RolledBack != (v.Write != "") {
			t.Errorf("%s: result %+v, error %v", name, res, err)
		}
		w.is(w.config, broken, 0o640)
		if _, err := w.e.UndoLast(t.Context(), false); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: undo of what was rolled back: %v", name, err)
		}
	}
}

func TestCancelledRepairLeavesReadableFiles(t *testing.T) {
	w := newWorld(t)
	w.vendor.Write, w.vendor.Blocks, w.vendor.Lines = "half", true, []string{"working"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := w.e.Execute(ctx, repair.Request{Plan: w.fix(), Progress: func(p repair.Progress) {
		if p.Text != "" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	w.is(w.config, broken, 0o640)
	if recs, err := w.e.Records(); err != nil || len(recs) != 1 || recs[0].Outcome != repair.OutcomeCancelled {
		t.Errorf("records = %+v, %v", recs, err)
	}
}

func TestWhatADeadLauncherDidIsNotPutBack(t *testing.T) { // its command may still be writing (R21)
	w := newWorld(t)
	w.vendor.Write, w.vendor.Err = "half", fault.New(fault.PluginGone, "the plugin died")
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: w.fix()})
	if !errors.Is(err, fault.ErrPluginGone) || res.RolledBack {
		t.Errorf("result %+v, error %v", res, err)
	}
	if _, err := w.e.UndoLast(t.Context(), false); !errors.Is(err, fault.ErrConflict) { // what it left is unknown
		t.Errorf("undo without force: %v", err)
	}
	if _, err := w.e.UndoLast(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
}

func TestPlansThatReachTooFarAreRefusedAsAWhole(t *testing.T) {
	w := newWorld(t)
	outside := filepath.Join(w.dir, "outside", "x")
	w.write(outside, "precious", 0o600)
	if err := os.Symlink(outside, filepath.Join(w.facts.StateDir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(w.dir, "outside"), filepath.Join(w.facts.StateDir, "dir")); err != nil {
		t.Fatal(err)
	}
	exec := func(e doctor.ExecStep) doctor.Plan { return doctor.Plan{Steps: []doctor.Step{{Exec: &e}}} }
	good := w.fix().Steps[0].Exec.Argv
	many := w.fix()
	for range doctor.MaxSteps {
		many.Steps = append(many.Steps, many.Steps[0])
	}
	for name, plan := range map[string]doctor.Plan{
		"no steps":        {Title: "x"},
		"too many steps":  many,
		"another program": exec(doctor.ExecStep{Argv: []string{"rm", "-rf", "/"}, Timeout: time.Second}),
		"another script": exec(doctor.ExecStep{
			Argv:    []string{"node", "evil.mjs", "x"},
			Timeout: time.Second,
		}),
		"nothing but the command": exec(doctor.ExecStep{Argv: good[:2], Timeout: time.Second}),
		"a NUL": exec(doctor.ExecStep{
			Argv:    append(good[:2:2], "a\x00b"),
			Timeout: time.Second,
		}),
		"no limit":         exec(doctor.ExecStep{Argv: good}),
		"an endless limit": exec(doctor.ExecStep{Argv: good, Timeout: time.Hour}),
		"no action":        {Steps: []doctor.Step{{Title: "x"}}},
		"two actions": {
			Steps: []doctor.Step{{
				Exec:     &doctor.ExecStep{Argv: good, Timeout: time.Second},
				Delegate: &doctor.DelegateStep{ID: "d", Timeout: time.Second},
			}},
		},
		"a file outside": writes(outside, "x", sum("precious")),
		"a way around": writes(filepath.Join(w.facts.StateDir, "..", "outside", "x"), "x",
			sum("precious")),
		"a link out":                    writes(filepath.Join(w.facts.StateDir, "link"), "x", sum("precious")),
		"a directory that leads out":    writes(filepath.Join(w.facts.StateDir, "dir", "x"), "x", sum("precious")),
		"the state directory itself":    writes(w.facts.StateDir, "x", ""),
		"a directory that is not there": writes(filepath.Join(w.facts.StateDir, "no", "x"), "x", ""),
		"a relative path":               writes("openclaw.json", "x", sum(broken)),
		"a checksum that is none":       writes(w.config, "x", "abc"),
		"too much content":              writes(w.config, strings.Repeat("x", 5<<20), sum(broken)),
		"touching outside":              {Steps: w.fix().Steps, Touches: []string{outside}},
		"delegating outside": {
			Steps: []doctor.Step{
				{Delegate: &doctor.DelegateStep{ID: "d", Timeout: time.Second, Paths: []string{outside}}},
			},
		},
		"a good step before a bad one": {Steps: []doctor.Step{w.fix().Steps[0], {Title: "bad"}}},
	} {
		err := w.e.Check(repair.Named{Name: "d", Files: true}, plan)
		if fault.CodeOf(err) != fault.InvalidArgument && fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: Check = %v", name, err)
		}
		if res, err := w.e.Execute(t.Context(), repair.Request{Plan: plan}); err == nil || res.ID != "" {
			t.Errorf("%s: executed, %+v", name, res)
		}
	}
	if len(w.vendor.calls) != 0 {
		t.Errorf("commands ran: %v", w.vendor.calls)
	}
	w.is(outside, "precious", 0o600)
}

func TestConfigurationOutsideTheStateDirectoryMayBeWritten(t *testing.T) {
	w := newWorld(t, func(o *repair.Options) {
		real := filepath.Join(filepath.Dir(o.Gateway.StateDir), "outside", "dotfile.json")
		link := filepath.Join(filepath.Dir(real), "openclaw.json")
		if err := errors.Join(os.WriteFile(real, []byte("{}"), 0o600), os.Symlink(real, link)); err != nil {
			t.Fatal(err)
		}
		o.Gateway.ConfigPath = link
	})
	if _, err := w.e.Execute(t.Context(),
		repair.Request{Plan: writes(w.facts.ConfigPath, "{ }", sum("{}"))}); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(w.facts.ConfigPath); err != nil {
		t.Errorf("the link is gone: %v %s", err, target)
	}
	w.is(w.facts.ConfigPath, "{ }", 0o600)
	if _, err := w.e.UndoLast(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.is(w.facts.ConfigPath, "{}", 0o600)
}

func TestWritesKeepTheModeAndNewFilesArePrivate(t *testing.T) {
	w := newWorld(t)
	fresh := filepath.Join(w.facts.StateDir, "new.json")
	plan := writes(w.config, "{}", sum(broken))
	plan.Steps = append(plan.Steps, writes(fresh, "new", "").Steps...)
	before, err := w.e.Preview(repair.Named{Name: "d"}, plan)
	if err != nil || !strings.Contains(before, "+{}") || !strings.Contains(before, "--- /dev/null") {
		t.Errorf("preview = %v\n%s", err, before)
	}
	w.is(w.config, broken, 0o640) // a preview changes nothing
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: plan})
	if err != nil || len(res.Changed) != 2 {
		t.Fatalf("result %+v, error %v", res, err)
	}
	w.is(w.config, "{}", 0o640)
	w.is(fresh, "new", 0o600)
	if _, err := w.e.UndoLast(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file that the repair made is still there: %v", err)
	}
}

func TestFileThatIsNotWhatTheDoctorSawIsNotWritten(t *testing.T) {
	for name, plan := range map[string]func(w *world) doctor.Plan{
		"other content":    func(w *world) doctor.Plan { return writes(w.config, "x", sum("other")) },
		"should not exist": func(w *world) doctor.Plan { return writes(w.config, "x", "") },
		"should exist":     func(w *world) doctor.Plan { return writes(w.config+".no", "x", sum("y")) },
		"changed meanwhile": func(w *world) doctor.Plan {
			p := w.fix()
			p.Steps = append(p.Steps, writes(w.config, "x", sum(broken)).Steps...)
			w.vendor.Write = "changed by the first step"
			return p
		},
	} {
		w := newWorld(t)
		if _, err := w.e.Execute(t.Context(), repair.Request{Plan: plan(w)}); !errors.Is(err,
			fault.ErrFailedPrecondition) {
			t.Errorf("%s: error = %v", name, err)
		}
		w.is(w.config, broken, 0o640)
	}
}

func TestUndoRefusesWhatWasChangedSinceUnlessForced(t *testing.T) {
	w := newWorld(t)
	if _, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, "{}", sum(broken))}); err != nil {
		t.Fatal(err)
	}
	w.write(w.config, "by hand", 0o600)
	if _, err := w.e.UndoLast(t.Context(), false); !errors.Is(err, fault.ErrConflict) || fault.HintOf(err) == "" {
		t.Errorf("error = %v", err)
	}
	w.is(w.config, "by hand", 0o600)
	res, err := w.e.UndoLast(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
	if _, err := w.e.Undo(t.Context(), res.ID, false); err != nil { // what was forced over is not lost
		t.Fatal(err)
	}
	w.is(w.config, "by hand", 0o600)
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	w := newWorld(t)
	res, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, "{}", sum(broken))})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "repairs", "main", res.ID)
	w.write(filepath.Join(dir, "file-000"), "forged", 0o600)
	if _, err := w.e.Undo(t.Context(), res.ID, false); err == nil {
		t.Error("a forged copy was restored")
	}
	for _, manifest := range []string{"", "{", `{"version":9}`, `{"version":1,"id":"x"}`, strings.Repeat("x", 2<<20)} {
		w.write(filepath.Join(dir, "manifest.json"), manifest, 0o600)
		if _, err := w.e.Undo(t.Context(), res.ID, true); err == nil {
			t.Errorf("manifest %.20q was believed", manifest)
		}
	}
	for _, id := range []string{"", "..", "../../state", "20261123T120001.000Z-0000000g"} {
		if _, err := w.e.Undo(t.Context(), id, true); !errors.Is(err, fault.ErrInvalidArgument) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	w.is(w.config, "{}", 0o640)
}

func TestOnlySoManyRecordsAreKept(t *testing.T) {
	w := newWorld(t, func(o *repair.Options) { o.Keep = 3 })
	content := broken
	for i := range 6 {
		next := strings.Repeat("x", i+1)
		if _, err := w.e.Execute(t.Context(), repair.Request{Plan: writes(w.config, next, sum(content))}); err != nil {
			t.Fatal(err)
		}
		content = next
	}
	recs, err := w.e.Records()
	if err != nil || len(recs) != 3 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	if !recs[0].Time.After(recs[2].Time) {
		t.Errorf("the newest is not first: %v", recs)
	}
}

func TestOneRepairAtATime(t *testing.T) {
	w := newWorld(t)
	w.vendor.Blocks, w.vendor.Lines = true, []string{"working"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	checked := false
	_, _ = w.e.Execute(ctx, repair.Request{Plan: w.fix(), Progress: func(p repair.Progress) {
		if p.Text == "" || checked {
			return
		}
		checked = true
		if _, err := w.e.Execute(t.Context(), repair.Request{Plan: w.fix()}); !errors.Is(err, fault.ErrConflict) {
			t.Errorf("a second repair: %v", err)
		}
		if _, err := w.e.UndoLast(t.Context(), true); err == nil {
			t.Error("an undo in the middle of a repair")
		}
		cancel()
	}})
	if !checked {
		t.Error("the command never ran")
	}
}

func TestDelegatedStepIsDoneByTheDoctorAndBackedUpByUs(t *testing.T) {
	w := newWorld(t)
	plan := doctor.Plan{
		Steps: []doctor.Step{{
			Title:    "d",
			Delegate: &doctor.DelegateStep{ID: "step-1", Timeout: time.Minute, Paths: []string{w.config}},
		}},
	}
	if _, err := w.e.Execute(t.Context(), repair.Request{Plan: plan}); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("without a delegate: %v", err)
	}
	var said []string
	res, err := w.e.Execute(t.Context(),
		repair.Request{
			Plan: plan,
			Delegate: func(_ context.Context, id string, progress func(doctor.Progress)) (doctor.RepairResult, error) {
				progress(doctor.Progress{Text: "half way"})
				w.write(w.config, "by "+id, 0o640)
				return doctor.RepairResult{Changed: true, Summary: "did it"}, nil
			}, Progress: func(p repair.Progress) { said = append(said, p.Text) },
		})
	if err != nil || len(res.Changed) != 1 || strings.Join(said, ",") != ",half way,did it" {
		t.Fatalf("result %+v, said %q, error %v", res, said, err)
	}
	if _, err := w.e.UndoLast(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, broken, 0o640)
}

func TestBadExecutorsAreNotMade(t *testing.T) {
	for _, o := range []repair.Options{
		{Dir: "relative", Gateway: plugin.GatewayFacts{Name: "a"}},
		{Dir: "/x", Gateway: plugin.GatewayFacts{Name: "../a"}},
		{Dir: "/x"},
	} {
		if _, err := repair.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestClockThatWasSetBackCostsNoRecord: records are in order of time, and the newest is that of the last repair
// whatever the clock says.
func TestClockThatWasSetBackCostsNoRecord(t *testing.T) {
	w := newWorld(t, func(o *repair.Options) { o.Keep = 3 })
	content := broken
	change := func(next string) string {
		t.Helper()
		res, err := w.e.Execute(t.Context(),
			repair.Request{Plan: writes(w.config, next, sum(content)), KeepAside: true})
		if err != nil {
			t.Fatal(err)
		}
		content = next
		return res.ID
	}
	for _, next := range []string{"1", "2", "3", "4", "5", "6"} {
		change(next)
	}
	w.now = w.now.Add(-24 * time.Hour)
	began := w.now
	ids := []string{change("7"), change("8")}
	recs, err := w.e.Records()
	if err != nil || len(recs) != 3 || recs[0].ID != ids[1] || recs[1].ID != ids[0] ||
		recs[0].Time.Sub(began) > time.Minute {
		t.Fatalf("records %+v, %v", recs, err)
	}
	w.is(w.config+".broken-"+ids[1], "7", 0o600)
	if last, err := w.e.Last(); err != nil || last.ID != ids[1] {
		t.Errorf("the last repair is %s, %v", last.ID, err)
	}
	if _, err := w.e.UndoLast(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.is(w.config, "7", 0o640)
}
