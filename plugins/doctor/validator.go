package openclawdoctor

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// verdict is what `config validate --json` prints.
type verdict struct {
	Valid *bool `json:"valid"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
	Issues []struct {
		Path          string `json:"path"`
		Message       string `json:"message"`
		AllowedValues []any  `json:"allowedValues"`
	} `json:"issues"`
}

// surroundings are the system's errors that a validator meets before it has read the file that it is to judge. ENOENT
// is not among them: a file that is not there is a verdict.
var surroundings = regexp.MustCompile(
	`(?m)^(?:read failed: .*|.*\b(?:EACCES|EPERM|EROFS|ENOSPC|EDQUOT|EMFILE|ENFILE|ENOMEM|EIO)\b.*` +
		`|.*JavaScript heap out of memory.*)$`)

// validatorFailed reports whether the validator could not run or could not read the file, and why. Its answer then says
// nothing about the configuration, although it says "invalid".
func validatorFailed(validate doctor.Evidence, v verdict, readable bool) (why string, failed bool) {
	if !readable {
		why = surroundings.FindString(trim(stripColour(validate.Stderr)))
		return bounded(why), why != ""
	}
	if *v.Valid {
		return "", false
	}
	for _, issue := range v.Issues {
		at := surroundings.FindString(issue.Message)
		if issue.Path != "" && issue.Path != "<root>" || at == "" {
			return "", false // it has read the file: this issue is about it
		}
		why = cmp.Or(why, at)
	}
	why = cmp.Or(why, surroundings.FindString(v.Error.Message))
	return bounded(why), why != ""
}

// unreadable reports whether the gateway, too, calls a file invalid that it could not read.
func unreadable(i *doctor.Incident) bool {
	_, found := i.Find("read failed: ")
	return found
}

func bounded(s string) string {
	const most = 400
	if s = trim(s); len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// notValidated is the finding when the validator could not run. The configuration may be right.
func notValidated(req doctor.DiagnoseRequest, why string) doctor.Finding {
	f := doctor.Finding{
		Code: CodeValidatorFailed, Severity: plugin.SeverityWarning, Evidence: []string{why},
		Text: "OpenClaw's validator could not run, so nothing is known about the configuration: " + why,
		Hint: "run `" + strings.Join(req.Gateway.Command, " ") + " config validate` as the user that runs the gateway; see " +
			"who owns what it names with `ls -ld`",
	}
	if exited78(req.Incident) || req.Incident != nil && unreadable(req.Incident) {
		f.Severity, f.Fatal = plugin.SeverityError, true
		f.Text = "the gateway refuses to start, and not for what its configuration says: " + why
		f.Hint += ", then run `gatehost start " + req.Gateway.Name + "`"
		f.Evidence = append(f.Evidence, lastWords(req.Incident)...)
	}
	return f
}

// lastWords returns the last lines that a gateway wrote to its standard error.
func lastWords(i *doctor.Incident) []string {
	var out []string
	for _, l := range i.Lines {
		if text := trim(stripColour(l.Text)); l.Stream != plugin.Stdout && text != "" {
			out = append(out, bounded(text))
		}
	}
	return out[max(0, len(out)-2):]
}

func parseVerdict(stdout string) (verdict, bool) {
	var v verdict
	start := strings.IndexByte(stdout, '{') // warnings may come before it
	if start < 0 {
		return v, false
	}
	err := json.NewDecoder(strings.NewReader(stdout[start:])).Decode(&v)
	return v, err == nil && v.Valid != nil
}
