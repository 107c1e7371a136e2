package openclawdoctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Codes of findings; stable.
const (
	CodeConfigInvalid      = doctor.CodeConfigInvalid
	CodeConfigMissing      = doctor.CodeConfigMissing
	CodePortConflict       = "port-conflict"
	CodeSecondInstance     = "second-instance"
	CodeMigrationLocked    = "migration-locked"
	CodeRuntimeFatal       = "runtime-fatal"
	CodeChannelsSuppressed = "channels-suppressed"
	CodeTokenMissing       = "token-missing"
	CodeOwnerLease         = "owner-lease" // of a process that may be gone: it ends by itself
	CodeValidatorFailed    = "validator-failed"
	CodeRefused            = "refused" // exit code 78, and neither words nor the validator say why
)

const (
	evidenceValidate = "config-validate"
	evidenceFile     = "config-file"
	validateTimeout  = 45 * time.Second  // 1 s when idle; a whole Node start on a busy machine
	repairTimeout    = 120 * time.Second // B313
	maxQuoted        = 8                 // lines or issues shown with a finding
)

// Doctor diagnoses OpenClaw gateways.
type Doctor struct{ doctor.ReadOnly }

var _ doctor.Verifier = Doctor{}

// Diagnose finds out what is wrong. Exit code 78 alone says nothing: it is the code of a bad configuration, a missing
// one, a second instance and more (docs/openclaw.md §4). So the gateway's output decides, and for a configuration
// OpenClaw's own validator.
func (Doctor) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	if req.Gateway.Profile != "openclaw" {
		return doctor.Diagnosis{},
			fault.New(fault.Unsupported,
				fmt.Sprintf("cannot diagnose a gateway of profile %q: this doctor knows OpenClaw", req.Gateway.Profile))
	}
	if f, ok := fromWords(req); ok {
		return doctor.Diagnosis{Findings: []doctor.Finding{f}}, nil
	}
	if !concernsConfig(req.Incident) {
		return doctor.Diagnosis{}, nil
	}
	validate, asked := req.Asked(evidenceValidate)
	if !asked {
		return doctor.Diagnosis{Wants: wants(req.Gateway)}, nil
	}
	file, _ := req.Asked(evidenceFile)
	return doctor.Diagnosis{Findings: judgeConfig(req, validate, file)}, nil
}

func wants(gw plugin.GatewayFacts) []doctor.EvidenceRequest {
	out := []doctor.EvidenceRequest{{
		ID: evidenceValidate, Argv: append(slices.Clone(gw.Command), "config", "validate", "--json"),
		Timeout: validateTimeout,
	}}
	if gw.ConfigPath != "" {
		out = append(out, doctor.EvidenceRequest{ID: evidenceFile, File: gw.ConfigPath})
	}
	return out
}

// concernsConfig reports whether the configuration may be the cause: by the gateway's words, because there is no
// incident, or because the exit says nothing.
func concernsConfig(i *doctor.Incident) bool {
	if i == nil {
		return true
	}
	return i.Shows(plugin.SymptomConfigInvalid) || i.Shows(plugin.SymptomZombie) || exited78(i)
}

// exited78 is sysexits' EX_CONFIG, which OpenClaw means in many ways.
func exited78(i *doctor.Incident) bool {
	return i != nil && i.Exit != nil && i.Exit.Known && i.Exit.Code == 78
}

// fromWords returns faults that the gateway names so clearly that no evidence is needed. None is repairable.
func fromWords(req doctor.DiagnoseRequest) (doctor.Finding, bool) {
	if req.Incident == nil {
		return doctor.Finding{}, false
	}
	for _, k := range known() {
		if !req.Incident.Shows(k.symptom) {
			continue
		}
		f := k.finding
		f.Evidence = quote(req.Incident.Lines, k.symptom)
		if _, noFile := req.Incident.Find("Missing config."); f.Code == CodeConfigMissing && noFile {
			f.Text, f.ConfigPath = "the gateway's configuration "+orFile(req.Gateway.ConfigPath)+" is missing", ""
		}
		if _, lease := req.Incident.Find("owner lease is still active"); f.Code == CodeSecondInstance && lease {
			f.Code = CodeOwnerLease
			f.Text = "OpenClaw's owner lease of the state directory is still active: another OpenClaw uses the directory, or " +
				"used it until a short time ago and was killed, perhaps in another container"
			f.Hint = "wait: gatehost tries again by itself, and the lease of a process that is gone ends 5 minutes after its " +
				"last sign of life; if another OpenClaw runs, stop it (`openclaw gateway stop`, or its service), or give this " +
				"gateway its own launch.state_dir"
		}
		if f.Severity == plugin.SeverityError || !concernsConfig(req.Incident) {
			return f, true
		}
	}
	return doctor.Finding{}, false
}

type knownTrouble struct {
	symptom plugin.Symptom
	finding doctor.Finding
}

