package doctor

import (
	"context"

	"github.com/gatehost/gatehost/shared/internal/wire"
	pb2 "github.com/gatehost/gatehost/shared/pb/pluginv1alpha2"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Verifier is a Doctor that can tell whether a plan of its own has helped. It is version 2 of the service and EXPERIMENTAL: it may change,
// or go, with any release (v1alpha2/doctor.proto). A plugin whose doctor has this method serves version 1 beside it, for hosts that know
// no other.
type Verifier interface {
	Doctor
	// Verify answers whether a plan of its own, executed just now, has helped, or which evidence it wants first; changes nothing. It
	// is asked after every plan. After NotHelped the host takes the plan back.
	// Errors: fault.Unsupported (not my finding).
	Verify(ctx context.Context, req VerifyRequest) (Verification, error)
}

// VerifyRequest asks whether a plan has helped.
type VerifyRequest struct {
	Gateway  plugin.GatewayFacts
	Finding  Finding    // that the plan was for
	Evidence []Evidence // of earlier rounds of this call
}

// Verification is an outcome, or a wish for evidence (then the rest is ignored).
type Verification struct {
	Outcome Outcome
	Text    string // what shows it, one sentence for the operator
	Hint    string // what to do, imperative; when it has not helped
	Wants   []EvidenceRequest
}

// Outcome is what a plan has come to, as its doctor sees it.
type Outcome int

// The outcomes. After OutcomeUnknown the host finds out by itself, as for a doctor that is no Verifier.
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

func verifyTo(r VerifyRequest) *pb2.VerifyRequest {
	return &pb2.VerifyRequest{Gateway: wire.Facts(r.Gateway), Finding: findingTo(r.Finding), Evidence: evidenceTo(r.Evidence)}
}

func verifyFrom(r *pb2.VerifyRequest) (VerifyRequest, error) {
	f, err := findingFrom(r.GetFinding())
	return VerifyRequest{Gateway: wire.FactsFrom(r.GetGateway()), Finding: f, Evidence: evidenceFrom(r.GetEvidence())}, err
}

func verificationTo(v Verification) *pb2.VerifyResponse {
	out := &pb2.VerifyResponse{Outcome: pb2.Outcome_OUTCOME_UNKNOWN, Text: wire.Text(v.Text, maxText), Hint: wire.Text(v.Hint, maxText)}
	switch v.Outcome {
	case OutcomeHelped:
		out.Outcome = pb2.Outcome_OUTCOME_HELPED
	case OutcomeNotHelped:
		out.Outcome = pb2.Outcome_OUTCOME_NOT_HELPED
	case OutcomeUnknown:
	}
	for _, w := range v.Wants {
		out.Wants = append(out.Wants, wantTo(w))
	}
	return out
}

// verificationFrom: an outcome of a newer contract is unknown.
func verificationFrom(r *pb2.VerifyResponse) (Verification, error) {
	out := Verification{Text: wire.Text(r.GetText(), maxText), Hint: wire.Text(r.GetHint(), maxText)}
	switch r.GetOutcome() {
	case pb2.Outcome_OUTCOME_HELPED:
		out.Outcome = OutcomeHelped
	case pb2.Outcome_OUTCOME_NOT_HELPED:
		out.Outcome = OutcomeNotHelped
	case pb2.Outcome_OUTCOME_UNSPECIFIED, pb2.Outcome_OUTCOME_UNKNOWN:
	}
	var err error
	out.Wants, err = wantsFrom(r.GetWants())
	return out, err
}
