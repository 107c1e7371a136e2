package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// doctorRuns is what a doctor says about every incident, gathered once; most checks judge it. It is kept as it came
// over the wire, because the checks look for what the host's adapters would refuse.
type doctorRuns struct {
	runs  []*doctorRun
	given string // why not all incidents were asked about; "" when all were
	err   error  // the doctor could not be asked at all
}

// doctorRun is one incident and everything that was said about it.
type doctorRun struct {
	incident Incident
	gateway  *scratchGateway
	asked    *pb.DiagnoseRequest // the last round
	rounds   [][]*pb.Evidence    // answered, one a round
	wants    []*pb.EvidenceRequest
	answer   *pb.DiagnoseResponse // of the last round; nil when it failed
	err      error                // of Diagnose
	took     time.Duration        // of the slowest call
	slowest  string               // which call that was
	late     string               // a call that was not answered in time, or with which the process ended
	lateErr  error
	plans    []planned
	touched  []string // what the calls changed, although they must change nothing
}

// planned is the answer to Plan about one finding.
type planned struct {
	finding *pb.Finding
	plan    *pb.RepairPlan // nil when there is none
	err     error
}

const mostRounds = 3

// doctorRuns asks the doctor about every incident, with one process that may write to the scratch gateways.
func (rn *runner) doctorRuns(ctx context.Context) *doctorRuns {
	if rn.diagnosed != nil {
		return rn.diagnosed
	}
	rn.diagnosed = &doctorRuns{}
	list := append(builtIn(), rn.opts.Incidents...)
	list = append(list,
		Incident{Name: "no-incident", Files: map[string]string{configName: "{\"gateway\": {\"mode\": \"local\"}}\n"}})
	failed := 0
	for n, i := range list {
		p, err := rn.granted(ctx)
		if err != nil {
			rn.diagnosed.err = err
			return rn.diagnosed
		}
		v, err := rn.doctorRun(ctx, p, i, n == len(list)-1)
		if err != nil {
			rn.diagnosed.err = err
			return rn.diagnosed
		}
		rn.diagnosed.runs = append(rn.diagnosed.runs, v)
		if v.lateErr != nil {
			rn.renew()
			if failed++; failed == 2 && n < len(list)-1 { // each costs a whole deadline
				rn.diagnosed.given = fmt.Sprintf(
					"after two calls without an answer the other %d incidents were not tried", len(list)-1-n)
				return rn.diagnosed
			}
		}
	}
	return rn.diagnosed
}

// doctorRun asks about one incident; without says that the doctor is asked without one.
func (rn *runner) doctorRun(ctx context.Context, p Process, i Incident, without bool) (*doctorRun, error) {
	s, err := rn.newScratchGateway(i)
	if err != nil {
		return nil, err
	}
	v := &doctorRun{incident: i, gateway: s, asked: &pb.DiagnoseRequest{Gateway: s.facts}}
	if !without {
		v.asked.Incident = i.message()
	}
	rn.diagnose(ctx, p, v)
	for _, f := range v.answer.GetFindings() {
		if v.lateErr != nil || len(v.answer.GetWants()) > 0 {
			break
		}
		got := planned{finding: f}
		v.time(rn, p, "Doctor.Plan", deadlinePlan, ctx, func(ctx context.Context) error {
			r, err := rn.doctor(p).Plan(ctx, &pb.PlanRequest{Gateway: s.facts, Finding: f})
			if len(r.GetPlan().GetSteps()) > 0 {
				got.plan = r.GetPlan()
			}
			got.err = fault.FromStatus(err)
			return err
		})
		v.plans = append(v.plans, got)
	}
	v.touched, err = s.changed()
	return v, err
}

