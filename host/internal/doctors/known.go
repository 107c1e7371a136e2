package doctors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/host/internal/lifecycle"
	"github.com/gatehost/gatehost/host/internal/repair"
	"github.com/gatehost/gatehost/host/internal/view"
	"github.com/gatehost/gatehost/shared/control"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
)

// Codes of an error that a person's act has replaced; see lifecycle.ErrorRevised.
const (
	codeRepaired = "repaired"
	codeUndone   = "repair_undone"
)

// known is what status shows of a gateway: a diagnosis that leaves it out would call a gateway healthy that is not.
type known struct {
	state      lifecycle.State
	conditions []lifecycle.Condition
	stable     time.Duration // a gateway that has run this long has recovered
	changed    bool          // the configuration file has changed since the start that failed
	gateway    string
}

// findings returns what status shows and no doctor has found.
func (k known) findings(found []repair.Found, now time.Time) []repair.Found {
	var out []repair.Found
	add := func(severity plugin.Severity, code, text, hint string) {
		if code == "" || text == "" || named(found, code) || named(out, code) {
			return
		}
		out = append(out, repair.Found{Doctor: control.HostDoctor, Finding: doctor.Finding{
			Code: code, Severity: severity, Text: text, Hint: hint,
		}})
	}
	s := k.state
	switch p := s.Err; {
	case p == nil, p.Code == codeRepaired, p.Code == codeUndone:
	case k.changed && (sameCode(p.Code, doctor.CodeConfigInvalid) || sameCode(p.Code, doctor.CodeConfigMissing)):
		add(plugin.SeverityError, p.Code, "the last start failed: "+p.Message+"; the file was changed since",
			"run `gatehost start "+k.gateway+"`")
	default:
		add(plugin.SeverityError, cmp.Or(p.Code, "error"), p.Message, p.Hint)
	}
	attempts := view.Attempts(s, k.stable, now)
	switch {
	case s.Public() == lifecycle.Running && attempts > 0:
		add(plugin.SeverityWarning, "recovered-recently",
			fmt.Sprintf("the gateway was lost, and came back by automatic attempt %d%s; "+
				"it counts as recovered when it has run for %v", attempts, lastEnd(s), k.stable),
			"run `gatehost logs "+k.gateway+"` to see how it ended")
	case s.Phase == lifecycle.PhaseRetryWait, s.Public() == lifecycle.Reconnecting:
		add(plugin.SeverityError, cmp.Or(s.Cause.Code, "reconnecting"),
			cmp.Or(s.Cause.Message, "the gateway was lost"+lastEnd(s)+" and is started again"), s.Cause.Hint)
	}
	for _, c := range k.conditions {
		add(plugin.SeverityWarning, c.Code, c.Message, c.Hint)
	}
	return out
}

// lastEnd says how the last process ended; "" when that is not known.
func lastEnd(s lifecycle.State) string {
	switch x := s.LastExit; {
	case x == nil || !x.Known:
		return ""
	case x.Signal != "":
		return " (it ended last by signal " + x.Signal + ")"
	default:
		return fmt.Sprintf(" (it ended last with code %d)", x.Code)
	}
}

// named reports whether one of the findings has that code.
func named(found []repair.Found, code string) bool {
	return slices.ContainsFunc(found, func(f repair.Found) bool { return sameCode(f.Finding.Code, code) })
}

// sameCode compares codes of problems, which have underscores, with those of findings, which have hyphens.
func sameCode(a, b string) bool {
	return strings.ReplaceAll(a, "_", "-") == strings.ReplaceAll(b, "_", "-")
}

// outcome is the result of a diagnosis. Healthy is a gateway that runs, and of which nothing is known to be wrong.
func (k known) outcome(found []repair.Found, skipped int) *control.DoctorResult {
	switch state := k.state.Public(); {
	case len(found) > 0:
		return &control.DoctorResult{Outcome: "findings"}
	case state != lifecycle.Running:
		detail := "the gateway is " + string(state)
		if k.state.Err != nil {
			detail += ": " + k.state.Err.Message
		}
		return &control.DoctorResult{Outcome: "nothing-found", Detail: detail, Next: k.next()}
	case skipped > 0:
		return &control.DoctorResult{Outcome: "nothing-found", Detail: "not all doctors could answer"}
	default:
		return &control.DoctorResult{Outcome: "healthy"}
	}
}

// next is the command that follows for a gateway that is down.
func (k known) next() string {
	if p := k.state.Public(); p == lifecycle.Stopped || p == lifecycle.Error {
		return "gatehost start " + k.gateway
	}
	return ""
}
