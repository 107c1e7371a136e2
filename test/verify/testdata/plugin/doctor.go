//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehost/gatehost/shared/doctor"
	"github.com/gatehost/gatehost/shared/fault"
	"github.com/gatehost/gatehost/shared/plugin"
)

// healer finds an unknown key in the configuration, a stolen port and a kill. It repairs the first by a step of its
// own.
type healer struct {
	mode  string
	mu    sync.Mutex // guards both below
	asked map[string]int
	locks map[string]chan struct{}
}

const (
	codeKey  = "unknown-key"
	codePort = "port-stolen"
	codeKill = "killed"
)

func (m *healer) Diagnose(ctx context.Context, req doctor.DiagnoseRequest) (doctor.Diagnosis, error) {
	running := busy.Add(1)
	defer busy.Add(-1)
	if req.Incident == nil {
		return doctor.Diagnosis{}, nil
	}
	if d, ok := m.miss(ctx, req, running); ok {
		return d, nil
	}
	symptoms := req.Incident.Symptoms
	switch {
	case contains(req.Incident.Lines, "bogusKey"):
		f := finding(codeKey)
		f.Repairable = strings.HasPrefix(m.mode, "repair") || strings.HasPrefix(m.mode, "plan") || m.mode == "sound" ||
			strings.Contains(m.mode, "verif")
		f.Repairable = f.Repairable || m.mode == "says-repairable-without-a-plan"
		return one(f), nil
	case slices.Contains(symptoms, plugin.SymptomPortConflict):
		return one(finding(codePort)), nil
	case req.Incident.Exit != nil && req.Incident.Exit.Signal == "SIGKILL":
		return one(finding(codeKill)), nil
	}
	return doctor.Diagnosis{}, nil
}

func finding(code string) doctor.Finding {
	f := doctor.Finding{Code: code, Severity: plugin.SeverityError, Text: "planted: " + code}
	if level.Load() > 1 {
		f.Severity = plugin.SeverityInfo
	}
	return f
}

func one(f doctor.Finding) doctor.Diagnosis { return doctor.Diagnosis{Findings: []doctor.Finding{f}} }

func contains(lines []plugin.Line, word string) bool {
	return slices.ContainsFunc(lines, func(l plugin.Line) bool { return strings.Contains(l.Text, word) })
}

// miss does what the mode does in Diagnose; true means that the answer is its.
func (m *healer) miss(ctx context.Context, req doctor.DiagnoseRequest, running int64) (doctor.Diagnosis, bool) {
	port := slices.Contains(req.Incident.Symptoms, plugin.SymptomPortConflict)
	switch m.mode {
	case "hangs":
		if port {
			<-ctx.Done()
		}
	case "wants-a-file-of-another-user":
		if port && len(req.Evidence) == 0 {
			return doctor.Diagnosis{Wants: []doctor.EvidenceRequest{{ID: "passwd", File: "/etc/passwd"}}}, true
		}
	case "wants-a-command-of-its-own":
		if port && len(req.Evidence) == 0 {
			argv := append(slices.Clone(req.Gateway.Command), "plugins", "list", "--json")
			return doctor.Diagnosis{Wants: []doctor.EvidenceRequest{{ID: "plugins", Argv: argv}}}, true
		}
	case "writes-in-diagnose":
		_ = os.WriteFile(filepath.Join(req.Gateway.StateDir, "doctor.log"), []byte(time.Now().String()), 0o600)
	case "is-moody":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.asked[req.Gateway.Name]++
		if _, err := os.Stat("moody"); err != nil && port && m.asked[req.Gateway.Name] == 2 { // once, whatever the process
			check(os.WriteFile("moody", nil, 0o600))
			return doctor.Diagnosis{}, true
		}
	case "takes-one-gateway-at-a-time":
		pause(ctx, 20*time.Millisecond)
		if running > 2 {
			<-ctx.Done()
		}
	case "ignores-cancellation":
		if req.Incident.Exit != nil && req.Incident.Exit.Signal == "SIGKILL" {
			m.plod(ctx, req.Gateway.Name)
		}
	case "dies-of-a-big-incident":
		if big(req.Incident) {
			os.Exit(9)
		}
	case "outlives-the-host-when-busy":
		if big(req.Incident) {
			bigCalls.Add(1)
		}
	case "prints":
		fmt.Println("looking at", req.Gateway.Name)
	}
	return doctor.Diagnosis{}, false
}

func big(i *doctor.Incident) bool {
	size := 0
	for _, l := range i.Lines {
		size += len(l.Text)
	}
	return size > 1<<20
}

// plod works under a lock of the gateway and does not look at its context; a caller that gives up makes it work for a
// minute.
func (m *healer) plod(ctx context.Context, gateway string) {
	m.mu.Lock()
	lock := m.locks[gateway]
	if lock == nil {
		lock = make(chan struct{}, 1)
		m.locks[gateway] = lock
	}
	m.mu.Unlock()
	lock <- struct{}{}
	time.Sleep(300 * time.Millisecond)
	if ctx.Err() != nil {
		time.Sleep(time.Minute)
	}
	<-lock
}

