package repair_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// verifier is a doctor with Verify, and with knobs.
type verifier struct {
	fakeDoctor

	Asks         [][]doctor.EvidenceRequest // one list a round
	Verification doctor.Verification
	VerifyErr    error
	VerifyPanics bool
	VerifyHangs  bool
	verified     []doctor.VerifyRequest
}

func (v *verifier) Verify(ctx context.Context, req doctor.VerifyRequest) (doctor.Verification, error) {
	v.verified = append(v.verified, req)
	switch n := len(v.verified); {
	case v.VerifyPanics:
		panic("planted")
	case v.VerifyHangs:
		<-ctx.Done()
		return doctor.Verification{}, ctx.Err()
	case n <= len(v.Asks):
		// what comes with a request does not count
		return doctor.Verification{Outcome: doctor.OutcomeHelped, Wants: v.Asks[n-1]}, nil
	}
	return v.Verification, v.VerifyErr
}

func TestPlanIsVerifiedByItsDoctorsWordOrByDiagnosingAgain(t *testing.T) {
	const config = doctor.CodeConfigInvalid
	helped, not, unknown := doctor.OutcomeHelped, doctor.OutcomeNotHelped, doctor.OutcomeUnknown
	word := func(o doctor.Outcome, still bool) *verifier {
		v := &verifier{Verification: doctor.Verification{Outcome: o, Text: "its word", Hint: "its hint"}}
		if still {
			v.Findings = finding(config, true)
		}
		return v
	}
	with := func(v *verifier, change func(*verifier)) *verifier {
		change(v)
		return v
	}
	for _, row := range []struct {
		name      string
		doctor    doctor.Doctor
		code      string
		want      doctor.Outcome
		text      string // when it has not helped
		diagnosed int
		fails     bool
	}{
		{"helped, whatever a diagnosis would say", word(helped, true), config, helped, "", 0, false},
		{"not helped, whatever a diagnosis would say", word(not, false), config, not, "its word", 0, false},
		{"unknown, and it is still there", word(unknown, true), config, not, config, 1, false},
		{"unknown, and it is gone", word(unknown, false), config, helped, "", 1, false},
		{"not helped, another finding", word(not, false), "disk-full", not, "its word", 0, false},
		{"unknown, another finding", word(unknown, true), "disk-full", unknown, "", 0, false},
		{
			"an error", with(word(helped, true), func(v *verifier) { v.VerifyErr = errors.New("no") }), config, not,
			config, 1, true,
		},
		{
			"an error, another finding", with(word(not, true), func(v *verifier) { v.VerifyErr = errors.New("no") }),
			"disk-full", unknown, "", 0, true,
		},
		{
			"a panic", with(word(helped, true), func(v *verifier) { v.VerifyPanics = true }), config, not, config, 1,
			true,
		},
		{
			"not its finding after all",
			with(word(helped, true), func(v *verifier) { v.VerifyErr = fault.New(fault.Unsupported, "no") }), config,
			not, config, 1, false,
		},
		{
			"no end of requests",
			with(word(helped, true),
				func(v *verifier) { v.Asks = slices.Repeat([][]doctor.EvidenceRequest{ask("1")}, 4) }), config, not,
			config, 1, true,
		},
		{
			"a request for nothing",
			with(word(helped, true), func(v *verifier) { v.Asks = [][]doctor.EvidenceRequest{{{ID: "a"}}} }), config,
			not, config, 1, true,
		},
		{
			"unknown, and no diagnosis either",
			with(word(unknown, true), func(v *verifier) { v.Err = errors.New("no") }), config, unknown, "", 1, true,
		},
		{"no Verify, still there", &fakeDoctor{Findings: finding(config, true)}, config, not, config, 1, false},
		{"no Verify, gone", &fakeDoctor{Findings: finding("odd-weather", true)}, config, helped, "", 1, false},
		{
			"no Verify, another finding", &fakeDoctor{Findings: finding("disk-full", true)}, "disk-full", unknown, "",
			0,
			false,
		},
	} {
		f := finding(row.code, true)[0]
		got, err := repair.RunVerification(t.Context(), repair.Named{Name: "d", Doctor: row.doctor},
			plugin.GatewayFacts{Name: "main"}, f, &answers{})
		seen := 0
		switch d := row.doctor.(type) {
		case *verifier:
			seen = len(d.seen)
		case *fakeDoctor:
			seen = len(d.seen)
		}
		if got.Outcome != row.want || row.want == not && got.Text != row.text || seen != row.diagnosed ||
			(err != nil) != row.fails {
			t.Errorf("%s: %+v, %v after %d diagnoses; want %v %q after %d", row.name, got, err, seen, row.want,
				row.text, row.diagnosed)
		}
	}
}

func TestVerifierIsGivenWhatItRequestsAndItsFindingAsItWas(t *testing.T) {
	v := &verifier{
		Asks:         [][]doctor.EvidenceRequest{ask("1"), ask("2"), ask("1")},
		Verification: doctor.Verification{Outcome: doctor.OutcomeNotHelped},
	}
	f := doctor.Finding{Code: "x", Text: "x", Data: []byte("its own")}
	g := &answers{}
	got, err := repair.RunVerification(t.Context(), repair.Named{Name: "d", Doctor: v, Content: true},
		plugin.GatewayFacts{Name: "main"}, f, g)
	if err != nil || got.Outcome != doctor.OutcomeNotHelped || len(v.verified) != 4 {
		t.Fatalf("%+v, %v after %d rounds", got, err, len(v.verified))
	}
	last := v.verified[3]
	if string(last.Finding.Data) != "its own" || last.Gateway.Name != "main" || len(last.Evidence) != 2 ||
		!slices.Equal(g.content, []bool{true, true, true}) {
		t.Errorf("request = %+v, content %v", last, g.content)
	}
}

func TestVerifierThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &verifier{VerifyHangs: true, fakeDoctor: fakeDoctor{Findings: finding(doctor.CodeConfigInvalid, true)}}
		got, err := repair.RunVerification(t.Context(), repair.Named{Name: "d", Doctor: v},
			plugin.GatewayFacts{Name: "main"}, finding(doctor.CodeConfigInvalid, true)[0], nil)
		if got.Outcome != doctor.OutcomeNotHelped || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
