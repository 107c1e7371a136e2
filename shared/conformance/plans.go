package conformance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

func planChecks() []Check {
	k := plugin.KindDoctor
	return []Check{
		{
			ID: "doctor/plan-agrees", Kind: k, Title: "a finding that says repairable has a plan, and no other has",
			Row: "Finding.repairable, Doctor.Plan", try: planAgrees,
		},
		{
			ID: idPlanBounded, Kind: k, Title: "plans have at most 32 steps, each does one thing and at most 10 minutes",
			Row: "RepairPlan, Step", try: planBounded,
		},
		{
			ID: "doctor/plan-scope", Kind: k,
			Title: "plans run the gateway's own command and touch its own files, whose checksums they know",
			Row:   "ExecStep, WriteFileStep, DelegateStep", try: planScope,
		},
		{
			ID: "doctor/repair-dry-run", Kind: k, Title: "a dry run of a delegated step changes nothing",
			Row: "RepairRequest.dry_run", try: repairDryRun,
		},
		{
			ID: "doctor/repair-scope", Kind: k, Title: "a delegated step changes the files that it names and no other",
			Row: "DelegateStep.paths", try: repairScope,
		},
		{
			ID: "doctor/repair-again", Kind: k, Title: "a delegated step that was done has nothing to do a second time",
			Row: "Doctor.Repair: idempotent", try: repairAgain,
		},
		{
			ID: "doctor/repair-cancelled", Kind: k,
			Title: "a delegated step that is cancelled half-way stops writing and leaves readable files",
			Row:   "Doctor.Repair: cancelling leaves every file readable", try: repairCancelled,
		},
		{
			ID: "doctor/repair-killed", Kind: k, Title: "a delegated step that is killed half-way leaves readable files",
			Row: "Doctor.Repair: a miss is unknown, then Diagnose", process: true, try: repairKilled,
		},
		{
			ID: "doctor/verify", Kind: k, Title: "Verify calls no plan helped that was not done, and changes nothing",
			Row: "Doctor.Verify: 30 s; optional", try: doctorVerify,
		},
	}
}

const idPlanBounded = "doctor/plan-bounded"

// proposals are the plans to judge.
func (rn *runner) proposals(ctx context.Context) ([]proposal, error) {
	s := rn.doctorRuns(ctx)
	if s.err != nil {
		return nil, s.err
	}
	if len(s.plans()) == 0 {
		return nil, skip("it has no plan for any incident, see %s", idPlanBounded)
	}
	return s.plans(), nil
}

func planAgrees(ctx context.Context, rn *runner) error {
	s := rn.doctorRuns(ctx)
	if s.err != nil {
		return s.err
	}
	if len(s.talking()) == 0 {
		return skip("it has no finding for any of the incidents that were tried (%s); try one of yours with --incident",
			s.tried())
	}
	for _, v := range s.talking() {
		for _, p := range v.plans {
			where := fmt.Sprintf("%s (%s)", p.finding.GetCode(), v.incident.Name)
			switch {
			case p.err != nil && fault.CodeOf(p.err) != fault.Unsupported:
				return breach("no plan is an answer; the only error that is meant is unsupported",
					"Plan for its own finding %s fails: %v", where, p.err)
			case p.finding.GetRepairable() && p.plan == nil:
				return breach("say repairable only where Plan has steps",
					"the finding %s says that it is repairable, and there is no plan for it", where)
			case !p.finding.GetRepairable() && p.plan != nil:
				return breach("say repairable, or the host does not ask for the plan",
					"there is a plan for the finding %s, which says that it is not repairable", where)
			}
		}
	}
	return nil
}

// Bounds of a plan.
const (
	mostSteps    = 32
	mostTouches  = 64
	mostArgs     = 256
	mostStepTime = 10 * time.Minute
)

