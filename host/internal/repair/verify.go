package repair

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// RunVerification finds out whether a plan for f, all of whose steps were executed, has helped: by the doctor's own
// answer when it is a doctor.Verifier; when it is none, or cannot tell, by diagnosing again, without the incident,
// whose text has not changed. That is done for doctor.CodeConfigInvalid only: other findings come from what a
// gateway did, and its next start will show them. A doctor that cannot answer proves nothing: the outcome is
// unknown then, and the error, if there is one, says why. RunVerification never fails itself.
func RunVerification(ctx context.Context, n Named, gw plugin.GatewayFacts, f doctor.Finding,
	evidence Evidence,
) (doctor.Verification, error) {
	said, err := n.verify(ctx, doctor.VerifyRequest{Gateway: gw, Finding: f}, evidence)
	if errors.Is(err, fault.ErrUnsupported) { // it has no Verify, or it is not its finding after all
		said, err = doctor.Verification{}, nil
	}
	if err == nil && said.Outcome != doctor.OutcomeUnknown || f.Code != doctor.CodeConfigInvalid {
		return said, err
	}
	if err != nil {
		err = fmt.Errorf("cannot verify the repair of %s: %w", f.Code, err)
	}
	findings, askErr := n.ask(ctx, doctor.DiagnoseRequest{Gateway: gw}, evidence)
	if askErr != nil {
		return doctor.Verification{}, errors.Join(err,
			fmt.Errorf("cannot diagnose after the repair of %s: %w", f.Code, askErr))
	}
	for _, now := range findings {
		if now.Code == f.Code {
			return doctor.Verification{Outcome: doctor.OutcomeNotHelped, Text: now.Text, Hint: now.Hint}, err
		}
	}
	return doctor.Verification{Outcome: doctor.OutcomeHelped}, err
}

// verify asks the doctor, and again with the evidence that it requested.
func (n Named) verify(ctx context.Context, req doctor.VerifyRequest, evidence Evidence) (
	got doctor.Verification, err error,
) {
	v, ok := n.Doctor.(doctor.Verifier)
	if !ok {
		return doctor.Verification{}, fault.New(fault.Unsupported, "the doctor does not verify")
	}
	err = n.rounds(ctx, evidence,
		func(ctx context.Context, known []doctor.Evidence) (wants []doctor.EvidenceRequest, err error) {
			req.Evidence = known
			got, err = v.Verify(ctx, req)
			return got.Wants, err
		})
	if err != nil {
		return doctor.Verification{}, err
	}
	return got, nil
}
