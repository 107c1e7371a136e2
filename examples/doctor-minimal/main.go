// Command doctor-minimal is the smallest third-party doctor: it knows one fault of a gateway, a full disk, and says
// what to do about it. README.md says how to try it.
package main

import (
	"context"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() { pluginkit.Serve(minimal()) }

func minimal() pluginkit.Plugin {
	return pluginkit.Plugin{Name: "doctor-minimal", Version: "0.1.0", Doctor: diskDoctor{}}
}

type diskDoctor struct{ doctor.ReadOnly }

func (diskDoctor) Diagnose(_ context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	line, full := req.Incident.Find("ENOSPC")
	if !full {
		return doctor.Diagnosis{}, nil
	}
	return doctor.Found(doctor.Finding{
		Code: "disk-full", Severity: plugin.SeverityError, Fatal: true, Evidence: []string{line.Text},
		Text: "the disk of the gateway's state directory is full", Hint: "free some space in " + req.Gateway.StateDir,
	}), nil
}
