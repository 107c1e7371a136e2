package repair

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
)

const (
	maxRounds   = 3 // of evidence, in one diagnosis (doctor.proto)
	maxFindings = 64
	maxWants    = 16
	askTimeout  = 30 * time.Second // of one request to a doctor; gathering evidence is not included
)

// Named is a doctor of the chain.
type Named struct {
	Name   string
	Doctor doctor.Doctor
	// Content: the doctor has the grant "gateway-config" and may see the content of files.
	Content bool
	// Files: the doctor has the grant "gateway-files", so its plans may write other files than the configuration without
	// a request.
	Files bool
	// Commands are the words behind the gateway's command that the doctor's grants name.
	Commands [][]string
}

// Evidence gathers what a doctor requests: one answer for each request. Evidence that cannot be gathered is an
// answer too.
type Evidence interface {
	Gather(ctx context.Context, who Named, wants []doctor.EvidenceRequest) []doctor.Evidence
}

// Found is a finding and the doctor that reported it.
type Found struct {
	Doctor  string
	Finding doctor.Finding
}

// Skipped is a doctor that could not be used, and why.
type Skipped struct {
	Doctor string
	Err    error
}

// Proposal is the plan that will be executed, when it is confirmed.
type Proposal struct {
	Doctor  string
	Finding doctor.Finding
	Plan    doctor.Plan
}

// Diagnosis is the result of the whole chain.
type Diagnosis struct {
	Findings []Found // of all doctors, in order
	Skipped  []Skipped
	Proposal *Proposal // the first plan; nil: no doctor knows a repair
}

// RunDiagnosis asks the doctors in order. The first plan that check accepts wins; all findings are reported. A
// doctor that fails, panics or violates the contract is skipped and listed; RunDiagnosis never fails itself. check
// may be nil.
func RunDiagnosis(ctx context.Context, chain []Named, req doctor.DiagnoseRequest, evidence Evidence,
	check func(Named, doctor.Plan) error,
) Diagnosis {
	var d Diagnosis
	for _, n := range chain {
		if ctx.Err() != nil {
			d.Skipped = append(d.Skipped, Skipped{n.Name, context.Cause(ctx)})
			continue
		}
		findings, err := n.ask(ctx, req, evidence)
		if err != nil {
			d.Skipped = append(d.Skipped, Skipped{n.Name, err})
			continue
		}
		for _, f := range findings {
			d.Findings = append(d.Findings, Found{n.Name, f})
		}
		for _, f := range findings {
			if d.Proposal != nil || !f.Repairable {
				continue
			}
			switch plan, err := n.plan(ctx, req, f, check); {
			case err != nil:
				d.Skipped = append(d.Skipped,
					Skipped{n.Name, fmt.Errorf("cannot plan the repair of %s: %w", f.Code, err)})
			case plan != nil:
				d.Proposal = &Proposal{n.Name, f, *plan}
			}
		}
	}
	return d
}

// ask asks the doctor, and again with the evidence that it requested.
func (n Named) ask(ctx context.Context, req doctor.DiagnoseRequest, evidence Evidence) ([]doctor.Finding, error) {
	var got doctor.Diagnosis
	err := n.rounds(ctx, evidence,
		func(ctx context.Context, known []doctor.Evidence) (wants []doctor.EvidenceRequest, err error) {
			req.Evidence = known // each doctor has its own evidence
			got, err = n.Doctor.Diagnose(ctx, req)
			return got.Wants, err
		})
	if err != nil {
		return nil, err
	}
	return got.Findings, checkFindings(got.Findings)
}

// question is one request to a doctor, with what is known so far; it returns the evidence that the doctor needs in
// addition.
type question func(ctx context.Context, known []doctor.Evidence) ([]doctor.EvidenceRequest, error)

// rounds asks until the doctor needs no more evidence.
func (n Named) rounds(ctx context.Context, evidence Evidence, ask question) error {
	var known []doctor.Evidence
	for round := 0; ; round++ {
		wants, err := ask.put(ctx, known)
		if err != nil || len(wants) == 0 {
			return err
		}
		if round == maxRounds {
			return violation("it still asks for evidence after %d rounds", maxRounds)
		}
		if err := checkWants(wants); err != nil {
			return err
		}
		if evidence == nil {
			return fault.New(fault.Unsupported, "cannot gather the evidence that the doctor wants")
		}
		for _, e := range evidence.Gather(ctx, n, wants) {
			if i := slices.IndexFunc(known, func(o doctor.Evidence) bool { return o.ID == e.ID }); i >= 0 {
				known[i] = e
			} else {
				known = append(known, e)
			}
		}
	}
}

func (q question) put(ctx context.Context, known []doctor.Evidence) (wants []doctor.EvidenceRequest, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer recovered(&err)
	return q(ctx, known)
}

func (n Named) plan(ctx context.Context, req doctor.DiagnoseRequest, f doctor.Finding,
	check func(Named, doctor.Plan) error,
) (p *doctor.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer recovered(&err)
	p, err = n.Doctor.Plan(ctx, req.Gateway, f)
	switch {
	case errors.Is(err, fault.ErrUnsupported): // the finding does not hold any more
		return nil, nil //nolint:nilnil // no plan is an answer
	case err != nil || p == nil || len(p.Steps) == 0:
		return nil, err
	case check != nil:
		if err := check(n, *p); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fault.New(fault.Internal, fmt.Sprintf("the doctor panicked: %v", r))
	}
}

var codePattern = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)*$`)

func checkFindings(findings []doctor.Finding) error {
	if len(findings) > maxFindings {
		return violation("it has %d findings, the limit is %d", len(findings), maxFindings)
	}
	for _, f := range findings {
		if len(f.Code) > 64 || !codePattern.MatchString(f.Code) {
			return violation("%q is not the code of a finding", bounded(f.Code, 64))
		}
		if f.Text == "" {
			return violation("its finding %s has no text", f.Code)
		}
	}
	return nil
}

func checkWants(wants []doctor.EvidenceRequest) error {
	if len(wants) > maxWants {
		return violation("it asks for %d pieces of evidence at once, the limit is %d", len(wants), maxWants)
	}
	seen := map[string]bool{}
	for _, w := range wants {
		switch {
		case w.ID == "" || seen[w.ID]:
			return violation("it asks for evidence without an identity of its own")
		case (len(w.Argv) == 0) == (w.File == ""):
			return violation("evidence %q is neither a command nor a file, or both", bounded(w.ID, 64))
		}
		seen[w.ID] = true
	}
	return nil
}

func violation(format string, args ...any) error {
	return fault.New(fault.Internal, "the doctor violated the contract: "+fmt.Sprintf(format, args...))
}
