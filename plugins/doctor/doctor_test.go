package openclawdoctor_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

var facts = plugin.GatewayFacts{
	Name: "main", Profile: "openclaw", Command: []string{"node", "openclaw.mjs"},
	ConfigPath: "/s/openclaw.json", StateDir: "/s",
}

// incidentOf is what the host would have seen in a captured run.
func incidentOf(t *testing.T, name string, code int) *doctor.Incident {
	t.Helper()
	lines := captured(t, name)
	return &doctor.Incident{Exit: &plugin.Exit{Code: code, Known: true}, Lines: lines, Symptoms: symptoms(lines)}
}

// diagnose answers every request with the validator's output and the file's existence.
func diagnose(t *testing.T, i *doctor.Incident, validate string, exists bool) (doctor.Diagnosis, bool) {
	t.Helper()
	req := doctor.DiagnoseRequest{Gateway: facts, Incident: i}
	d, err := openclawdoctor.Doctor{}.Diagnose(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	asked := len(d.Wants) > 0
	for _, w := range d.Wants {
		if len(w.Argv) > 0 && !slices.Equal(w.Argv[:2], facts.Command) {
			t.Errorf("wants %v, which does not begin with the launch command", w.Argv)
		}
		req.Evidence = append(req.Evidence, doctor.Evidence{
			ID: w.ID, Available: true, Stdout: validate,
			Exists: exists,
		})
	}
	if asked {
		if d, err = (openclawdoctor.Doctor{}).Diagnose(t.Context(), req); err != nil || len(d.Wants) > 0 {
			t.Fatalf("second round = %+v, %v", d, err)
		}
	}
	return d, asked
}

const (
	unknownKeys = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"gateway","message":"Unrecognized key: ` +
		`\"bogusKey\""},{"path":"<root>","message":"Unrecognized key: \"nonsense\""}]}`
	badEnum = `{"valid":false,"issues":[{"path":"gateway.bind","message":"Invalid ` +
		`input","allowedValues":["loopback","lan"]}]}`
	unparsable = `{"valid":false,"issues":[{"path":"","message":"JSON5: invalid end of input at 1:33"}]}`
	vagueRoot  = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"gateway","message":"Invalid ` +
		`input"},{"path":"<root>","message":"Invalid input"}]}`
	vagueValue = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"gateway.port","message":"Invalid input"}]}`
	vagueBoth  = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"gateway.port","message":"Invalid ` +
		`input"},{"path":"<root>","message":"Invalid input"}]}`
	valid = `{"valid":true,"path":"/s/openclaw.json","issues":[]}`
)

func TestTroublesAreToldApart(t *testing.T) {
	for _, row := range []struct {
		name, log  string
		code       int
		validate   string
		want       string
		repairable bool
		asks       bool
	}{
		{
			"unknown keys are repairable", "bad-config-unknown-key", 78, unknownKeys, openclawdoctor.CodeConfigInvalid,
			true, true,
		},
		{
			"a wrong value is told with its place", "bad-config-bad-enum", 78, badEnum, openclawdoctor.CodeConfigInvalid,
			false, true,
		},
		{
			"an unparsable file is not repairable", "bad-config-bad-json", 78, unparsable,
			openclawdoctor.CodeConfigInvalid, false, true,
		},
		{
			"an older release exits with 1 and has no validator", "old-2026.3.13-bad-config", 1, "unknown option --json",
			openclawdoctor.CodeConfigInvalid, true, true,
		},
		{
			"2026.5.27 does not name unknown keys", "old-2026.5.27-bad-config", 1, vagueRoot,
			openclawdoctor.CodeConfigInvalid, true, true,
		},
		{
			"2026.5.27 says the same of a wrong value", "old-2026.5.27-bad-config", 1, vagueValue,
			openclawdoctor.CodeConfigInvalid, false, true,
		},
		{"both at once", "old-2026.5.27-bad-config", 1, vagueBoth, openclawdoctor.CodeConfigInvalid, false, true},
		{
			"2026.5.27 would replace a file that it can't parse", "old-2026.5.27-bad-config", 1, unparsable,
			openclawdoctor.CodeConfigInvalid, false, true,
		},
		{"a valid file is never repaired", "bad-config-unknown-key", 78, valid, "", false, true},
		{"no configuration", "bad-config-no-mode", 78, "", openclawdoctor.CodeConfigMissing, false, false},
		{"a second instance", "lock-conflict", 78, "", openclawdoctor.CodeSecondInstance, false, false},
		{"a Node.js that is too old", "node-too-old", 1, "", openclawdoctor.CodeRuntimeFatal, false, false},
		{
			"a full disk is no second instance", "full-disk-first-start", 78, valid, openclawdoctor.CodeRefused, false,
			true,
		},
		{"a stranger on the port", "port-conflict-foreign", 1, "", openclawdoctor.CodePortConflict, false, false},
		{"nothing of ours", "normal-start-and-SIGTERM", 3, "", "", false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, asked := diagnose(t, incidentOf(t, row.log, row.code), row.validate, true)
			if asked != row.asks {
				t.Errorf("asked for evidence = %v, want %v", asked, row.asks)
			}
			if row.want == "" {
				if len(d.Findings) != 0 {
					t.Errorf("findings = %+v, want none", d.Findings)
				}
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Code != row.want || d.Findings[0].Repairable != row.repairable ||
				d.Findings[0].Hint == "" {
				t.Fatalf("findings = %+v, want %s, repairable %v, with a hint", d.Findings, row.want, row.repairable)
			}
			plan, err := openclawdoctor.Doctor{}.Plan(t.Context(), facts, d.Findings[0])
			if err != nil || (plan != nil) != row.repairable {
				t.Errorf("plan = %+v, %v", plan, err)
			}
		})
	}
}

