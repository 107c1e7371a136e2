package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
	"github.com/gatehost/gatehost/shared/unloader"
)

var update = flag.Bool("update", false, "write the table of checks into docs/plugin-verify.md")

func TestMain(m *testing.M) {
	ChildMain()
	os.Exit(m.Run())
}

func TestEveryCheckSaysWhatItHoldsAndWhere(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.ID] || !strings.HasPrefix(c.ID, string(c.Kind)+"/") || c.Title == "" ||
			strings.HasSuffix(c.Title, ".") || c.Row == "" || c.try == nil {
			t.Errorf("check = %+v", c)
		}
		seen[c.ID] = true
	}
	if got := Unknown([]string{"doctor/", "base/start", "doctor", "doctor/nothing", "x/"}); !slices.Equal(got,
		[]string{"doctor", "doctor/nothing", "x/"}) {
		t.Errorf("unknown = %q", got)
	}
}

// TestDocsListEveryCheck holds docs/plugin-verify.md equal to the table; -update writes it.
func TestDocsListEveryCheck(t *testing.T) {
	const begin, end = "<!-- checks: written by go test ./shared/conformance -update -->\n", "<!-- end of checks -->\n"
	path := filepath.Join("..", "..", "docs", "plugin-verify.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no place for the table", path)
	}
	var table strings.Builder
	table.WriteString("\n| check | what holds | contract |\n|---|---|---|\n")
	for _, c := range Checks() {
		id := "`" + c.ID + "`"
		if c.process {
			id += " *"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", id, c.Title, c.Row)
	}
	table.WriteString("\n")
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the table says: run go test ./shared/conformance -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+table.String()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedFileIsReadableWhenItIsWhole(t *testing.T) {
	before, after := []byte(`{"a": 1, "b": 2}`), []byte(`{"a": 1}`)
	for _, row := range []struct {
		name               string
		before, after, got []byte
		want               string // "" is readable
	}{
		{"as before", before, after, before, ""},
		{"as after", before, after, after, ""},
		{"another whole one", before, after, []byte(`{"a": 3}`), ""},
		{"empty", before, after, []byte{}, "is empty"},
		{"gone", before, after, nil, "is gone"},
		{"cut", before, after, []byte(`{"a`), "first 3 bytes"},
		{"mixed", before, after, []byte(`{"a": 1}, "b": 2}`), "not valid JSON"},
		{"empty before", []byte{}, after, []byte{}, ""},
		{"new and empty", nil, after, []byte{}, "is empty"},
		{"new and not there", nil, after, nil, ""},
		{"removed", before, nil, nil, ""},
		{"text that is no JSON", []byte("one\n"), []byte("two\n"), []byte("thr\n"), ""},
	} {
		err := readable("/x/openclaw.json", row.before, row.after, row.got)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestIncidentFilesAreStrict(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i.json")
	for text, want := range map[string]string{
		`{"name": "x", "symptoms": ["config-invalid"], "files": {"a/b.json": "{}"}}`: "",
		`{"name": "X"}`:                        "lower-case",
		`{"name": "x", "symptom": []}`:         "unknown field",
		`{"name": "x", "symptoms": ["odd"]}`:   "not a symptom",
		`{"name": "x", "files": {"../a": ""}}`: "not inside",
		`{`:                                    "EOF",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadIncident(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := ReadIncident(t.TempDir()); err == nil {
		t.Error("a directory is an incident")
	}
}

func TestBuiltInIncidentsNameNoMachine(t *testing.T) {
	own := regexp.MustCompile(`/home/|/root/|/work/`)
	for _, i := range builtIn() {
		text, err := json.Marshal(i)
		if err != nil || own.Match(text) {
			t.Errorf("%s: %v, names a place of a machine", i.Name, err)
		}
	}
}

func TestBigQuestionsAreAsBigAsTheContractAllows(t *testing.T) {
	q := longQuestion(&pb.DiagnoseRequest{Gateway: gatewayOfLines(), Incident: builtIn()[0].message()}, true)
	size := 0
	for _, l := range q.GetIncident().GetLines() {
		if len(l.GetText()) > longestLine {
			t.Errorf("a line of %d bytes", len(l.GetText()))
		}
		size += len(l.GetText())
	}
	for _, e := range q.GetEvidence() {
		size += len(e.GetStdout()) + len(e.GetStderr()) + len(e.GetContent())
	}
	if size < 15<<20 || size > 16<<20-(64<<10) || len(q.GetIncident().GetLines()) != 120 {
		t.Errorf("%d bytes in %d lines", size, len(q.GetIncident().GetLines()))
	}
}

// recorder is a test that only notes what is said of it.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed []string
	logged []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

func TestInATestTheFakesKeepTheContract(t *testing.T) {
	open := func() pluginkit.Plugin {
		return pluginkit.Plugin{
			Name: "fake", Version: "1.0.0", Doctor: &doctor.Fake{}, Classifier: &classifier.Fake{}, Unloader: &unloader.Fake{},
		}
	}
	Doctor(t, open)
	Classifier(t, open)
	Unloader(t, open)
}

func TestInATestABrokenPromiseFailsItByTheChecksName(t *testing.T) {
	r := &recorder{TB: t}
	Doctor(r, func() pluginkit.Plugin {
		return pluginkit.Plugin{Name: "bad", Version: "v1", Doctor: unbounded{}}
	})
	for _, want := range []string{"base/describe: ", "doctor/plan-bounded: "} {
		if !slices.ContainsFunc(r.failed, func(text string) bool {
			return strings.HasPrefix(text, want) &&
				strings.Contains(text, "hint: ")
		}) {
			t.Errorf("%q does not fail; what does: %q", want, r.failed)
		}
	}
	if len(r.failed) != 2 ||
		!slices.ContainsFunc(r.logged,
			func(text string) bool { return strings.HasPrefix(text, "base/host-gone: not applicable") }) {
		t.Errorf("failed = %q, logged = %q", r.failed, r.logged)
	}
}

// unbounded is a doctor whose plans take an hour.
type unbounded struct{ doctor.Doctor }

func (unbounded) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	if req.Incident == nil || req.Incident.Exit == nil || req.Incident.Exit.Signal != "SIGKILL" {
		return doctor.Diagnosis{}, nil
	}
	return doctor.Diagnosis{Findings: []doctor.Finding{{
		Code: "killed", Text: "killed", Severity: plugin.SeverityError,
		Repairable: true,
	}}}, nil
}

func (unbounded) Plan(_ context.Context, gw plugin.GatewayFacts, f doctor.Finding) (*doctor.Plan, error) {
	if f.Code != "killed" {
		return nil, nil
	}
	return &doctor.Plan{
		Title: "wait",
		Steps: []doctor.Step{{Title: "wait", Exec: &doctor.ExecStep{
			Argv:    append(gw.Command, "doctor", "--fix", "--yes", "--non-interactive"),
			Timeout: 3600e9,
		}}},
	}, nil
}

func (unbounded) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	return doctor.RepairResult{}, errors.ErrUnsupported
}

func TestReportIsATableForPeople(t *testing.T) {
	r := Report{Plugin: "p", Version: "1.0.0", TookMs: 1234, Checks: []Result{
		{ID: "base/start", Title: "it starts", Row: "Describe", Result: Holds, Why: "3 ms"},
		{ID: "doctor/repeat", Title: "the same", Row: "Diagnose", Result: Fails, Why: "it\nsays\tanother", Hint: "do not"},
		{ID: "doctor/cancel", Title: "it ends", Row: "Cancelling", Result: NotApplicable, Why: "nothing to try"},
	}}
	for _, want := range []string{
		"base/start     holds      0.0s  it starts (3 ms)\n", "doctor/repeat  FAILS      0.0s  it says another\n",
		"contract: the same (Diagnose)", "hint: do not",
		"doctor/cancel  n/a        0.0s  it ends: nothing to try\n", "p 1.0.0: 1 hold, 1 fail, 1 not applicable, in 1.2s",
	} {
		if !strings.Contains(r.Text(), want) {
			t.Errorf("no %q in\n%s", want, r.Text())
		}
	}
}

func TestChildDoesWhatItIsToldAndNeverOutlivesItsDirectory(t *testing.T) {
	dir := t.TempDir()
	var out, talk bytes.Buffer
	if code := RunChild([]string{dir, "lines=2", "exit=7", "partial"}, &out, &talk); code != 7 ||
		out.String() != "out 1\nout 2\nthe last words" || talk.String() != "err 1\nerr 2\n" {
		t.Errorf("exit code %d, %q, %q", code, out.String(), talk.String())
	}
	if data, err := os.ReadFile(filepath.Join(dir, "starts")); err != nil ||
		string(data) != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("starts = %q, %v", data, err)
	}
	for _, args := range [][]string{nil, {"relative"}, {dir, "odd"}, {dir, "lines=x"}} {
		if code := RunChild(args, &out, &talk); code != 64 {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
	gone := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	ended := make(chan int)
	go func() { ended <- RunChild([]string{gone, "hold"}, &bytes.Buffer{}, &talk) }()
	for {
		if _, err := os.Stat(filepath.Join(gone, "starts")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := os.RemoveAll(gone); err != nil {
		t.Fatal(err)
	}
	<-ended
}