// known has the most important faults first.
func known() []knownTrouble {
	return []knownTrouble{
		{plugin.SymptomRuntimeFatal, doctor.Finding{
			Code: CodeRuntimeFatal, Severity: plugin.SeverityError, Fatal: true,
			Text: "the Node.js that runs the gateway is not one that it supports",
			Hint: "install Node 24.16 or newer and put it first in launch.path_prepend",
		}},
		{plugin.SymptomMigrationLocked, doctor.Finding{
			Code: CodeMigrationLocked, Severity: plugin.SeverityError, Fatal: true, OtherOwner: true,
			Text: "another OpenClaw process is migrating this state directory",
			Hint: "wait until it has finished, then run `gatehost start`",
		}},
		{plugin.SymptomStateLocked, doctor.Finding{
			Code: CodeSecondInstance, Severity: plugin.SeverityError, OtherOwner: true,
			Text: "another OpenClaw process owns the gateway's state directory",
			Hint: "stop it (`openclaw gateway stop`, or its service), or give this gateway its own launch.state_dir; " +
				"gatehost tries again by itself when it is gone",
		}},
		{plugin.SymptomPortConflict, doctor.Finding{
			Code: CodePortConflict, Severity: plugin.SeverityError, OtherOwner: true,
			Text: "another process listens on the gateway's port",
			Hint: "stop it, or set another gateways.NAME.port",
		}},
		{plugin.SymptomConfigMissing, doctor.Finding{
			Code: CodeConfigMissing, Severity: plugin.SeverityError, Fatal: true, ConfigPath: "gateway.mode",
			Text: "the gateway's configuration lacks gateway.mode",
			Hint: "run `openclaw config set gateway.mode local`, or keep --allow-unconfigured in launch.args",
		}},
		{plugin.SymptomChannelsSuppressed, doctor.Finding{
			Code: CodeChannelsSuppressed, Severity: plugin.SeverityWarning,
			Text: "the gateway's crash-loop breaker holds its channels back after three unclean ends in five minutes",
			Hint: "find out why it ended, wait five minutes, then run `gatehost restart`",
		}},
		{plugin.SymptomTokenMissing, doctor.Finding{
			Code: CodeTokenMissing, Severity: plugin.SeverityWarning,
			Text: "the gateway made a token of its own that no client knows",
			Hint: "set gateways.NAME.token",
		}},
	}
}

// quote returns the lines that show a symptom.
func quote(lines []plugin.Line, s plugin.Symptom) []string {
	c := NewClassifier()
	var out []string
	for _, l := range lines {
		if len(out) < maxQuoted && c.Line(l).Symptom == s {
			out = append(out, trim(stripColour(l.Text)))
		}
	}
	return out
}

// Plan proposes the vendor's own doctor for a broken configuration. That doctor rewrites valid files, too
// (docs/openclaw.md §5), so a plan exists only for a finding that says that the file is broken.
func (Doctor) Plan(_ context.Context, gw plugin.GatewayFacts, f doctor.Finding) (*doctor.Plan, error) {
	if f.Code != CodeConfigInvalid || !f.Repairable {
		return nil, nil //nolint:nilnil // no plan is an answer
	}
	p := &doctor.Plan{
		Title: "let OpenClaw's own doctor repair the configuration",
		Steps: []doctor.Step{doctor.Command(gw, "run openclaw doctor --fix", repairTimeout, "doctor", "--fix", "--yes",
			"--non-interactive")},
	}
	if gw.ConfigPath != "" {
		p.Touches = []string{gw.ConfigPath}
	}
	return p, nil
}

// Verify asks the vendor's validator whether the vendor's doctor has repaired the file, because that doctor also says
// "done", and exits with 0, when it has changed nothing.
func (Doctor) Verify(_ context.Context, req doctor.VerifyRequest) (doctor.Verification, error) {
	if req.Finding.Code != CodeConfigInvalid {
		return doctor.Verification{},
			fault.New(fault.Unsupported, fmt.Sprintf("cannot verify %q: no plan of this doctor is for it",
				req.Finding.Code))
	}
	validate, asked := req.Asked(evidenceValidate)
	if !asked {
		return doctor.Verification{Wants: wants(req.Gateway)}, nil
	}
	file, _ := req.Asked(evidenceFile)
	v, readable := parseVerdict(validate.Stdout)
	if why, failed := validatorFailed(validate, v, readable); failed {
		return doctor.Verification{Text: "OpenClaw's validator could not run: " + why}, nil
	}
	switch {
	case !readable:
		return doctor.Verification{Text: "OpenClaw's validator did not say whether the configuration is valid"}, nil
	case *v.Valid:
		return doctor.Verification{Outcome: doctor.OutcomeHelped, Text: "OpenClaw's validator takes the configuration"},
			nil
	case file.Available && !file.Exists: // the validator calls that invalid, the gateway may start without one
		return doctor.Verification{Text: "the gateway's configuration " + orFile(req.Gateway.ConfigPath) + " is gone"},
			nil
	}
	f := invalid(req.Gateway, v)
	return doctor.Verification{Outcome: doctor.OutcomeNotHelped, Text: f.Text, Hint: f.Hint}, nil
}

