// Command plugin is a plugin for tests of the plugin host; its first argument says how it misbehaves.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
	"github.com/gatehost/gatehost/shared/pluginkit"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "silent":
		time.Sleep(time.Hour)
	case "exits":
		fmt.Fprintln(os.Stderr, "I cannot go on")
		os.Exit(3)
	case "garbage":
		fmt.Println("hello, I am no plugin")
		time.Sleep(time.Hour)
	case "old-protocol":
		fmt.Println("1|99|unix|/nowhere|grpc|")
		time.Sleep(time.Hour)
	case "long-stdout":
		fmt.Println(strings.Repeat("x", 200<<10))
		time.Sleep(time.Hour)
	case "floods":
		go func() {
			for i := 0; ; i++ {
				fmt.Fprintln(os.Stderr, "flood", i)
			}
		}()
	}
	pluginkit.Serve(pluginkit.Plugin{
		Name: "test-plugin", Version: "1.2.3", WantedGrants: []string{"gateway-config"}, Doctor: patient{},
		Configure: func(_ context.Context, req plugin.ConfigureRequest) ([]plugin.Diagnostic, error) {
			type table struct {
				Level int `json:"level"`
			}
			_, diagnostics := pluginkit.DecodeConfig(req.Config, table{})
			return diagnostics, nil
		},
	})
}

// patient is a doctor whose Diagnose does what the error code of the incident says.
type patient struct{}

func (patient) Diagnose(ctx context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	what := ""
	if req.Incident != nil {
		what = req.Incident.ErrorCode
	}
	switch what {
	case "panic":
		panic("planted")
	case "hang":
		<-ctx.Done()
		return doctor.Diagnosis{}, ctx.Err()
	case "die":
		os.Exit(9)
	case "stop-yourself":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "die-with-grandchild":
		cmd := exec.Command("/bin/sleep", "60")
		cmd.Stdout, cmd.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr") // what an author should not do
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return doctor.Diagnosis{}, err
		}
		_ = os.WriteFile("grandchild", []byte(fmt.Sprint(cmd.Process.Pid)), 0o600)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "fault":
		return doctor.Diagnosis{}, fault.New(fault.Conflict, "cannot look: somebody else does").WithHint("wait")
	case "huge":
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "huge", Data: make([]byte, 20<<20)}}}, nil
	case "environment":
		text, _ := json.Marshal(os.Environ())
		return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "environment", Data: text}}}, nil
	}
	return doctor.Diagnosis{Findings: []doctor.Finding{{Code: "fine", Text: fmt.Sprint(os.Getpid())}}}, nil
}

func (patient) Plan(context.Context, plugin.GatewayFacts, doctor.Finding) (*doctor.Plan, error) {
	return nil, nil
}

func (patient) Repair(context.Context, doctor.RepairRequest, func(doctor.Progress)) (doctor.RepairResult, error) {
	return doctor.RepairResult{}, fault.New(fault.Unsupported, "no delegated steps")
}
