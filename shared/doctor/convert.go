package doctor

import (
	"regexp"
	"time"

	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
)

// Bounds of what a doctor may say. MaxSteps is part of the contract.
const (
	MaxSteps = 32

	maxFindings = 64
	maxWants    = 16
	maxEvidence = 64
	maxTouches  = 64
	maxArgs     = 256
	maxText     = 8 << 10
	maxOutput   = 1 << 20
	maxContent  = 4 << 20
	maxData     = 64 << 10
	maxLines    = 120
	maxWant     = time.Minute
	maxStep     = 10 * time.Minute
)

var (
	codes = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	sums  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func diagnoseTo(r DiagnoseRequest) *pb.DiagnoseRequest {
	out := &pb.DiagnoseRequest{Gateway: wire.Facts(r.Gateway)}
	if i := r.Incident; i != nil {
		out.Incident = &pb.Incident{
			Exit: wire.Exit(i.Exit), Lines: wire.Lines(i.Lines[max(0, len(i.Lines)-maxLines):]), ErrorCode: i.ErrorCode,
			ErrorMessage: wire.Text(i.ErrorMessage, maxText),
			Attempt:      uint32(max(i.Attempt, 0)), Repaired: i.Repaired, //nolint:gosec // a small count
		}
		for _, s := range i.Symptoms {
			out.Incident.Symptoms = append(out.Incident.Symptoms, wire.Symptom(s))
		}
	}
	out.Evidence = evidenceTo(r.Evidence)
	return out
}

func evidenceTo(list []Evidence) []*pb.Evidence {
	var out []*pb.Evidence
	for _, e := range list {
		out = append(out, &pb.Evidence{
			Id: e.ID, Available: e.Available, Problem: wire.Text(e.Problem, maxText), Exit: wire.Exit(e.Exit),
			Stdout: wire.Text(e.Stdout, maxOutput), Stderr: wire.Text(e.Stderr, maxOutput),
			Exists: e.Exists, Size: e.Size, Sha256: e.SHA256, Content: e.Content,
		})
	}
	return out
}

func diagnoseFrom(r *pb.DiagnoseRequest) DiagnoseRequest {
	out := DiagnoseRequest{Gateway: wire.FactsFrom(r.GetGateway())}
	if i := r.GetIncident(); i != nil {
		out.Incident = &Incident{
			Exit: wire.ExitFrom(i.GetExit()), Lines: wire.LinesFrom(i.GetLines()), ErrorCode: i.GetErrorCode(),
			ErrorMessage: i.GetErrorMessage(), Attempt: int(i.GetAttempt()), Repaired: i.GetRepaired(),
		}
		for _, s := range i.GetSymptoms() {
			out.Incident.Symptoms = append(out.Incident.Symptoms, wire.SymptomFrom(s))
		}
	}
	out.Evidence = evidenceFrom(r.GetEvidence())
	return out
}

func evidenceFrom(list []*pb.Evidence) []Evidence {
	var out []Evidence
	for _, e := range list {
		out = append(out, Evidence{
			ID: e.GetId(), Available: e.GetAvailable(), Problem: e.GetProblem(), Exit: wire.ExitFrom(e.GetExit()),
			Stdout: e.GetStdout(), Stderr: e.GetStderr(), Exists: e.GetExists(), Size: e.GetSize(),
			SHA256: e.GetSha256(), Content: e.GetContent(),
		})
	}
	return out
}

func findingTo(f Finding) *pb.Finding {
	return &pb.Finding{
		Code: f.Code, Severity: wire.Severity(f.Severity), Text: wire.Text(f.Text, maxText),
		Hint:       wire.Text(f.Hint, maxText),
		Repairable: f.Repairable, Fatal: f.Fatal, OtherOwner: f.OtherOwner,
		Evidence:   wire.Strings(f.Evidence, maxEvidence, maxText),
		ConfigPath: wire.Text(f.ConfigPath, maxText), Data: f.Data,
	}
}

func findingFrom(f *pb.Finding) (Finding, error) {
	out := Finding{
		Code: f.GetCode(), Severity: wire.SeverityFrom(f.GetSeverity()), Text: wire.Text(f.GetText(), maxText),
		Hint: wire.Text(f.GetHint(), maxText), Repairable: f.GetRepairable(), Fatal: f.GetFatal(),
		OtherOwner: f.GetOtherOwner(),
		Evidence:   wire.Strings(f.GetEvidence(), maxEvidence, maxText), ConfigPath: wire.Text(f.GetConfigPath(),
			maxText), Data: f.GetData(),
	}
	switch {
	case len(out.Code) > 64 || !codes.MatchString(out.Code):
		return out, wire.Violation("a finding with the code %q", wire.Text(out.Code, 80))
	case len(out.Data) > maxData:
		return out, wire.Violation("finding %s carries %d bytes of data", out.Code, len(out.Data))
	}
	return out, nil
}

func wantTo(w EvidenceRequest) *pb.EvidenceRequest {
	out := &pb.EvidenceRequest{Id: w.ID}
	if len(w.Argv) > 0 {
		out.Want = &pb.EvidenceRequest_Exec{Exec: &pb.ExecWant{Argv: w.Argv, Timeout: wire.Duration(w.Timeout)}}
	} else {
		out.Want = &pb.EvidenceRequest_File{File: &pb.FileWant{Path: w.File}}
	}
	return out
}

// wantsFrom converts requests for evidence; each has an identity of its own.
func wantsFrom(list []*pb.EvidenceRequest) ([]EvidenceRequest, error) {
	if len(list) > maxWants {
		return nil, wire.Violation("%d requests for evidence", len(list))
	}
	var out []EvidenceRequest
	asked := map[string]bool{}
	for _, w := range list {
		got, err := wantFrom(w)
		if err != nil {
			return nil, err
		}
		if asked[got.ID] {
			return nil, wire.Violation("two requests for evidence with the id %q", got.ID)
		}
		asked[got.ID] = true
		out = append(out, got)
	}
	return out, nil
}

func wantFrom(w *pb.EvidenceRequest) (EvidenceRequest, error) {
	out := EvidenceRequest{ID: wire.Text(w.GetId(), 256)}
	var err error
	switch want := w.GetWant().(type) {
	case *pb.EvidenceRequest_Exec:
		out.Argv = want.Exec.GetArgv()
		if err = wire.Wholes("an argument", out.Argv, maxArgs, maxText); err == nil {
			out.Timeout, err = wire.Limit(want.Exec.GetTimeout(), maxWant)
		}
	case *pb.EvidenceRequest_File:
		out.File = want.File.GetPath()
		err = wire.Whole("a path", out.File, maxText)
	}
	if err != nil {
		return EvidenceRequest{}, err
	}
	if out.ID == "" || len(out.Argv) == 0 && out.File == "" {
		return out, wire.Violation("a request for evidence that wants nothing")
	}
	return out, nil
}

func planTo(p *Plan) *pb.RepairPlan {
	if p == nil {
		return nil
	}
	out := &pb.RepairPlan{Title: wire.Text(p.Title, maxText), Touches: p.Touches}
	for _, s := range p.Steps {
		step := &pb.Step{Title: wire.Text(s.Title, maxText)}
		switch {
		case s.Exec != nil:
			exec := &pb.ExecStep{Argv: s.Exec.Argv, Timeout: wire.Duration(s.Exec.Timeout)}
			for _, c := range s.Exec.SuccessCodes {
				exec.SuccessCodes = append(exec.SuccessCodes, int32(c)) //nolint:gosec // exit codes are small
			}
			step.Action = &pb.Step_Exec{Exec: exec}
		case s.WriteFile != nil:
			step.Action = &pb.Step_WriteFile{WriteFile: &pb.WriteFileStep{
				Path: s.WriteFile.Path, Content: s.WriteFile.Content, ExpectedSha256: s.WriteFile.ExpectedSHA256,
			}}
		case s.Delegate != nil:
			step.Action = &pb.Step_Delegate{Delegate: &pb.DelegateStep{
				Id: s.Delegate.ID, Timeout: wire.Duration(s.Delegate.Timeout), Paths: s.Delegate.Paths,
			}}
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

func planFrom(p *pb.RepairPlan) (*Plan, error) {
	if p == nil || len(p.GetSteps()) == 0 {
		return nil, nil //nolint:nilnil // no plan is an answer: not repairable by this doctor
	}
	if len(p.GetSteps()) > MaxSteps || len(p.GetTouches()) > maxTouches {
		return nil, wire.Violation("a plan of %d steps that touches %d files", len(p.GetSteps()), len(p.GetTouches()))
	}
	out := &Plan{Title: wire.Text(p.GetTitle(), maxText), Touches: p.GetTouches()}
	if err := wire.Wholes("a touched file", out.Touches, maxTouches, maxText); err != nil {
		return nil, err
	}
	for i, s := range p.GetSteps() {
		step, err := stepFrom(i+1, s)
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}

// stepFrom refuses what would be dangerous in part: a cut command, path or list of files to back up.
func stepFrom(n int, s *pb.Step) (Step, error) {
	step := Step{Title: wire.Text(s.GetTitle(), maxText)}
	var err error
	switch a := s.GetAction().(type) {
	case *pb.Step_Exec:
		step.Exec, err = execFrom(n, a.Exec)
	case *pb.Step_WriteFile:
		step.WriteFile, err = writeFrom(n, a.WriteFile)
	case *pb.Step_Delegate:
		step.Delegate, err = delegateFrom(n, a.Delegate)
	default:
		err = wire.Violation("step %d of a plan does nothing", n)
	}
	return step, err
}

func execFrom(n int, e *pb.ExecStep) (*ExecStep, error) {
	if len(e.GetArgv()) == 0 || e.GetArgv()[0] == "" {
		return nil, wire.Violation("step %d runs no program", n)
	}
	if err := wire.Wholes("an argument", e.GetArgv(), maxArgs, maxText); err != nil {
		return nil, err
	}
	timeout, err := wire.Limit(e.GetTimeout(), maxStep)
	if err != nil {
		return nil, err
	}
	if len(e.GetSuccessCodes()) > maxArgs {
		return nil, wire.Violation("step %d has %d success codes", n, len(e.GetSuccessCodes()))
	}
	out := &ExecStep{Argv: e.GetArgv(), Timeout: timeout}
	for _, c := range e.GetSuccessCodes() {
		out.SuccessCodes = append(out.SuccessCodes, int(c))
	}
	return out, nil
}

func writeFrom(n int, w *pb.WriteFileStep) (*WriteFileStep, error) {
	switch {
	case w.GetPath() == "":
		return nil, wire.Violation("step %d writes a file without a path", n)
	case len(w.GetContent()) > maxContent:
		return nil, wire.Violation("step %d writes %d bytes", n, len(w.GetContent()))
	case w.GetExpectedSha256() != "" && !sums.MatchString(w.GetExpectedSha256()):
		return nil, wire.Violation("step %d expects a sha256 that is none", n)
	}
	if err := wire.Whole("a path", w.GetPath(), maxText); err != nil {
		return nil, err
	}
	return &WriteFileStep{Path: w.GetPath(), Content: w.GetContent(), ExpectedSHA256: w.GetExpectedSha256()}, nil
}

func delegateFrom(n int, d *pb.DelegateStep) (*DelegateStep, error) {
	if d.GetId() == "" || len(d.GetId()) > 256 {
		return nil, wire.Violation("step %d delegates without an id that can be given back", n)
	}
	if err := wire.Wholes("a file to back up", d.GetPaths(), maxTouches, maxText); err != nil {
		return nil, err
	}
	timeout, err := wire.Limit(d.GetTimeout(), maxStep)
	if err != nil {
		return nil, err
	}
	return &DelegateStep{ID: d.GetId(), Timeout: timeout, Paths: d.GetPaths()}, nil
}
