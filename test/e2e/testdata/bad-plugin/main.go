//go:build unix

// Command bad-plugin is a doctor and classifier that misbehaves in each call, as its argument says.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/gatehost/gatehost/shared/classifier"
	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	untrusted()
	if how() == "crash-at-start" {
		panic("planted: no start")
	}
	if how() == "flood" {
		go func() {
			for i := 0; ; i++ {
				fmt.Fprintln(os.Stderr, "a flood of words", i)
			}
		}()
	}
	pluginkit.Serve(pluginkit.Plugin{Name: "bad-plugin", Version: "0.1.0", Doctor: bad{}, Classifier: bad{}})
}

func how() string {
	if len(os.Args) < 2 {
		return ""
	}
	return os.Args[1]
}

// misbehave does it; what returns goes on with nonsense.
func misbehave(ctx context.Context) {
	switch how() {
	case "crash":
		panic("planted: no answer")
	case "hang":
		<-ctx.Done()
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
}

type bad struct{}

func (bad) Diagnose(ctx context.Context, _ doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	die(ctx)
	if how() == "no-plan" { // a sound doctor that knows no way
		return doctor.Diagnosis{Findings: []doctor.Finding{
			{Code: "odd-weather", Text: "planted weather", Severity: plugin.SeverityWarning, Repairable: true},
		}}, nil
	}
	return doctor.Diagnosis{
		Findings: []doctor.Finding{{Code: "\x1b[2J no code", Text: "planted nonsense", Severity: 77, Fatal: true}},
	}, nil
}

func (bad) Plan(ctx context.Context, _ plugin.GatewayFacts, _ doctor.Finding) (*doctor.Plan, error) {
	die(ctx)
	return nil, nil
}

func (bad) Repair(ctx context.Context, _ doctor.RepairRequest, _ func(doctor.Progress)) (doctor.RepairResult, error) {
	die(ctx)
	return doctor.RepairResult{}, fault.New(fault.Unsupported, "no delegated steps")
}

func (bad) Open(context.Context, plugin.GatewayFacts, string) (classifier.Stream, error) {
	return bad{}, nil
}

// Classify tells of other lines than those that it was asked about.
func (bad) Classify(ctx context.Context, lines []classifier.NumberedLine) ([]classifier.Verdict, error) {
	die(ctx)
	out := make([]classifier.Verdict, len(lines))
	for i, l := range lines {
		out[i] = classifier.Verdict{Seq: l.Seq + 1, Level: classifier.LevelError, RuleID: "planted", Text: "planted nonsense"}
	}
	return out, nil
}

func (bad) Close() error { return nil }

// die runs misbehave where no recover of pluginkit turns a panic into an error.
func die(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		misbehave(ctx)
	}()
	<-done
}
