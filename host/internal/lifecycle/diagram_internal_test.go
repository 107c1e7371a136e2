package lifecycle

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	diagramDoc   = "../../../docs/lifecycle.md"
	diagramBegin = "<!-- written by go test ./host/internal/lifecycle -update -->\n"
	diagramEnd   = "<!-- end of what is written -->"

	// exploredInputs is how many inputs explore goes from a new gateway: all phases and their usual ways are within it.
	exploredInputs = 12
)

// TestDiagramShowsTheTransitions holds docs/lifecycle.md and the code together. Run it with -update to write the document.
func TestDiagramShowsTheTransitions(t *testing.T) {
	p := DefaultPolicy()
	p.StartAttempts, p.ReconnectAttempts = 2, 1 // soon reached
	e := explore(p, exploredInputs)
	phases := phaseComments(t)
	for _, ph := range phases {
		if e.public[ph.phase] == nil {
			t.Errorf("phase %s is never reached", ph.phase)
		}
	}
	doc, err := os.ReadFile(diagramDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(doc), diagramBegin)
	_, after, ends := strings.Cut(rest, diagramEnd)
	if !begins || !ends {
		t.Fatalf("%s does not have the lines %q and %q", diagramDoc, diagramBegin, diagramEnd)
	}
	want := before + diagramBegin + e.markdown(phases) + diagramEnd + after
	if want == string(doc) {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Fatalf("%s does not show the machine: go test ./host/internal/lifecycle -update", diagramDoc)
	}
	if err := os.WriteFile(diagramDoc, []byte(want), 0o644); err != nil { //nolint:gosec // a document
		t.Fatal(err)
	}
}

type phaseComment struct {
	phase   Phase
	comment string
}

// phaseComments are the phases in the order of types.go, with their comments.
func phaseComments(t *testing.T) []phaseComment {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "types.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var out []phaseComment
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		kind, ok := spec.Type.(*ast.Ident)
		value, isText := spec.Values[0].(*ast.BasicLit)
		if !ok || kind.Name != "Phase" || !isText {
			return true
		}
		word, err := strconv.Unquote(value.Value)
		if err != nil || spec.Comment == nil {
			t.Errorf("phase %s has no comment, or is no text: %v", value.Value, err)
			return true
		}
		out = append(out, phaseComment{Phase(word), strings.TrimSpace(spec.Comment.Text())})
		return true
	})
	return out
}

// causes are the inputs that lead from one phase to another, the nearest first.
func (e exploration) causes(from, to Phase) []string {
	var found []transition
	for tr := range e.transitions {
		if tr.from == from && tr.to == to {
			found = append(found, tr)
		}
	}
	slices.SortFunc(found, func(a, b transition) int { return cmp.Compare(e.transitions[a], e.transitions[b]) })
	var out []string
	for _, tr := range found {
		out = append(out, tr.cause)
	}
	return anyStop(out)
}

// anyStop says in one word that all four ways of a stop are causes.
func anyStop(causes []string) []string {
	stops := []string{"stop", "stop --now", "stop --drain", "stop --external"}
	if slices.ContainsFunc(stops, func(s string) bool { return !slices.Contains(causes, s) }) {
		return causes
	}
	causes[slices.Index(causes, "stop")] = "any stop"
	return slices.DeleteFunc(causes, func(s string) bool { return slices.Contains(stops, s) })
}

// markdown is the phases, the diagram and the table.
func (e exploration) markdown(phases []phaseComment) string {
	var b strings.Builder
	b.WriteString("\n## Phases\n\n| phase | the gateway is shown as | what happens |\n|---|---|---|\n")
	for _, ph := range phases {
		var public []string
		for p := range e.public[ph.phase] {
			public = append(public, string(p))
		}
		slices.Sort(public)
		fmt.Fprintf(&b, "| %s | %s | %s |\n", ph.phase, strings.Join(public, ", "), ph.comment)
	}
	b.WriteString(`
## Diagram

An arrow names one input that causes the transition; the table below has all. Arrows to *clearing*, *stopped* and *error* are
left out where they come from almost every phase: a stop, a lost process and a failed start lead there from anywhere.

` + "```mermaid\nstateDiagram-v2\n    [*] --> stopped\n")
	for _, from := range phases {
		for _, to := range phases {
			if causes := e.causes(from.phase, to.phase); len(causes) > 0 && drawn(from.phase, to.phase) {
				fmt.Fprintf(&b, "    %s --> %s : %s\n", mermaid(from.phase), mermaid(to.phase), strings.ReplaceAll(causes[0], ":", ","))
			}
		}
	}
	b.WriteString("```\n\n## Transitions\n\n")
	fmt.Fprintf(&b, "All transitions within %d inputs from a new gateway, with the inputs that cause them.\n\n", exploredInputs)
	b.WriteString("| from | to | on |\n|---|---|---|\n")
	for _, from := range phases {
		for _, to := range phases {
			if causes := e.causes(from.phase, to.phase); len(causes) > 0 {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", from.phase, to.phase, strings.Join(causes, "; "))
			}
		}
	}
	b.WriteString("\n")
	return b.String()
}

// drawn says whether the diagram has an arrow: those that almost every phase has would hide the others.
func drawn(from, to Phase) bool {
	switch to {
	case PhaseClearing:
		return slices.Contains([]Phase{PhaseRunning, PhaseDraining, PhaseError}, from)
	case PhaseStopped:
		return slices.Contains([]Phase{PhaseClearing, PhaseRecovering, PhaseDraining}, from)
	case PhaseError:
		return slices.Contains([]Phase{PhaseClearing, PhaseDiagnosing, PhaseRepairing}, from)
	default:
		return true
	}
}

// mermaid is a phase as the name of a state: without a dash.
func mermaid(p Phase) string { return strings.ReplaceAll(string(p), "-", "_") }
