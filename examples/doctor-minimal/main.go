// Command doctor-minimal is the smallest third-party doctor: it knows one thing that can be wrong with a gateway, a full disk,
// and says what to do about it. README.md tells how to try it.
package main

import (
	"context"
	"strings"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() { pluginkit.Serve(minimal()) }

func minimal() pluginkit.Plugin {
	return pluginkit.Plugin{Name: "doctor-minimal", Version: "0.1.0", Doctor: diskDoctor{}}
}

type diskDoctor struct{}

func (diskDoctor) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	if req.Incident == nil {
		return doctor.Diagnosis{}, nil
	}
	for _, line := range req.Incident.Lines {
		if strings.Contains(line.Text, "ENOSPC") {
			return doctor.Diagnosis{Findings: []doctor.Finding{{
				Code: "disk-full", Severity: plugin.SeverityError, Fatal: true, Evidence: []string{line.Text},
				Text: "the disk of the gateway's state directory is full", Hint: "free some space in " + req.Gateway.StateDir,
			}}}, nil
		}
	}
	return doctor.Diagnosis{}, nil
}

func (diskDoctor) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return nil, nil //nolint:nilnil // nothing that this doctor could repair
}

func (diskDoctor) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	return doctor.RepairResult{}, fault.New(fault.Unsupported, "this doctor repairs nothing by itself")
}
