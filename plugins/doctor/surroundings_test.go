package openclawdoctor_test

import (
	"strings"
	"testing"

	openclawdoctor "github.com/gatehost/gatehost/plugins/doctor"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

func refusedBecause(lines ...string) *doctor.Incident {
	i := &doctor.Incident{Exit: &plugin.Exit{Code: 78, Known: true}, ErrorCode: "exited_before_ready"}
	for n, l := range lines {
		i.Lines = append(i.Lines, plugin.Line{Cursor: uint64(n + 1), Stream: plugin.Stderr, Text: l})
	}
	return i
}

// TestValidatorThatCouldNotRunSaysNothingAboutTheFile: OpenClaw's validator answers "invalid" for any error that it
// meets, also when it never read the file.
func TestValidatorThatCouldNotRunSaysNothingAboutTheFile(t *testing.T) {
	const (
		temp = `{"ok":false,"error":{"type":"cli_error","message":"OpenClaw config is invalid: /s/openclaw.json"},` +
			`"valid":false,"path":"/s/openclaw.json","issues":[{"path":"<root>","message":"read failed: Error: Unsafe ` +
			`fallback OpenClaw temp dir: /home/u/.cache/openclaw-65534"}]}`
		closed = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"<root>","message":"read failed: Error: ` +
			`EACCES: permission denied, open '/s/openclaw.json'\n\nConfig file is not readable by the current process."}]}`
		disk = `{"valid":false,"path":"/s/openclaw.json","issues":[{"path":"","message":"ENOSPC: no space left on device, ` +
			`write"}]}`
		mute = `{"ok":false,"error":{"type":"cli_error","message":"spawn EMFILE"},"valid":false,"issues":[]}`
		both = `{"valid":false,"issues":[{"path":"<root>","message":"read failed: Error: EIO"},{"path":"gateway.bind",` +
			`"message":"Invalid input"}]}`
	)
	said := refusedBecause("Gateway failed to start: Invalid config at /s/openclaw.json:",
		"- <root>: read failed: Error: EACCES: permission denied, open '/s/openclaw.json'")
	for _, row := range []struct {
		name, validate string
		incident       *doctor.Incident
		want           string
		fatal          bool
		why            string
	}{
		{
			"a closed directory", temp, refusedBecause("Doctor cannot repair this state"), openclawdoctor.CodeValidatorFailed,
			true, "/home/u/.cache/openclaw-65534",
		},
		{"a closed file", closed, refusedBecause(), openclawdoctor.CodeValidatorFailed, true, "EACCES"},
		{"a closed file that the gateway calls invalid", closed, said, openclawdoctor.CodeValidatorFailed, true, "EACCES"},
		{"a full disk", disk, refusedBecause(), openclawdoctor.CodeValidatorFailed, true, "ENOSPC"},
		{"no issue", mute, refusedBecause(), openclawdoctor.CodeValidatorFailed, true, "EMFILE"},
		{"an operator asks", temp, nil, openclawdoctor.CodeValidatorFailed, false, "could not run"},
		{"it has read the file", both, refusedBecause(), openclawdoctor.CodeConfigInvalid, true, "gateway.bind"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, _ := diagnose(t, row.incident, row.validate, true)
			if len(d.Findings) != 1 {
				t.Fatalf("findings = %+v", d.Findings)
			}
			f := d.Findings[0]
			if text := f.Text + strings.Join(f.Evidence, " "); f.Code != row.want || f.Fatal != row.fatal || f.Repairable ||
				!strings.Contains(text, row.why) {
				t.Errorf("finding = %+v, want %s, fatal %v, with %q", f, row.want, row.fatal, row.why)
			}
			if row.want == openclawdoctor.CodeValidatorFailed && strings.Contains(f.Hint, "correct") {
				t.Errorf("the hint tells to change a file that may be right: %q", f.Hint)
			}
		})
	}
}

// TestOwnerLeaseIsNoSecondInstance: its owner may be gone, and waiting helps.
func TestOwnerLeaseIsNoSecondInstance(t *testing.T) {
	i := refusedBecause("Gateway failed to start: Another Gateway owner lease is still active for this state directory")
	v := openclawdoctor.NewClassifier().Line(i.Lines[0])
	if v.Symptom != plugin.SymptomStateLocked || v.RuleID != "owner-lease" {
		t.Fatalf("verdict = %+v", v)
	}
	i.Symptoms = []plugin.Symptom{v.Symptom}
	d, asked := diagnose(t, i, "", true)
	if asked || len(d.Findings) != 1 || d.Findings[0].Code != openclawdoctor.CodeOwnerLease || d.Findings[0].Fatal ||
		!d.Findings[0].OtherOwner || !strings.Contains(d.Findings[0].Hint, "5 minutes") || len(d.Findings[0].Evidence) != 1 {
		t.Errorf("findings = %+v, asked %v", d.Findings, asked)
	}
}
