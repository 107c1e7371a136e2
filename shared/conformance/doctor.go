package conformance

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

func doctorChecks() []Check {
	k := plugin.KindDoctor
	return append([]Check{
		{
			ID: idDoctorDeadline, Kind: k, Title: "every incident gets its answer within the deadline",
			Row: "Doctor.Diagnose and Doctor.Plan: 30 s", try: doctorDeadline,
		},
		{
			ID: "doctor/answers", Kind: k, Title: "findings and requests for evidence are what the contract allows",
			Row: "DiagnoseResponse, Finding, EvidenceRequest", try: doctorAnswers,
		},
		{
			ID: "doctor/changes-nothing", Kind: k, Title: "Diagnose and Plan change no file of the gateway",
			Row: "Doctor.Diagnose, Doctor.Plan", try: doctorChangesNothing,
		},
		{
			ID: "doctor/repeat", Kind: k, Title: "the same question gets the same answer",
			Row: "Doctor.Diagnose and Doctor.Plan: idempotent", try: doctorRepeat,
		},
		{
			ID: "doctor/concurrent", Kind: k, Title: "several gateways are diagnosed at once",
			Row: "Doctor.Diagnose: concurrent, one a gateway", try: doctorConcurrent,
		},
		{
			ID: "doctor/cancel", Kind: k, Title: "a call that is cancelled half-way ends, and the next one is answered",
			Row: "Cancelling a call ends its work", try: doctorCancel,
		},
		{
			ID: "doctor/big-incident", Kind: k,
			Title: "120 lines of 64 KiB, odd characters and evidence up to 16 MiB are answered",
			Row:   "Sizes: a message has at most 16 MiB", try: doctorBig,
		},
		{
			ID: "doctor/foreign-finding", Kind: k, Title: "Plan and Repair refuse what is not theirs and change nothing",
			Row: "Doctor.Plan, Doctor.Repair: unsupported", try: doctorForeign,
		},
	}, planChecks()...)
}

const idDoctorDeadline = "doctor/deadline"

// answered are the runs to work with.
func (rn *runner) answered(ctx context.Context) ([]*doctorRun, error) {
	s := rn.doctorRuns(ctx)
	if s.err != nil {
		return nil, s.err
	}
	if len(s.sound()) == 0 {
		return nil, skip("no incident got an answer, see %s and doctor/answers", idDoctorDeadline)
	}
	return s.sound(), nil
}

