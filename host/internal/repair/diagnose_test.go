package repair_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/launcher"
	"github.com/gatehost/gatehost/shared/plugin"
)

// fakeDoctor is a doctor with knobs.
type fakeDoctor struct {
	Wants    [][]doctor.EvidenceRequest // one list a round
	Findings []doctor.Finding
	Steps    int
	Err      error
	PlanErr  error
	Panics   bool
	Hangs    bool
	seen     []doctor.DiagnoseRequest
}

func (f *fakeDoctor) Diagnose(ctx context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	f.seen = append(f.seen, req)
	if f.Panics {
		panic("planted")
	}
	if f.Hangs {
		<-ctx.Done()
		return doctor.Diagnosis{}, ctx.Err()
	}
	if n := len(f.seen); n <= len(f.Wants) {
		return doctor.Diagnosis{Wants: f.Wants[n-1]}, nil
	}
	return doctor.Diagnosis{Findings: f.Findings}, f.Err
}

func (f *fakeDoctor) Plan(_ context.Context, gw plugin.GatewayFacts, _ doctor.Finding) (*doctor.Plan, error) {
	p := &doctor.Plan{Title: "plan"}
	for range f.Steps {
		p.Steps = append(p.Steps,
			doctor.Step{Exec: &doctor.ExecStep{Argv: append(slices.Clone(gw.Command), "x"), Timeout: time.Second}})
	}
	return p, f.PlanErr
}

func (f *fakeDoctor) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	return doctor.RepairResult{}, fault.New(fault.Unsupported, "no")
}

func finding(code string, repairable bool) []doctor.Finding {
	return []doctor.Finding{{Code: code, Severity: plugin.SeverityError, Text: code, Repairable: repairable}}
}

func ask(id string) []doctor.EvidenceRequest { return []doctor.EvidenceRequest{{ID: id, File: "/x"}} }

// answers is evidence that is always there.
type answers struct{ content []bool }

func (a *answers) Gather(_ context.Context, who repair.Named, wants []doctor.EvidenceRequest) []doctor.Evidence {
	a.content = append(a.content, who.Content)
	var out []doctor.Evidence
	for _, w := range wants {
		out = append(out, doctor.Evidence{ID: w.ID, Available: true})
	}
	return out
}

func TestFirstPlanWinsAndAllFindingsAreKept(t *testing.T) {
	chain := []repair.Named{
		{Name: "useless", Doctor: &fakeDoctor{Findings: finding("a", true)}}, // no steps
		{Name: "no plan", Doctor: &fakeDoctor{Findings: finding("b", false), Steps: 1}},
		{Name: "first", Doctor: &fakeDoctor{Findings: append(finding("c", false), finding("d", true)...), Steps: 1}},
		{Name: "second", Doctor: &fakeDoctor{Findings: finding("e", true), Steps: 1}},
	}
	d := repair.RunDiagnosis(t.Context(), chain,
		doctor.DiagnoseRequest{Gateway: plugin.GatewayFacts{Command: []string{"x"}}}, &answers{}, nil)
	var codes []string
	for _, f := range d.Findings {
		codes = append(codes, f.Doctor+":"+f.Finding.Code)
	}
	if got := strings.Join(codes, " "); got != "useless:a no plan:b first:c first:d second:e" {
		t.Errorf("findings = %s", got)
	}
	if d.Proposal == nil || d.Proposal.Doctor != "first" || d.Proposal.Finding.Code != "d" || len(d.Skipped) != 0 {
		t.Errorf("proposal = %+v, skipped %v", d.Proposal, d.Skipped)
	}
}

func TestDoctorThatFailsOrTalksNonsenseIsSkippedAndNoted(t *testing.T) {
	many := make([]doctor.EvidenceRequest, 17)
	for i := range many {
		many[i] = doctor.EvidenceRequest{ID: strings.Repeat("i", i+1), File: "/x"}
	}
	for name, f := range map[string]*fakeDoctor{
		"fails":                    {Err: errors.New("no")},
		"panics":                   {Panics: true},
		"never stops asking":       {Wants: [][]doctor.EvidenceRequest{ask("1"), ask("2"), ask("3"), ask("4")}},
		"asks for too much":        {Wants: [][]doctor.EvidenceRequest{many}},
		"asks for nothing":         {Wants: [][]doctor.EvidenceRequest{{{ID: "a"}}}},
		"asks for two things":      {Wants: [][]doctor.EvidenceRequest{{{ID: "a", File: "/x", Argv: []string{"x"}}}}},
		"asks twice under a name":  {Wants: [][]doctor.EvidenceRequest{append(ask("a"), ask("a")...)}},
		"asks without a name":      {Wants: [][]doctor.EvidenceRequest{ask("")}},
		"has a code that is none":  {Findings: finding("Not A Code", false)},
		"has a finding of nothing": {Findings: []doctor.Finding{{Code: "x"}}},
		"has no end of findings":   {Findings: slices.Repeat(finding("x", false), 65)},
		"cannot plan":              {Findings: finding("x", true), PlanErr: errors.New("no")},
	} {
		chain := []repair.Named{
			{Name: name, Doctor: f},
			{Name: "good", Doctor: &fakeDoctor{Findings: finding("ok", true), Steps: 1}},
		}
		d := repair.RunDiagnosis(t.Context(), chain, doctor.DiagnoseRequest{}, &answers{}, nil)
		if len(d.Skipped) != 1 || d.Skipped[0].Doctor != name || d.Skipped[0].Err == nil {
			t.Errorf("%s: skipped = %v", name, d.Skipped)
		}
		if d.Proposal == nil || d.Proposal.Doctor != "good" {
			t.Errorf("%s: the next doctor was not heard: %+v", name, d)
		}
	}
}

func TestDoctorThatHangsDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain := []repair.Named{
			{Name: "slow", Doctor: &fakeDoctor{Hangs: true}},
			{Name: "good", Doctor: &fakeDoctor{Findings: finding("ok", false)}},
		}
		began := time.Now()
		d := repair.RunDiagnosis(t.Context(), chain, doctor.DiagnoseRequest{}, nil, nil)
		if len(d.Skipped) != 1 || len(d.Findings) != 1 || time.Since(began) > time.Minute {
			t.Errorf("%+v after %v", d, time.Since(began))
		}
	})
}

func TestEvidenceOfAllRoundsIsGivenTogetherAndToItsOwnDoctorOnly(t *testing.T) {
	a := &fakeDoctor{Wants: [][]doctor.EvidenceRequest{ask("1"), ask("2"), ask("1")}, Findings: finding("x", false)}
	b := &fakeDoctor{Findings: finding("y", false)}
	g := &answers{}
	d := repair.RunDiagnosis(t.Context(),
		[]repair.Named{{Name: "a", Doctor: a, Content: true}, {Name: "b", Doctor: b}}, doctor.DiagnoseRequest{}, g, nil)
	if len(d.Findings) != 2 || len(a.seen) != 4 || len(a.seen[3].Evidence) != 2 || len(b.seen[0].Evidence) != 0 {
		t.Errorf("%+v, rounds %d", d, len(a.seen))
	}
	if !slices.Equal(g.content, []bool{true, true, true}) {
		t.Errorf("content = %v", g.content)
	}
}

func TestPlanThatReachesTooFarIsNoProposal(t *testing.T) {
	w := newWorld(t)
	chain := []repair.Named{{
		Name:   "evil",
		Doctor: &fakeDoctor{Findings: finding("x", true), Steps: doctor.MaxSteps + 1},
	}}
	d := repair.RunDiagnosis(t.Context(), chain, doctor.DiagnoseRequest{Gateway: w.facts}, nil, w.e.Check)
	if d.Proposal != nil || len(d.Skipped) != 1 || len(d.Findings) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestEvidenceIsBoundedAndStaysInside(t *testing.T) {
	w := newWorld(t)
	outside := filepath.Join(w.dir, "outside", "x")
	w.write(outside, "precious", 0o600)
	if err := os.Symlink(outside, filepath.Join(w.facts.StateDir, "link")); err != nil {
		t.Fatal(err)
	}
	var gotTimeout time.Duration
	g := repair.Gatherer{
		Gateway: w.facts,
		Redact:  func(s string) string { return strings.ReplaceAll(s, "known-secret", "[redacted]") },
		Exec: func(_ context.Context, job repair.Job, onLine func(plugin.Line)) (repair.Ran, error) {
			gotTimeout = job.Timeout
			if job.Secrets || job.Kind != repair.KindEvidence {
				t.Errorf("evidence runs as %+v", job)
			}
			if slices.Contains(job.Argv, "flood") {
				for range 100 {
					onLine(plugin.Line{Text: strings.Repeat("x", 64<<10), Stream: plugin.Stderr})
				}
			}
			onLine(plugin.Line{Text: `{"token":"known-secret"}`, Stream: plugin.Stdout})
			return repair.Ran{ExecResult: launcher.ExecResult{
				Exit:     plugin.Exit{Known: true, Code: 1},
				TimedOut: slices.Contains(job.Argv, "slow"),
			}}, nil
		},
	}
	cmd := func(args ...string) []string { return append(slices.Clone(w.facts.Command), args...) }
	who := repair.Named{Name: "d", Commands: [][]string{{"flood"}, {"slow"}}}
	got := g.Gather(t.Context(), who, []doctor.EvidenceRequest{
		{ID: "ok", Argv: cmd("config", "validate"), Timeout: time.Hour},
		{ID: "flood", Argv: cmd("flood")},
		{ID: "slow", Argv: cmd("slow")},
		{ID: "rm", Argv: []string{"rm", "x"}},
		{ID: "file", File: w.config},
		{ID: "none", File: w.config + ".no"},
		{ID: "out", File: outside},
		{ID: "link", File: filepath.Join(w.facts.StateDir, "link")},
		{ID: "dir", File: w.facts.StateDir},
	})
	by := map[string]doctor.Evidence{}
	for _, e := range got {
		by[e.ID] = e
	}
	for id, available := range map[string]bool{
		"ok": true, "flood": true, "file": true, "none": true, "slow": false,
		"rm": false, "out": false, "link": false, "dir": false,
	} {
		if e := by[id]; e.Available != available || (e.Problem == "") != available {
			t.Errorf("%s: available %v, problem %q", id, e.Available, e.Problem)
		}
	}
	if gotTimeout > time.Minute || by["ok"].Exit == nil || by["ok"].Stdout != "{\"token\":\"[redacted]\"}\n" {
		t.Errorf("timeout %v, evidence %+v", gotTimeout, by["ok"])
	}
	if n := len(by["flood"].Stderr); n == 0 || n > 1<<20 {
		t.Errorf("%d bytes of output", n)
	}
	if e := by["file"]; !e.Exists || e.SHA256 != sum(broken) || e.Size != uint64(len(broken)) || e.Content != nil {
		t.Errorf("file = %+v", e)
	}
	if by["none"].Exists {
		t.Error("a file that is not there exists")
	}
	who.Content = true
	e := g.Gather(t.Context(), who, []doctor.EvidenceRequest{{ID: "file", File: w.config}})[0]
	if string(e.Content) != broken {
		t.Errorf("with the grant: %q", e.Content)
	}
}
