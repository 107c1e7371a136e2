package conformance

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehost/gatehost/shared/fault"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// doctor is the doctor service of a process.
func (rn *runner) doctor(p Process) pb.DoctorServiceClient {
	return pb.NewDoctorServiceClient(p.Conn())
}

// verifies reports whether the plugin announces Verify.
func (rn *runner) verifies() bool {
	return slices.ContainsFunc(rn.info.Services, func(s plugin.ServiceInfo) bool {
		return s.Kind == plugin.KindDoctor && slices.Contains(s.Capabilities, plugin.CapabilityVerify)
	})
}

// doctorVerify asks whether plans have helped that were not done, and that were.
func doctorVerify(ctx context.Context, rn *runner) error {
	if !rn.verifies() {
		return skip("it does not announce the capability %q", plugin.CapabilityVerify)
	}
	plans, err := rn.proposals(ctx)
	if err != nil {
		return err
	}
	for _, pl := range plans {
		p, err := rn.granted(ctx)
		if err != nil {
			return err
		}
		if err := pl.run.gateway.reset(); err != nil {
			return err
		}
		r, err := rn.verify(ctx, p, pl)
		if err != nil {
			return err
		}
		if r.GetOutcome() == pb.Outcome_OUTCOME_HELPED {
			return breach("look whether the finding is gone",
				"Verify says that the plan for %s (%s) has helped, and nothing was done", pl.finding.GetCode(),
				pl.run.incident.Name)
		}
		changed, err := pl.run.gateway.changed()
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			return breach("Verify looks and changes nothing", "after Verify about %s: %s", pl.run.incident.Name,
				strings.Join(changed, ", "))
		}
	}
	return rn.verifyDone(ctx)
}

// verifyDone asks about delegated steps that were done.
func (rn *runner) verifyDone(ctx context.Context) error {
	jobs, err := rn.jobs(ctx)
	if err != nil {
		return nil //nolint:nilerr // there is none, or it is told elsewhere
	}
	for _, j := range jobs {
		p, err := rn.granted(ctx)
		if err != nil {
			return err
		}
		if len(j.plan.GetSteps()) > 1 || j.prepare() != nil {
			continue
		}
		if _, err := rn.do(ctx, p, j, false, nil); err != nil {
			return nil //nolint:nilerr // of that another check speaks
		}
		r, err := rn.verify(ctx, p, j.proposal)
		if err != nil {
			return err
		}
		if r.GetOutcome() == pb.Outcome_OUTCOME_NOT_HELPED && len(j.run.incident.Commands) == 0 {
			return breach("look whether the finding is gone",
				"Verify says that %s has not helped, right after it was done: %q", j.name(), r.GetText())
		}
	}
	return nil
}

// verify asks until there is an answer that wants nothing more.
func (rn *runner) verify(ctx context.Context, p Process, pl proposal) (*pb.VerifyResponse, error) {
	req := &pb.VerifyRequest{Gateway: pl.run.gateway.facts, Finding: pl.finding}
	for round := 0; ; round++ {
		bound, cancel := rn.within(ctx, deadlineDiagnose)
		r, err := rn.doctor(p).Verify(bound, req)
		cancel()
		if lost := rn.lost(p, "Doctor.Verify", err); lost != nil {
			return nil, lost
		}
		switch {
		case err != nil:
			return nil, breach("it is a finding of your own: answer unknown when you cannot tell",
				"Verify about %s fails: %v", pl.finding.GetCode(), fault.FromStatus(err))
		case len(r.GetWants()) == 0:
			return r, nil
		case round == mostRounds:
			return nil, breach("ask for everything at once, at most three times",
				"Verify about %s wants evidence a fourth time", pl.finding.GetCode())
		}
		for _, w := range r.GetWants() {
			if e := w.GetExec(); e != nil {
				if err := pl.run.gateway.judgeEvidence(e.GetArgv(), rn.info.WantedGrants); err != nil {
					return nil, breach("see the comments of EvidenceRequest", "a request of Verify for evidence (%s) %v",
						w.GetId(), err)
				}
			}
			req.Evidence = append(req.Evidence, pl.run.incident.evidence(pl.run.gateway, w, false, p.Asked().Grants))
		}
	}
}