// judgeConfig decides from the validator's answer, and from the gateway's words where it has none: releases before
// 2026.9 may not know --json.
func judgeConfig(req doctor.DiagnoseRequest, validate, file doctor.Evidence) []doctor.Finding {
	said := req.Incident != nil && (req.Incident.Shows(plugin.SymptomConfigInvalid) ||
		len(quote(req.Incident.Lines, plugin.SymptomConfigInvalid)) > 0) // without a classifier that could see it
	v, readable := parseVerdict(validate.Stdout)
	why, failed := validatorFailed(validate, v, readable)
	readable = readable && !failed
	switch {
	case failed && (!said || unreadable(req.Incident)):
		return []doctor.Finding{notValidated(req, why)}
	case !readable && said: // only its own words are left
		// the vendor's doctor cannot repair that, and must not try
		_, broken := req.Incident.Find("parse failed: SyntaxError")
		return []doctor.Finding{{
			Code: CodeConfigInvalid, Severity: plugin.SeverityError, Repairable: !broken, Fatal: broken,
			Text: "the gateway refuses its configuration", Hint: "run `openclaw doctor` to see what is wrong with it",
			Evidence: quote(req.Incident.Lines, plugin.SymptomConfigInvalid),
		}}
	case (!readable || *v.Valid) && !said && exited78(req.Incident):
		return []doctor.Finding{refusedBy(req.Incident)}
	case !readable, *v.Valid:
		return nil // never repair what is not broken
	case file.Available && !file.Exists && !said:
		return nil // the validator calls a missing file invalid, the gateway starts without one
	}
	f := invalid(req.Gateway, v)
	if !said && !exited78(req.Incident) {
		// The validator also refuses what the gateway repairs itself when it starts (docs/openclaw.md §5: legacy keys).
		f.Severity, f.Fatal = plugin.SeverityWarning, false
	}
	return []doctor.Finding{f}
}

// refusedBy is a refusal whose cause is not known here: the same start would end the same way (B194).
func refusedBy(i *doctor.Incident) doctor.Finding {
	f := doctor.Finding{
		Code: CodeRefused, Severity: plugin.SeverityError, Fatal: true,
		Text: "the gateway refuses to start (exit code 78) and does not say why; its configuration is not known to be broken",
		Hint: "look at its output with `gatehost logs`; when the cause is gone, run `gatehost start`",
	}
	for _, l := range i.Lines {
		if _, why, ok := strings.Cut(stripColour(l.Text), "Gateway failed to start: "); ok {
			why, _, _ = strings.Cut(why, " | ") // codes and advice follow
			f.Text = "the gateway refuses to start (exit code 78), and not for its configuration: " + trim(why)
			f.Evidence = []string{trim(stripColour(l.Text))}
		}
	}
	return f
}

// invalid describes a broken configuration. The vendor's doctor repairs unknown keys, and, only while there are unknown
// keys, outdated values, about which the gateway complains as about any other value; alone it accepts them
// (docs/openclaw.md §5, and measured together). So if there is an unknown key its doctor is worth a try: what it cannot
// repair completely it does not change. For the rest the operator is told the place and the allowed values.
func invalid(gw plugin.GatewayFacts, v verdict) doctor.Finding {
	f := doctor.Finding{Code: CodeConfigInvalid, Severity: plugin.SeverityError}
	named, maybe := false, len(v.Issues) > 0
	var issues []string
	for i, issue := range v.Issues {
		text := issue.Message
		if issue.Path == "<root>" {
			issue.Path = ""
		}
		if issue.Path != "" {
			text = issue.Path + ": " + text
		}
		if len(issue.AllowedValues) > 0 && !strings.Contains(text, "allowed") {
			text += fmt.Sprintf(" (allowed: %v)", issue.AllowedValues)
		}
		if i < maxQuoted {
			issues = append(issues, text)
		}
		if f.ConfigPath == "" {
			f.ConfigPath = issue.Path
		}
		named = named || strings.Contains(fold(issue.Message), "unrecognized key")
		maybe = maybe && maybeKeys(issue.Path, issue.Message)
	}
	f.Text = "the gateway's configuration is invalid"
	if len(issues) > 0 {
		f.Text += ": " + issues[0]
	}
	if n := len(v.Issues) - 1; n > 0 {
		f.Text += fmt.Sprintf(" (and %d more)", n)
	}
	f.Evidence = issues
	f.Repairable = named || maybe
	f.Fatal = !f.Repairable
	f.Hint = "correct " + orFile(gw.ConfigPath) + ", then run `gatehost start`"
	return f
}

// maybeKeys reports whether a release whose issues are vague (2026.5.27; internal/release has the table) may mean
// unknown keys: there the validator says no more than "Invalid input", about the root or a section of it, where later
// and earlier releases name the keys. Its doctor drops them, and changes nothing where it cannot help
// (docs/compatibility.md). Deeper down the same words are said of a wrong value, which no doctor repairs.
func maybeKeys(path, message string) bool {
	return fold(strings.TrimSpace(message)) == "invalid input" && !strings.Contains(path, ".")
}

func orFile(path string) string {
	if path == "" {
		return "openclaw.json"
	}
	return path
}