// TestExit78WithoutWordsIsAskedAboutAndNotRepairedBlindly is B194: it is diagnosed first, and what stays unknown is not
// tried again.
func TestExit78WithoutWordsIsAskedAboutAndNotRepairedBlindly(t *testing.T) {
	for _, answer := range []string{valid, ""} {
		d, asked := diagnose(t, &doctor.Incident{Exit: &plugin.Exit{Code: 78, Known: true}}, answer, true)
		if !asked || len(d.Findings) != 1 {
			t.Fatalf("asked = %v, findings = %+v", asked, d.Findings)
		}
		if f := d.Findings[0]; f.Code != openclawdoctor.CodeRefused || f.Repairable || !f.Fatal || f.OtherOwner ||
			f.Hint == "" {
			t.Errorf("finding = %+v", f)
		}
	}
	d, _ := diagnose(t, &doctor.Incident{Exit: &plugin.Exit{Code: 78, Known: true}}, unknownKeys, true)
	if len(d.Findings) != 1 || d.Findings[0].Code != openclawdoctor.CodeConfigInvalid || !d.Findings[0].Repairable {
		t.Errorf("what its validator finds: %+v", d.Findings)
	}
	d, _ = diagnose(t, &doctor.Incident{Exit: &plugin.Exit{Code: 1, Known: true}}, valid, true)
	if len(d.Findings) != 0 { // T012: ordinary exits are not this
		t.Errorf("exit code 1: %+v", d.Findings)
	}
	// no classifier was there
	unseen := &doctor.Incident{Exit: &plugin.Exit{Code: 78, Known: true}, Lines: captured(t, "bad-config-unknown-key")}
	if d, _ = diagnose(t, unseen, valid, true); len(d.Findings) != 0 {
		t.Errorf("repaired meanwhile: %+v", d.Findings)
	}
}

func TestRefusalIsToldInTheGatewaysOwnWords(t *testing.T) {
	d, _ := diagnose(t, incidentOf(t, "full-disk-first-start", 78), valid, true)
	if f := d.Findings[0]; !strings.HasSuffix(f.Text, "not for its configuration: database or disk is full") ||
		len(f.Evidence) != 1 {
		t.Errorf("finding = %+v", f)
	}
}

func TestMissingFileIsNotBrokenWhenTheGatewayDoesNotSaySo(t *testing.T) {
	if d, _ := diagnose(t, nil, unparsable, false); len(d.Findings) != 0 {
		t.Errorf("findings = %+v", d.Findings)
	}
}

func TestMissingFileAndMissingModeAreToldApart(t *testing.T) {
	// its name is not what it is: there was no file
	d, _ := diagnose(t, incidentOf(t, "bad-config-no-mode", 78), "", false)
	if f := d.Findings[0]; f.Code != doctor.CodeConfigMissing || f.ConfigPath != "" ||
		!strings.Contains(f.Text, "/s/openclaw.json is missing") {
		t.Errorf("without a file: %+v", f)
	}
	lines := []plugin.Line{{
		Cursor: 1, Stream: plugin.Stderr,
		Text: "Gateway start blocked: existing config is missing gateway.mode. Treat this as suspicious or clobbered " +
			"config.",
	}}
	d, _ = diagnose(t, &doctor.Incident{
		Exit: &plugin.Exit{Code: 78, Known: true}, Lines: lines,
		Symptoms: symptoms(lines),
	}, "", true)
	if len(d.Findings) != 1 || d.Findings[0].Code != doctor.CodeConfigMissing ||
		d.Findings[0].ConfigPath != "gateway.mode" {
		t.Errorf("without a mode: %+v", d.Findings)
	}
}