// attended are the same, with a process to ask again.
func (rn *runner) attended(ctx context.Context) ([]*doctorRun, Process, error) {
	runs, err := rn.answered(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := rn.granted(ctx)
	return runs, p, err
}

func doctorDeadline(ctx context.Context, rn *runner) error {
	s := rn.doctorRuns(ctx)
	if s.err != nil {
		return s.err
	}
	var slowest *doctorRun
	for _, v := range s.runs {
		if v.lateErr != nil {
			if s.given != "" {
				rn.noteDown("%s", s.given)
			}
			return v.lateErr
		}
		if slowest == nil || v.took > slowest.took {
			slowest = v
		}
	}
	rn.noteDown("%d incidents; the slowest was %s about %s with %d ms", len(s.runs), slowest.slowest,
		slowest.incident.Name, slowest.took.Milliseconds())
	return nil
}

// Bounds of what a doctor may say.
const (
	mostFindings = 64
	mostWants    = 16
	mostData     = 64 << 10
	mostEvidence = 60 * time.Second
)

var codes = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func doctorAnswers(ctx context.Context, rn *runner) error {
	s := rn.doctorRuns(ctx)
	if s.err != nil {
		return s.err
	}
	unsupported, findings := 0, 0
	for _, v := range s.runs {
		if v.lateErr != nil {
			continue // another check reports it
		}
		if err := v.judge(rn.info.WantedGrants); err != nil {
			return err
		}
		findings += len(v.answer.GetFindings())
		if v.err != nil {
			unsupported++
		}
	}
	if unsupported == len(s.runs) {
		return breach("answer no findings for what is not yours; unsupported is for a profile that you do not know",
			"it answers unsupported to every incident")
	}
	rn.noteDown("%d incidents, %d findings", len(s.runs), findings)
	return nil
}

func (v *doctorRun) judge(grants []string) error {
	if v.err != nil {
		if fault.CodeOf(v.err) == fault.Unsupported {
			return nil
		}
		return breach("no findings is an answer; the only error that is meant is unsupported",
			"Diagnose (%s) fails: %v", v.incident.Name, v.err)
	}
	if len(v.answer.GetWants()) > 0 && len(v.rounds) == mostRounds {
		return breach("ask for everything at once, at most three times", "it wants evidence a fourth time (%s)",
			v.incident.Name)
	}
	if n := len(v.answer.GetFindings()); n > mostFindings {
		return breach("say what counts", "%d findings (%s), the limit is %d", n, v.incident.Name, mostFindings)
	}
	for _, f := range v.answer.GetFindings() {
		if err := judgeFinding(f); err != nil {
			return breach("see the comments of Finding", "a finding about %s %v", v.incident.Name, err)
		}
	}
	ids := map[string]bool{}
	for _, w := range v.wants {
		if err := v.judgeWant(w, ids, grants); err != nil {
			return breach("see the comments of EvidenceRequest", "a request for evidence about %s %v", v.incident.Name,
				err)
		}
	}
	return nil
}

func judgeFinding(f *pb.Finding) error {
	switch {
	case len(f.GetCode()) > 64 || !codes.MatchString(f.GetCode()):
		return fmt.Errorf("has the code %.80q, which is not lower-case words joined by hyphens", f.GetCode())
	case f.GetSeverity() < pb.Severity_SEVERITY_INFO || f.GetSeverity() > pb.Severity_SEVERITY_ERROR:
		return fmt.Errorf("(%s) has no severity", f.GetCode())
	case strings.TrimSpace(f.GetText()) == "":
		return fmt.Errorf("(%s) has no text for the operator", f.GetCode())
	case len(f.GetData()) > mostData:
		return fmt.Errorf("(%s) carries %d bytes of data, the limit is %d", f.GetCode(), len(f.GetData()), mostData)
	default:
		return nil
	}
}

func (v *doctorRun) judgeWant(w *pb.EvidenceRequest, ids map[string]bool, grants []string) error {
	if w.GetId() == "" || ids[w.GetId()] {
		return fmt.Errorf("has the id %q, which is empty or was used before", w.GetId())
	}
	ids[w.GetId()] = true
	switch want := w.GetWant().(type) {
	case *pb.EvidenceRequest_Exec:
		timeout := want.Exec.GetTimeout()
		switch {
		case v.gateway.judgeEvidence(want.Exec.GetArgv(), grants) != nil:
			return fmt.Errorf("(%s) %w", w.GetId(), v.gateway.judgeEvidence(want.Exec.GetArgv(), grants))
		case timeout != nil && (timeout.AsDuration() <= 0 || timeout.AsDuration() > mostEvidence):
			return fmt.Errorf("(%s) has a limit of %v, it is at most %v", w.GetId(), timeout.AsDuration(), mostEvidence)
		}
	case *pb.EvidenceRequest_File:
		if !v.gateway.inScope(want.File.GetPath()) {
			return fmt.Errorf("(%s) is for the file %q outside of the state directory", w.GetId(), want.File.GetPath())
		}
	default:
		return fmt.Errorf("(%s) wants nothing", w.GetId())
	}
	return nil
}

func doctorChangesNothing(ctx context.Context, rn *runner) error {
	runs, err := rn.answered(ctx)
	if err != nil {
		return err
	}
	for _, v := range runs {
		if len(v.touched) > 0 {
			return breach("propose it in a plan; the host does it, with a backup",
				"after Diagnose and Plan about %s: %s", v.incident.Name, strings.Join(v.touched, ", "))
		}
	}
	return nil
}

func doctorRepeat(ctx context.Context, rn *runner) error {
	runs, p, err := rn.attended(ctx)
	if err != nil {
		return err
	}
	for _, v := range runs {
		r, err := rn.again(ctx, p, v)
		if err != nil {
			return err
		}
		if got, want := inWords(r), inWords(v.answer); got != want {
			return breach("an answer depends on what is asked, not on what was asked before",
				"asked again about %s it says %q, before it said %q", v.incident.Name, got, want)
		}
		for _, pl := range v.plans {
			if pl.err != nil {
				continue
			}
			bound, cancel := rn.within(ctx, deadlinePlan)
			again, err := rn.doctor(p).Plan(bound, &pb.PlanRequest{Gateway: v.gateway.facts, Finding: pl.finding})
			cancel()
			if lost := rn.lost(p, "a second Plan", err); lost != nil {
				return lost
			}
			if got, want := planInWords(again.GetPlan()), planInWords(pl.plan); err != nil || got != want {
				return breach("a plan depends on the finding and the gateway alone",
					"asked again for a plan for %s it says %s (%v), before it said %s", pl.finding.GetCode(), got, err,
					want)
			}
		}
	}
	return nil
}

// again asks the last round of a run once more.
func (rn *runner) again(ctx context.Context, p Process, v *doctorRun) (*pb.DiagnoseResponse, error) {
	bound, cancel := rn.within(ctx, deadlineDiagnose)
	defer cancel()
	r, err := rn.doctor(p).Diagnose(bound, v.asked)
	if lost := rn.lost(p, "a second Diagnose about "+v.incident.Name, err); lost != nil {
		return nil, lost
	}
	if err != nil {
		return nil, breach("an answer depends on what is asked, not on what was asked before",
			"asked again about %s it fails: %v", v.incident.Name, fault.FromStatus(err))
	}
	return r, nil
}

func doctorConcurrent(ctx context.Context, rn *runner) error {
	runs, p, err := rn.attended(ctx)
	if err != nil {
		return err
	}
	const each = 3
	errs := make([]error, each*len(runs))
	var calls sync.WaitGroup
	for n := range errs {
		calls.Go(func() {
			v := runs[n%len(runs)]
			v = &doctorRun{
				incident: v.incident, gateway: v.gateway, answer: v.answer,
				asked: askedAs(v.asked, fmt.Sprintf("%s-%d", v.gateway.facts.GetName(), n)),
			}
			r, err := rn.again(ctx, p, v)
			if err == nil && inWords(r) != inWords(v.answer) {
				err = breach("keep no state that calls share, or guard it",
					"beside other calls it says %q about %s, alone it said %q", inWords(r), v.incident.Name,
					inWords(v.answer))
			}
			errs[n] = err
		})
	}
	calls.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	rn.noteDown("%d calls at once", len(errs))
	return nil
}

// askedAs is the same question about a gateway of another name: the contract promises one call at a time for each
// gateway.
func askedAs(r *pb.DiagnoseRequest, name string) *pb.DiagnoseRequest {
	out, ok := proto.Clone(r).(*pb.DiagnoseRequest)
	if !ok || out.GetGateway() == nil {
		return r
	}
	out.Gateway.Name = name
	return out
}

func doctorCancel(ctx context.Context, rn *runner) error {
	runs, p, err := rn.attended(ctx)
	if err != nil {
		return err
	}
	client, cut := rn.doctor(p), 0
	for _, v := range runs {
		half, cancel := context.WithTimeout(ctx, max(v.took/2, time.Millisecond))
		_, err := client.Diagnose(half, v.asked)
		cancel()
		if code := fault.CodeOf(fault.FromStatus(err)); code == fault.PluginGone {
			return rn.lost(p, "a Diagnose that was cancelled", err)
		}
		if err != nil {
			cut++
		}
		r, err := rn.again(ctx, p, v)
		if err != nil {
			return fmt.Errorf("after a call that was cancelled half-way: %w", err)
		}
		if got, want := inWords(r), inWords(v.answer); got != want {
			return breach("a cancelled call leaves nothing behind",
				"after a cancelled call about %s it says %q, before it said %q", v.incident.Name, got, want)
		}
	}
	rn.noteDown("%d of %d calls were not answered before", cut, len(runs))
	return nil
}

func doctorForeign(ctx context.Context, rn *runner) error {
	s, err := rn.newScratchGateway(Incident{
		Name:  "foreign-finding",
		Files: map[string]string{configName: "{\"gateway\": {\"mode\": \"local\"}}\n"},
	})
	if err != nil {
		return err
	}
	p, err := rn.granted(ctx)
	if err != nil {
		return err
	}
	client := rn.doctor(p)
	finding := &pb.Finding{
		Code: "gatehost-verify-unknown", Severity: pb.Severity_SEVERITY_ERROR,
		Text: "a finding of another doctor", Repairable: true, Data: []byte{0xff, 0},
	}
	bound, cancel := rn.within(ctx, deadlinePlan)
	defer cancel()
	r, err := client.Plan(bound, &pb.PlanRequest{Gateway: s.facts, Finding: finding})
	if lost := rn.lost(p, "Doctor.Plan for a finding of another doctor", err); lost != nil {
		return lost
	}
	if err == nil && len(r.GetPlan().GetSteps()) > 0 {
		return breach("plan for your own codes only; else no plan, or unsupported",
			"it has a plan for the finding %q, which is none of its own: %s", finding.GetCode(),
			planInWords(r.GetPlan()))
	}
	result, err := repair(bound, client, &pb.RepairRequest{
		Gateway: s.facts, Finding: finding,
		StepId: "gatehost-verify-unknown",
	}, nil)
	if lost := rn.lost(p, "Doctor.Repair of an unknown step", err); lost != nil {
		return lost
	}
	if err == nil && result.GetChanged() {
		return breach("answer unsupported to a step that no plan of yours has",
			"Repair of a step that no plan has says that it changed something: %q", result.GetSummary())
	}
	changed, err := s.changed()
	if err == nil && len(changed) > 0 {
		err = breach("answer unsupported to a step that no plan of yours has",
			"Repair of a step that no plan has changed files: %s", strings.Join(changed, ", "))
	}
	return err
}
