package doctor

import (
	"context"
	"slices"
	"sync"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Fake is a Doctor for tests. The zero value finds nothing; the exported fields are knobs, to be set before the first
// call. Safe for concurrent use, also inside a synctest bubble.
type Fake struct {
	Findings []Finding
	Wants    []EvidenceRequest // asked for in the first round, when no evidence is given
	Plans    map[string]*Plan  // by the code of the finding
	Progress []Progress        // reported by Repair
	Result   RepairResult
	Err      error         // of Diagnose
	PlanErr  error         // of Plan
	FixErr   error         // of Repair
	Blocks   chan struct{} // every call waits until it is closed, or ctx is done

	mu        sync.Mutex // guards all below
	diagnosed []DiagnoseRequest
	planned   []Finding
	repaired  []RepairRequest
}

var _ Doctor = (*Fake)(nil)

// Diagnosed are the requests so far.
func (f *Fake) Diagnosed() []DiagnoseRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.diagnosed)
}

// Planned are the findings that plans were asked for.
func (f *Fake) Planned() []Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.planned)
}

// Repaired are the delegated steps that were asked for.
func (f *Fake) Repaired() []RepairRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.repaired)
}

func (f *Fake) wait(ctx context.Context) error {
	if f.Blocks == nil {
		return ctx.Err()
	}
	select {
	case <-f.Blocks:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Diagnose is part of Doctor.
func (f *Fake) Diagnose(ctx context.Context, req DiagnoseRequest) (Diagnosis, error) {
	f.mu.Lock()
	f.diagnosed = append(f.diagnosed, req)
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return Diagnosis{}, err
	}
	if f.Err != nil {
		return Diagnosis{}, f.Err
	}
	if len(f.Wants) > 0 && len(req.Evidence) == 0 {
		return Diagnosis{Wants: slices.Clone(f.Wants)}, nil
	}
	return Diagnosis{Findings: slices.Clone(f.Findings)}, nil
}

// Plan is part of Doctor.
func (f *Fake) Plan(ctx context.Context, _ plugin.GatewayFacts, finding Finding) (*Plan, error) {
	f.mu.Lock()
	f.planned = append(f.planned, finding)
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	if f.PlanErr != nil {
		return nil, f.PlanErr
	}
	if !slices.ContainsFunc(f.Findings, func(own Finding) bool { return own.Code == finding.Code }) {
		return nil, fault.New(fault.Unsupported, "not my finding")
	}
	return f.Plans[finding.Code], nil
}

// Repair is part of Doctor.
func (f *Fake) Repair(ctx context.Context, req RepairRequest, progress func(Progress)) (RepairResult, error) {
	f.mu.Lock()
	f.repaired = append(f.repaired, req)
	f.mu.Unlock()
	for _, p := range f.Progress {
		progress(p)
	}
	if err := f.wait(ctx); err != nil {
		return RepairResult{}, err
	}
	return f.Result, f.FixErr
}

// FakeVerifier is a Fake that has Verify.
type FakeVerifier struct {
	Fake

	Verification Verification
	VerifyWants  []EvidenceRequest // asked for in the first round, when no evidence is given
	VerifyErr    error

	verified []VerifyRequest // guarded by Fake's mu
}

var _ Verifier = (*FakeVerifier)(nil)

// Verified are the requests so far.
func (f *FakeVerifier) Verified() []VerifyRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.verified)
}

// Verify is part of Verifier.
func (f *FakeVerifier) Verify(ctx context.Context, req VerifyRequest) (Verification, error) {
	f.mu.Lock()
	f.verified = append(f.verified, req)
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return Verification{}, err
	}
	if len(f.VerifyWants) > 0 && len(req.Evidence) == 0 {
		return Verification{Wants: slices.Clone(f.VerifyWants)}, f.VerifyErr
	}
	return f.Verification, f.VerifyErr
}