func TestPlanRunsTheVendorsDoctorInTheGatewaysContext(t *testing.T) {
	d, _ := diagnose(t, incidentOf(t, "bad-config-unknown-key", 78), unknownKeys, true)
	plan, err := openclawdoctor.Doctor{}.Plan(t.Context(), facts, d.Findings[0])
	if err != nil || len(plan.Steps) != 1 {
		t.Fatalf("plan = %+v, %v", plan, err)
	}
	if got := strings.Join(plan.Steps[0].Exec.Argv,
		" "); got != "node openclaw.mjs doctor --fix --yes --non-interactive" {
		t.Errorf("argv = %s", got)
	}
	if plan.Steps[0].Exec.Timeout != 120*time.Second { // B313
		t.Errorf("timeout = %v", plan.Steps[0].Exec.Timeout)
	}
	if !slices.Equal(plan.Touches, []string{"/s/openclaw.json"}) {
		t.Errorf("touches = %v", plan.Touches)
	}
}

func TestOtherProfilesAreNotThisDoctorsPatients(t *testing.T) {
	_, err := openclawdoctor.Doctor{}.Diagnose(t.Context(),
		doctor.DiagnoseRequest{Gateway: plugin.GatewayFacts{Profile: "plain"}})
	if !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("error = %v", err)
	}
}

// verify answers every request with the validator's output and the file's existence.
func verify(t *testing.T, validate doctor.Evidence, exists bool) doctor.Verification {
	t.Helper()
	req := doctor.VerifyRequest{Gateway: facts, Finding: doctor.Finding{
		Code:       doctor.CodeConfigInvalid,
		Repairable: true,
	}}
	v, err := openclawdoctor.Doctor{}.Verify(t.Context(), req)
	if err != nil || len(v.Wants) != 2 ||
		strings.Join(v.Wants[0].Argv, " ") != "node openclaw.mjs config validate --json" ||
		v.Wants[1].File != "/s/openclaw.json" {
		t.Fatalf("wants = %+v, %v", v.Wants, err)
	}
	validate.ID = v.Wants[0].ID
	req.Evidence = []doctor.Evidence{validate, {ID: v.Wants[1].ID, Available: true, Exists: exists}}
	v, err = openclawdoctor.Doctor{}.Verify(t.Context(), req)
	if err != nil || len(v.Wants) != 0 || v.Text == "" {
		t.Fatalf("verification = %+v, %v", v, err)
	}
	return v
}

func TestValidatorSaysWhetherThePlanHasHelped(t *testing.T) {
	said := func(stdout string) doctor.Evidence { return doctor.Evidence{Available: true, Stdout: stdout} }
	for _, row := range []struct {
		name     string
		evidence doctor.Evidence
		exists   bool
		want     doctor.Outcome
		text     string
	}{
		{"valid", said(validated(t, "no-mode")), true, doctor.OutcomeHelped, "takes the configuration"},
		{
			"valid, after a warning", said("(node:7) Warning: old\n" + valid), true, doctor.OutcomeHelped,
			"takes the configuration",
		},
		{
			"unknown keys are left", said(validated(t, "unknown-keys")), true, doctor.OutcomeNotHelped,
			`Unrecognized key: "bogusKey" (and 1 more)`,
		},
		{
			"a bad value is left", said(validated(t, "bad-enum")), true, doctor.OutcomeNotHelped,
			"gateway.bind: Invalid input",
		},
		{"not parsable", said(validated(t, "bad-json")), true, doctor.OutcomeNotHelped, "parse failed"},
		{"the file is gone", said(validated(t, "missing")), false, doctor.OutcomeUnknown, "/s/openclaw.json is gone"},
		{"an old release", said("error: unknown option '--json'"), true, doctor.OutcomeUnknown, "did not say"},
		{"no launcher", doctor.Evidence{Problem: "cannot run a command"}, true, doctor.OutcomeUnknown, "did not say"},
		{"cut off", said(`{"valid":tr`), true, doctor.OutcomeUnknown, "did not say"},
	} {
		v := verify(t, row.evidence, row.exists)
		if v.Outcome != row.want || !strings.Contains(v.Text, row.text) ||
			(v.Hint != "") != (row.want == doctor.OutcomeNotHelped) {
			t.Errorf("%s: %+v, want %v %q", row.name, v, row.want, row.text)
		}
	}
	if _, err := (openclawdoctor.Doctor{}).Verify(t.Context(),
		doctor.VerifyRequest{Finding: doctor.Finding{Code: "disk-full"}}); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("error = %v", err)
	}
}
