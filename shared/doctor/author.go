package doctor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// ReadOnly is for doctors that change nothing themselves, as most do: embed it and write Diagnose, and Plan when there
// is something to propose. The host carries plans out.
type ReadOnly struct{}

// Plan proposes nothing.
func (ReadOnly) Plan(context.Context, plugin.GatewayFacts, Finding) (*Plan, error) {
	return nil, nil //nolint:nilnil // no plan is an answer
}

// Repair returns fault.Unsupported: the plans have no Delegate steps.
func (ReadOnly) Repair(context.Context, RepairRequest, func(Progress)) (RepairResult, error) {
	return RepairResult{}, fault.New(fault.Unsupported, "this doctor has no steps of its own")
}

// Found returns a diagnosis of these findings.
func Found(findings ...Finding) Diagnosis { return Diagnosis{Findings: findings} }

// Find returns the first line that contains one of these texts, of the last 120 lines of the gateway. A nil incident
// has none.
func (i *Incident) Find(texts ...string) (plugin.Line, bool) {
	if i == nil {
		return plugin.Line{}, false
	}
	for _, line := range i.Lines {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line.Text, text) }) {
			return line, true
		}
	}
	return plugin.Line{}, false
}

// Shows reports whether a classifier saw this symptom. A nil incident shows none.
func (i *Incident) Shows(s plugin.Symptom) bool { return i != nil && slices.Contains(i.Symptoms, s) }

// Asked returns the evidence that was asked for under id; false in the round in which it has to be asked for.
func (r DiagnoseRequest) Asked(id string) (Evidence, bool) { return asked(r.Evidence, id) }

// Asked returns the evidence that was asked for under id in this call; evidence of the diagnosis is not part of it.
func (r VerifyRequest) Asked(id string) (Evidence, bool) { return asked(r.Evidence, id) }

func asked(list []Evidence, id string) (Evidence, bool) {
	at := slices.IndexFunc(list, func(e Evidence) bool { return e.ID == id })
	if at < 0 {
		return Evidence{}, false
	}
	return list[at], true
}

// Command returns a step that runs the gateway's own program with these arguments.
func Command(gw plugin.GatewayFacts, title string, timeout time.Duration, args ...string) Step {
	return Step{Title: title, Exec: &ExecStep{Argv: append(slices.Clone(gw.Command), args...), Timeout: timeout}}
}