// diagnose asks until an answer wants nothing more, or the contract's rounds are used up.
func (rn *runner) diagnose(ctx context.Context, p Process, v *doctorRun) {
	content := slices.Contains(p.Asked().Grants, plugin.GrantGatewayConfig)
	for {
		v.answer, v.err = nil, nil
		v.time(rn, p, "Doctor.Diagnose", deadlineDiagnose, ctx, func(ctx context.Context) error {
			r, err := rn.doctor(p).Diagnose(ctx, v.asked)
			if v.err = fault.FromStatus(err); err == nil {
				v.answer = r
			}
			return err
		})
		wants := v.answer.GetWants()
		if v.err != nil || len(wants) == 0 || len(v.rounds) == mostRounds {
			return
		}
		var got []*pb.Evidence
		for _, w := range wants {
			got = append(got, v.incident.evidence(v.gateway, w, content, p.Asked().Grants))
		}
		v.wants, v.rounds = append(v.wants, wants...), append(v.rounds, got)
		next, ok := proto.Clone(v.asked).(*pb.DiagnoseRequest)
		if !ok {
			return // it is what it was
		}
		next.Evidence = append(next.Evidence, got...)
		v.asked = next
	}
}

// time makes one call and notes how long it took, and when it was not answered.
func (v *doctorRun) time(rn *runner, p Process, name string, contract time.Duration,
	ctx context.Context, //nolint:revive // beside the call that gets it
	call func(context.Context) error,
) {
	bound, cancel := rn.within(ctx, contract)
	defer cancel()
	began := time.Now()
	err := call(bound)
	took := time.Since(began)
	if took > v.took {
		v.took, v.slowest = took, name
	}
	if took >= rn.deadline(contract) && ctx.Err() == nil { // also an answer that came at that moment
		err = context.DeadlineExceeded
	}
	if lost := rn.lost(p, name+" ("+v.incident.Name+")", err); lost != nil {
		v.late, v.lateErr = name, lost
	}
}

// sound are the runs that got an answer, each with its findings.
func (s *doctorRuns) sound() []*doctorRun {
	var out []*doctorRun
	for _, v := range s.runs {
		if v.answer != nil && v.lateErr == nil && len(v.answer.GetWants()) == 0 {
			out = append(out, v)
		}
	}
	return out
}

// talking are the sound runs about which the doctor had anything to say.
func (s *doctorRuns) talking() []*doctorRun {
	var out []*doctorRun
	for _, v := range s.sound() {
		if len(v.answer.GetFindings()) > 0 {
			out = append(out, v)
		}
	}
	return out
}

// tried names the incidents, for a check that found nothing.
func (s *doctorRuns) tried() string {
	var names []string
	for _, v := range s.runs {
		names = append(names, v.incident.Name)
	}
	return strings.Join(names, ", ")
}

// proposal is one plan of a doctor and the run that it belongs to.
type proposal struct {
	run *doctorRun
	planned
}

func (s *doctorRuns) plans() []proposal {
	var out []proposal
	for _, v := range s.sound() {
		for _, p := range v.plans {
			if p.plan != nil {
				out = append(out, proposal{v, p})
			}
		}
	}
	return out
}

// inWords is what matters in a diagnosis: codes and what follows from them, not the sentences.
func inWords(r *pb.DiagnoseResponse) string {
	var out []string
	for _, w := range r.GetWants() {
		out = append(out, fmt.Sprintf("wants %s %q %q", w.GetId(), w.GetExec().GetArgv(), w.GetFile().GetPath()))
	}
	for _, f := range r.GetFindings() {
		out = append(out, fmt.Sprintf("finding %s severity=%d repairable=%v fatal=%v other_owner=%v at=%q",
			f.GetCode(), f.GetSeverity(), f.GetRepairable(), f.GetFatal(), f.GetOtherOwner(), f.GetConfigPath()))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "; ")
}

// planInWords is the same for a plan.
func planInWords(p *pb.RepairPlan) string {
	var out []string
	for _, s := range p.GetSteps() {
		switch a := s.GetAction().(type) {
		case *pb.Step_Exec:
			out = append(out, fmt.Sprintf("run %q", a.Exec.GetArgv()))
		case *pb.Step_WriteFile:
			out = append(out, fmt.Sprintf("write %s %s", a.WriteFile.GetPath(), sumOf(a.WriteFile.GetContent())))
		case *pb.Step_Delegate:
			out = append(out, fmt.Sprintf("delegate %s %q", a.Delegate.GetId(), a.Delegate.GetPaths()))
		default:
			out = append(out, "nothing")
		}
	}
	return strings.Join(append(out, fmt.Sprintf("touches %q", p.GetTouches())), "; ")
}
