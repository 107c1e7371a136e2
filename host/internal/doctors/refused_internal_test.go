package doctors

import (
	"errors"
	"testing"

	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// TestRepairWhosePlanWasRefusedHasFailed: what the doctor found is still there.
func TestRepairWhosePlanWasRefusedHasFailed(t *testing.T) {
	found := func(by string, severity plugin.Severity) repair.Found {
		return repair.Found{Doctor: by, Finding: doctor.Finding{Code: "x", Severity: severity}}
	}
	second := found("a", plugin.SeverityError)
	refused := []repair.Skipped{{Doctor: "a", Err: errors.New("the plan leaves the state directory")}}
	for name, row := range map[string]struct {
		findings []repair.Found
		skipped  []repair.Skipped
		want     string
	}{
		"an error whose plan was refused":     {[]repair.Found{found("a", plugin.SeverityError)}, refused, "failed"},
		"behind a finding of another":         {[]repair.Found{found("b", plugin.SeverityError), second}, refused, "failed"},
		"a warning whose plan was refused":    {[]repair.Found{found("a", plugin.SeverityWarning)}, refused, "nothing-to-do"},
		"an error without a plan":             {[]repair.Found{found("a", plugin.SeverityError)}, nil, "failed"},
		"an error of one, another was silent": {[]repair.Found{found("b", plugin.SeverityError)}, refused, "failed"},
		"nothing":                             {nil, nil, "nothing-to-do"},
	} {
		got := withoutPlan(assessment{Diagnosis: repair.Diagnosis{Findings: row.findings, Skipped: row.skipped}})
		if got.Outcome != row.want || (got.Error != nil) != (row.want == "failed") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
