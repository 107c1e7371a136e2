package doctor

import (
	"regexp"

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
)

var codes = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func diagnoseTo(r DiagnoseRequest) *pb.DiagnoseRequest {
	out := &pb.DiagnoseRequest{Gateway: wire.Facts(r.Gateway)}
	if i := r.Incident; i != nil {
		out.Incident = &pb.Incident{
			Exit: wire.Exit(i.Exit), Lines: wire.Lines(i.Lines), ErrorCode: i.ErrorCode, ErrorMessage: wire.Text(i.ErrorMessage, maxText),
			Attempt: uint32(max(i.Attempt, 0)), Repaired: i.Repaired, //nolint:gosec // a small count
		}
		for _, s := range i.Symptoms {
			out.Incident.Symptoms = append(out.Incident.Symptoms, wire.Symptom(s))
		}
	}
	for _, e := range r.Evidence {
		out.Evidence = append(out.Evidence, &pb.Evidence{
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
	for _, e := range r.GetEvidence() {
		out.Evidence = append(out.Evidence, Evidence{
			ID: e.GetId(), Available: e.GetAvailable(), Problem: e.GetProblem(), Exit: wire.ExitFrom(e.GetExit()),
			Stdout: e.GetStdout(), Stderr: e.GetStderr(), Exists: e.GetExists(), Size: e.GetSize(), SHA256: e.GetSha256(), Content: e.GetContent(),
		})
	}
	return out
}

func findingTo(f Finding) *pb.Finding {
	return &pb.Finding{
		Code: f.Code, Severity: wire.Severity(f.Severity), Text: wire.Text(f.Text, maxText), Hint: wire.Text(f.Hint, maxText),
		Repairable: f.Repairable, Fatal: f.Fatal, OtherOwner: f.OtherOwner, Evidence: wire.Strings(f.Evidence, maxEvidence, maxText),
		ConfigPath: wire.Text(f.ConfigPath, maxText), Data: f.Data,
	}
}

func findingFrom(f *pb.Finding) (Finding, error) {
	out := Finding{
		Code: f.GetCode(), Severity: wire.SeverityFrom(f.GetSeverity()), Text: wire.Text(f.GetText(), maxText),
		Hint: wire.Text(f.GetHint(), maxText), Repairable: f.GetRepairable(), Fatal: f.GetFatal(), OtherOwner: f.GetOtherOwner(),
		Evidence: wire.Strings(f.GetEvidence(), maxEvidence, maxText), ConfigPath: wire.Text(f.GetConfigPath(), maxText), Data: f.GetData(),
	}
	switch {
	case len(out.Code) > 64 || !codes.MatchString(out.Code):
		return out, wire.Nonsense("a finding with the code %q", wire.Text(out.Code, 80))
	case len(out.Data) > maxData:
		return out, wire.Nonsense("finding %s carries %d bytes of data", out.Code, len(out.Data))
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

func wantFrom(w *pb.EvidenceRequest) (EvidenceRequest, error) {
	out := EvidenceRequest{ID: wire.Text(w.GetId(), 256)}
	switch want := w.GetWant().(type) {
	case *pb.EvidenceRequest_Exec:
		out.Argv, out.Timeout = wire.Strings(want.Exec.GetArgv(), maxArgs, maxText), want.Exec.GetTimeout().AsDuration()
	case *pb.EvidenceRequest_File:
		out.File = wire.Text(want.File.GetPath(), maxText)
	}
	if out.ID == "" || len(out.Argv) == 0 && out.File == "" {
		return out, wire.Nonsense("a wish for evidence that wants nothing")
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
		return nil, wire.Nonsense("a plan of %d steps that touches %d files", len(p.GetSteps()), len(p.GetTouches()))
	}
	out := &Plan{Title: wire.Text(p.GetTitle(), maxText), Touches: wire.Strings(p.GetTouches(), maxTouches, maxText)}
	for i, s := range p.GetSteps() {
		step := Step{Title: wire.Text(s.GetTitle(), maxText)}
		switch a := s.GetAction().(type) {
		case *pb.Step_Exec:
			step.Exec = &ExecStep{Argv: wire.Strings(a.Exec.GetArgv(), maxArgs, maxText), Timeout: a.Exec.GetTimeout().AsDuration()}
			for _, c := range a.Exec.GetSuccessCodes() {
				step.Exec.SuccessCodes = append(step.Exec.SuccessCodes, int(c))
			}
		case *pb.Step_WriteFile:
			if len(a.WriteFile.GetContent()) > maxContent {
				return nil, wire.Nonsense("step %d writes %d bytes", i+1, len(a.WriteFile.GetContent()))
			}
			step.WriteFile = &WriteFileStep{
				Path: wire.Text(a.WriteFile.GetPath(), maxText), Content: a.WriteFile.GetContent(),
				ExpectedSHA256: wire.Text(a.WriteFile.GetExpectedSha256(), 128),
			}
		case *pb.Step_Delegate:
			step.Delegate = &DelegateStep{
				ID: wire.Text(a.Delegate.GetId(), 256), Timeout: a.Delegate.GetTimeout().AsDuration(),
				Paths: wire.Strings(a.Delegate.GetPaths(), maxTouches, maxText),
			}
		default:
			return nil, wire.Nonsense("step %d of a plan does nothing", i+1)
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}