func (m *healer) Plan(_ context.Context, gw plugin.GatewayFacts, f doctor.Finding) (*doctor.Plan, error) {
	p := &doctor.Plan{Title: "take the key out"}
	exec := func(argv ...string) doctor.Step {
		return doctor.Step{Title: "run", Exec: &doctor.ExecStep{Argv: argv, Timeout: time.Minute}}
	}
	switch {
	case m.mode == "plans-for-everybody" && f.Code != codeKey && f.Code != codePort && f.Code != codeKill:
		p.Steps = append(p.Steps, exec(append(slices.Clone(gw.Command), "doctor", "--fix", "--yes", "--non-interactive")...))
	case f.Code != codeKey || !f.Repairable, m.mode == "says-repairable-without-a-plan":
		return nil, nil
	case m.mode == "plan-without-an-end":
		for range 33 {
			p.Steps = append(p.Steps, exec(append(slices.Clone(gw.Command), "doctor", "--fix", "--yes", "--non-interactive")...))
		}
	case m.mode == "plan-with-hours":
		p.Steps = append(p.Steps, exec(append(slices.Clone(gw.Command), "doctor", "--fix", "--yes", "--non-interactive")...))
		p.Steps[0].Exec.Timeout = time.Hour
	case m.mode == "plan-of-another-command":
		p.Steps = append(p.Steps, exec("/bin/rm", "-rf", gw.StateDir))
	case m.mode == "plan-of-other-words":
		p.Steps = append(p.Steps, exec(append(slices.Clone(gw.Command), "doctor", "--fix")...))
	case m.mode == "plan-for-a-file-of-another-user":
		p.Touches = []string{filepath.Join(gw.StateDir, "..", "neighbour", "notes.txt")}
		p.Steps = append(p.Steps, exec(append(slices.Clone(gw.Command), "doctor", "--fix", "--yes", "--non-interactive")...))
	case m.mode == "plan-without-a-checksum":
		p.Steps = append(p.Steps,
			doctor.Step{Title: "write", WriteFile: &doctor.WriteFileStep{Path: gw.ConfigPath, Content: []byte("{}\n")}})
	default:
		p.Steps = append(p.Steps, doctor.Step{
			Title: "repair", Delegate: &doctor.DelegateStep{ID: "repair", Timeout: time.Minute, Paths: []string{gw.ConfigPath}},
		})
	}
	return p, nil
}

const repaired = "{\n  \"gateway\": {\n    \"mode\": \"local\"\n  }\n}\n"

func (m *healer) Repair(
	ctx context.Context, req doctor.RepairRequest, progress func(doctor.Progress),
) (doctor.RepairResult, error) {
	if req.StepID != "repair" || req.Finding.Code != codeKey {
		return doctor.RepairResult{}, fault.New(fault.Unsupported, "no step of this doctor")
	}
	path := req.Gateway.ConfigPath
	old, err := os.ReadFile(path)
	if err != nil {
		return doctor.RepairResult{}, err
	}
	done := doctor.RepairResult{Changed: true, Summary: "the key is out"}
	if string(old) == repaired {
		return doctor.RepairResult{Summary: "nothing to do"}, nil
	}
	if req.DryRun && m.mode != "repair-in-a-dry-run" {
		return done, nil
	}
	progress(doctor.Progress{Text: "repairing"})
	switch m.mode {
	case "repair-in-place": // also when it is cancelled: only a kill shows it
		f, err := os.Create(path)
		if err != nil {
			return done, err
		}
		pause(ctx, 300*time.Millisecond)
		_, err = f.WriteString(repaired)
		return done, err
	case "repair-that-goes-on":
		for n := range 30 {
			if err := replace(path, fmt.Sprintf("{\"gateway\": {\"mode\": \"local\", \"n\": %d}}\n", n)); err != nil {
				return done, err
			}
			time.Sleep(100 * time.Millisecond)
		}
	case "repair-of-another-file":
		if err := replace(filepath.Join(req.Gateway.StateDir, "sessions", "one.jsonl"), ""); err != nil {
			return done, err
		}
	case "repair-again-and-again":
		return done, replace(path, string(old)+"\n")
	}
	pause(ctx, 50*time.Millisecond)
	if ctx.Err() != nil {
		return doctor.RepairResult{}, ctx.Err()
	}
	return done, replace(path, repaired)
}

func replace(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// verifier is a doctor that announces Verify.
type verifier struct{ *healer }

func (v verifier) Verify(_ context.Context, req doctor.VerifyRequest) (doctor.Verification, error) {
	text, err := os.ReadFile(req.Gateway.ConfigPath)
	if v.mode == "verifies-blindly" || err == nil && string(text) == repaired {
		return doctor.Verification{Outcome: doctor.OutcomeHelped}, nil
	}
	return doctor.Verification{Outcome: doctor.OutcomeNotHelped, Text: "the key is still there"}, nil
}