func planBounded(ctx context.Context, rn *runner) error {
	plans, err := rn.proposals(ctx)
	if _, none := errors.AsType[*inapplicable](err); none {
		return skip("it has no plan for any of the incidents that were tried (%s); try one of yours with --incident",
			rn.doctorRuns(ctx).tried())
	}
	if err != nil {
		return err
	}
	for _, p := range plans {
		if err := judgeBounds(p.plan); err != nil {
			return breach("the host refuses the whole plan; see the comments of RepairPlan", "the plan for %s (%s) %v",
				p.finding.GetCode(), p.run.incident.Name, err)
		}
	}
	rn.noteDown("%d plans", len(plans))
	return nil
}

func judgeBounds(p *pb.RepairPlan) error {
	switch {
	case len(p.GetSteps()) > mostSteps:
		return fmt.Errorf("has %d steps, the limit is %d", len(p.GetSteps()), mostSteps)
	case len(p.GetTouches()) > mostTouches:
		return fmt.Errorf("touches %d files, the limit is %d", len(p.GetTouches()), mostTouches)
	case strings.TrimSpace(p.GetTitle()) == "":
		return errors.New("has no title for the operator")
	}
	for n, s := range p.GetSteps() {
		if err := judgeStep(s); err != nil {
			return fmt.Errorf("has a step %d that %w", n+1, err)
		}
	}
	return nil
}

func judgeStep(s *pb.Step) error {
	switch a := s.GetAction().(type) {
	case *pb.Step_Exec:
		if len(a.Exec.GetArgv()) > mostArgs {
			return fmt.Errorf("has %d arguments, the limit is %d", len(a.Exec.GetArgv()), mostArgs)
		}
		return judgeTime(a.Exec.GetTimeout())
	case *pb.Step_WriteFile:
		if n := len(a.WriteFile.GetContent()); n > mostContent {
			return fmt.Errorf("writes %d bytes, the limit is %d", n, mostContent)
		}
		return nil
	case *pb.Step_Delegate:
		if a.Delegate.GetId() == "" || len(a.Delegate.GetPaths()) > mostTouches {
			return fmt.Errorf("is delegated without an id, or with more than %d files", mostTouches)
		}
		return judgeTime(a.Delegate.GetTimeout())
	default:
		return errors.New("does nothing")
	}
}

func judgeTime(d *durationpb.Duration) error {
	if d == nil || !d.IsValid() || d.AsDuration() <= 0 || d.AsDuration() > mostStepTime {
		return fmt.Errorf("has the time limit %v, which is not between 0 and %v", d.AsDuration(), mostStepTime)
	}
	return nil
}

func planScope(ctx context.Context, rn *runner) error {
	plans, err := rn.proposals(ctx)
	if err != nil {
		return err
	}
	for _, p := range plans {
		if err := p.judgeScope(rn.info.WantedGrants); err != nil {
			return breach("the host refuses the whole plan", "the plan for %s (%s) %v", p.finding.GetCode(),
				p.run.incident.Name, err)
		}
	}
	return nil
}

func (p proposal) judgeScope(grants []string) error {
	paths := p.plan.GetTouches()
	for _, s := range p.plan.GetSteps() {
		paths = append(paths, s.GetDelegate().GetPaths()...)
		if w := s.GetWriteFile(); w != nil {
			paths = append(paths, w.GetPath())
		}
		if e := s.GetExec(); e != nil {
			if err := p.run.gateway.judgeStep(e.GetArgv(), grants); err != nil {
				return err
			}
		}
	}
	for _, path := range paths {
		if !p.run.gateway.inScope(path) {
			return fmt.Errorf("names the file %q, which is not in the gateway's state directory %s", path,
				p.run.gateway.facts.GetStateDir())
		}
	}
	written := map[string]bool{}
	for _, s := range p.plan.GetSteps() {
		w := s.GetWriteFile()
		if w == nil || written[w.GetPath()] {
			continue // of a second write only the first's content could be expected
		}
		written[w.GetPath()] = true
		want := ""
		data, err := os.ReadFile(w.GetPath())
		switch {
		case err == nil:
			want = sumOf(data)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if w.GetExpectedSha256() != want {
			return fmt.Errorf("replaces %s and expects the sha256 %q there; it is %q", filepath.Base(w.GetPath()),
				w.GetExpectedSha256(), want)
		}
	}
	return nil
}
