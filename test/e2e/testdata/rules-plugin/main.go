// Command rules-plugin is a doctor and classifier that follows its table: lines with a word are claimed by a rule of
// that name, and a start that fails after such a line has a finding.
package main

import (
	"context"
	"strings"
	"sync"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	r := &rules{}
	pluginkit.Serve(pluginkit.Plugin{
		Name: "rules-plugin", Version: "0.1.0", Doctor: r, Classifier: r, Configure: r.configure,
		ConfigFields: []plugin.ConfigField{
			{Path: "word", Type: "string", Required: true, Doc: "the word that lines are claimed for"},
		},
	})
}

type table struct {
	Word string `json:"word"`
}

type rules struct {
	mu sync.Mutex // guards t
	t  table
}

func (r *rules) configure(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
	t, diagnostics := pluginkit.DecodeConfig(req.Config, table{})
	if t.Word == "" {
		diagnostics = append(diagnostics,
			plugin.Diagnostic{Severity: plugin.SeverityError, Path: "word", Message: "is empty", Hint: "name a word"})
	}
	if len(diagnostics) == 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t = t
	}
	return diagnostics, nil
}

func (r *rules) word() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.t.Word
}

func (r *rules) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	if req.Incident == nil {
		return doctor.Diagnosis{}, nil
	}
	for _, l := range req.Incident.Lines {
		if strings.Contains(l.Text, r.word()) {
			return doctor.Diagnosis{Findings: []doctor.Finding{{
				Code: "planted-word", Severity: plugin.SeverityError, Fatal: true, Text: "it said the word " + r.word(),
				Hint: "say another one",
			}}}, nil
		}
	}
	return doctor.Diagnosis{}, nil
}

func (r *rules) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return nil, nil
}

func (r *rules) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	return doctor.RepairResult{}, fault.New(fault.Unsupported, "it has no steps of its own")
}

func (r *rules) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return r, nil
}

func (r *rules) Classify(_ context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	out := make([]classifier.Verdict, len(lines))
	for i, l := range lines {
		out[i] = classifier.Verdict{Seq: l.Seq, Level: classifier.LevelWarn}
		if word := r.word(); strings.Contains(l.Line.Text, word) {
			out[i].Level, out[i].RuleID = classifier.LevelDebug, word
		}
	}
	return out, nil
}

func (r *rules) Close() error { return nil }
