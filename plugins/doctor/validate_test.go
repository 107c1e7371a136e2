package openclawdoctor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// validated is what `config validate --json` of OpenClaw 2026.9.6 printed; only the paths were shortened.
func validated(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "validate", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnswersOfTheRealValidatorAreUnderstood(t *testing.T) {
	refused := &doctor.Incident{
		Exit: &plugin.Exit{Code: 78, Known: true}, Symptoms: []plugin.Symptom{plugin.SymptomConfigInvalid},
		Lines: captured(t, "bad-config-bad-type"),
	}
	lives := &doctor.Incident{Exit: &plugin.Exit{Code: 1, Known: true}}
	for _, row := range []struct {
		name, answer string
		incident     *doctor.Incident
		exists       bool
		want         string // beginning of the text; "" for no finding
		path         string
		repairable   bool
		severity     plugin.Severity
	}{
		{
			"refused unknown keys", "unknown-keys", refused, true,
			`the gateway's configuration is invalid: gateway: Unrecognized key: "bogusKey" (and 1 more)`, "gateway",
			true, plugin.SeverityError,
		},
		{
			"refused an outdated value and an unknown key", "legacy-key-and-unknown-key", refused, true,
			`the gateway's configuration is invalid: gateway.reload.mode: Invalid input`, "gateway.reload.mode", true,
			plugin.SeverityError,
		},
		{
			"refused enum", "bad-enum", refused, true,
			`the gateway's configuration is invalid: gateway.bind: Invalid input (allowed: "auto"`, "gateway.bind",
			false, plugin.SeverityError,
		},
		{
			"unparsable", "bad-json", refused, true, "the gateway's configuration is invalid: JSON5 parse failed", "",
			false, plugin.SeverityError,
		},
		{
			"a legacy key without a complaint", "legacy-key", nil, true,
			"the gateway's configuration is invalid: gateway.reload.mode", "gateway.reload.mode", false,
			plugin.SeverityWarning,
		},
		{
			"unknown keys without a complaint", "unknown-keys", nil, true,
			"the gateway's configuration is invalid: gateway", "gateway", true, plugin.SeverityWarning,
		},
		{"valid", "no-mode", nil, true, "", "", false, 0},
		{"missing and not missed", "missing", nil, false, "", "", false, 0},
		{"another exit", "unknown-keys", lives, true, "", "", false, 0},
	} {
		d, _ := diagnose(t, row.incident, validated(t, row.answer), row.exists)
		if row.want == "" {
			if len(d.Findings) != 0 {
				t.Errorf("%s: findings = %+v", row.name, d.Findings)
			}
			continue
		}
		if len(d.Findings) != 1 {
			t.Errorf("%s: findings = %+v", row.name, d.Findings)
			continue
		}
		f := d.Findings[0]
		if !strings.HasPrefix(f.Text, row.want) || strings.Count(f.Text, "allowed") > 1 || f.ConfigPath != row.path ||
			f.Repairable != row.repairable || f.Severity != row.severity {
			t.Errorf("%s: finding = %+v", row.name, f)
		}
	}
}

func TestUnparsableFileIsNotRepairedWithoutAValidatorEither(t *testing.T) {
	d, _ := diagnose(t, incidentOf(t, "bad-config-bad-json", 1), "error: unknown option '--json'", true)
	if len(d.Findings) != 1 || d.Findings[0].Code != openclawdoctor.CodeConfigInvalid || d.Findings[0].Repairable ||
		!d.Findings[0].Fatal {
		t.Errorf("findings = %+v", d.Findings)
	}
}
