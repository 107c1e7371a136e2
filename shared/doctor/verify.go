package doctor

import (
	"context"

	"github.com/gatehost/gatehost/shared/internal/wire"
	pb "github.com/gatehost/gatehost/shared/pb/pluginv1alpha1"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Verifier is a Doctor that can tell whether a plan of its own has helped. It is optional: a plugin whose doctor has
// this method announces plugin.CapabilityVerify, and the host calls it on no other doctor.
type Verifier interface {
	Doctor
	// Verify says whether a plan of its own, executed just now, has helped, or which evidence it wants first; changes
	// nothing. The host calls it after each plan. After OutcomeNotHelped the host undoes the plan. Errors:
	// fault.Unsupported (not my finding).
	Verify(ctx context.Context, req VerifyRequest) (Verification, error)
}

// VerifyRequest asks whether a plan has helped.
type VerifyRequest struct {
	Gateway  plugin.GatewayFacts
	Finding  Finding    // that the plan was for
	Evidence []Evidence // of earlier rounds of this call
}

// Verification is an outcome, or a request for evidence (then the rest is ignored).
type Verification struct {
	Outcome Outcome
	Text    string // what shows it, one sentence for the operator
	Hint    string // what to do, imperative; when it has not helped
	Wants   []EvidenceRequest
}

// Outcome is the doctor's opinion of a plan that was executed.
type Outcome int

// The outcomes. After OutcomeUnknown the host finds out itself, as for a doctor that is not a Verifier.
const (
	OutcomeUnknown Outcome = iota
	OutcomeHelped
	OutcomeNotHelped
)

// String is the word used in logs: "unknown", "helped", "not helped".
func (o Outcome) String() string {
	switch o {
	case OutcomeHelped:
		return "helped"
	case OutcomeNotHelped:
		return "not helped"
	default:
		return "unknown"
	}
}

func verifyTo(r VerifyRequest) *pb.VerifyRequest {
	return &pb.VerifyRequest{
		Gateway: wire.Facts(r.Gateway), Finding: findingTo(r.Finding),
		Evidence: evidenceTo(r.Evidence),
	}
}

func verifyFrom(r *pb.VerifyRequest) (VerifyRequest, error) {
	f, err := findingFrom(r.GetFinding())
	return VerifyRequest{Gateway: wire.FactsFrom(r.GetGateway()), Finding: f, Evidence: evidenceFrom(r.GetEvidence())},
		err
}

func verificationTo(v Verification) *pb.VerifyResponse {
	out := &pb.VerifyResponse{
		Outcome: pb.Outcome_OUTCOME_UNKNOWN, Text: wire.Text(v.Text, maxText),
		Hint: wire.Text(v.Hint, maxText),
	}
	switch v.Outcome {
	case OutcomeHelped:
		out.Outcome = pb.Outcome_OUTCOME_HELPED
	case OutcomeNotHelped:
		out.Outcome = pb.Outcome_OUTCOME_NOT_HELPED
	case OutcomeUnknown:
	}
	for _, w := range v.Wants {
		out.Wants = append(out.Wants, wantTo(w))
	}
	return out
}

// verificationFrom converts an answer; an outcome of a newer contract is unknown.
func verificationFrom(r *pb.VerifyResponse) (Verification, error) {
	out := Verification{Text: wire.Text(r.GetText(), maxText), Hint: wire.Text(r.GetHint(), maxText)}
	switch r.GetOutcome() {
	case pb.Outcome_OUTCOME_HELPED:
		out.Outcome = OutcomeHelped
	case pb.Outcome_OUTCOME_NOT_HELPED:
		out.Outcome = OutcomeNotHelped
	case pb.Outcome_OUTCOME_UNSPECIFIED, pb.Outcome_OUTCOME_UNKNOWN:
	}
	var err error
	out.Wants, err = wantsFrom(r.GetWants())
	return out, err
}
